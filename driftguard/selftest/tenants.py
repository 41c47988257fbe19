"""Organizations: what is another's is as good as not there."""

from __future__ import annotations

from django.http import HttpResponseBase

from driftguard.selftest.cast import APPROVE, WHY, Cast
from driftguard.selftest.deployments import is_live, path_of
from driftguard.selftest.overrides import RULE
from driftguard.selftest.scenarios import Act, Scenario, Trial, Visitor, page
from governance.actions import deployments, overrides, registry, votes
from governance.actions.override_checks import Terms
from governance.models import ApprovalRequest, Override, RegisteredModel


def _read(cast: Cast) -> Trial:
    version = cast.approved()
    told: list[bytes] = []
    model = version.model

    def reading(visitor: Visitor, path: str) -> Act:
        def act() -> HttpResponseBase:
            told.clear()
            answer = visitor.send("GET", path)
            told.append(getattr(answer, "content", b""))
            return answer

        return act

    stranger = cast.charlie
    paths = [f"/api/models/{one}" for one in (model.pk, model.slug)]
    paths += [f"{paths[0]}/deployments", f"{paths[0]}/risk-history"]
    return Trial(
        {
            **{
                f"API with token, {number}": reading(stranger.token, path)
                for number, path in enumerate(paths, start=1)
            },
            "admin page": reading(stranger.browser, page(model)),
            "admin page, by a superuser": reading(Visitor(user=cast.root), page(model)),
        },
        lambda: any(model.name.encode() in one for one in told),
        meant=reading(cast.alice.token, paths[0]),
    )


def _changed(cast: Cast) -> Trial:
    version = cast.approved()
    waiting = cast.request()
    override = overrides.propose(
        cast.measured(ratio=0.5),
        environment="production",
        terms=Terms([RULE], WHY),
        actor=cast.alice.actor,
    )
    stranger = cast.charlie
    grant = {"reason": WHY, "password": stranger.password}
    path = f"/api/models/{version.model_id}"

    def is_through() -> bool:
        model = RegisteredModel.objects.get(pk=version.model_id)
        return (
            is_live(version)
            or model.description != version.model.description
            or ApprovalRequest.objects.get(pk=waiting.pk).votes.exists()
            or Override.objects.get(pk=override.pk).status != "proposed"
        )

    return Trial(
        {
            "deed, deployed": lambda: deployments.deploy(
                version, environment="production", actor=stranger.actor
            ),
            "API with token, deployed": lambda: stranger.token.post(
                path_of(version, "deploy"), {}
            ),
            "API with token, changed": lambda: stranger.token.send(
                "PATCH", path, {"description": "theirs"}
            ),
            "deed, voted": lambda: votes.cast(waiting, APPROVE, actor=stranger.actor),
            "deed, override granted": lambda: overrides.approve(
                override, reason=WHY, actor=stranger.actor
            ),
            "API with token, override granted": lambda: stranger.token.post(
                f"/api/overrides/{override.pk}/approve", grant
            ),
            "admin form": lambda: stranger.browser.submit(
                page(version.model), {"description": "theirs"}
            ),
            "admin button": lambda: stranger.browser.submit(
                page(override, "revoke"), {"sent": "on", **grant}
            ),
        },
        is_through,
        meant=lambda: registry.update(
            version.model, changes={"description": "ours"}, actor=cast.alice.actor
        ),
    )


SCENARIOS = (
    Scenario("a stranger reads", _read),
    Scenario("a stranger changes something", _changed),
)
