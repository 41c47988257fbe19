"""Policies: published by a second person, and unchangeable from then on."""

from __future__ import annotations

from driftguard.selftest.cast import APPROVE, Cast
from driftguard.selftest.scenarios import Scenario, Trial, admin_ways, sql
from governance.actions import policies, submissions, votes
from governance.models import PolicyVersion

Status = PolicyVersion.Status


def _by_one_s_own(cast: Cast) -> Trial:
    draft = cast.draft(minimum_sample=7)
    request = submissions.submit_publication(draft, actor=cast.alice.actor)

    def replaced() -> None:
        PolicyVersion.objects.filter(policy=draft.policy, status="active").update(
            status="archived"
        )
        PolicyVersion.objects.filter(pk=draft.pk).update(status="active")

    return Trial(
        {
            "deed": lambda: votes.cast(request, APPROVE, actor=cast.alice.actor),
            "deed, without a vote": lambda: policies.activate(
                draft, actor=cast.alice.actor
            ),
            "SQL": replaced,
            "SQL, without a draft": sql(
                "INSERT INTO governance_policyversion (organization_id, policy_id, "
                "number, status, content, content_hash, created_at) "
                "SELECT organization_id, policy_id, number + 100, 'active', content, "
                "'x', now() FROM governance_policyversion WHERE id = %s",
                draft.pk,
            ),
            **admin_ways(cast.alice.browser, draft, {"status": "active"}),
        },
        lambda: (
            not PolicyVersion.objects.filter(pk=draft.pk, status="draft").exists()
            or PolicyVersion.objects.filter(policy=draft.policy, number__gt=90).exists()
        ),
        meant=lambda: votes.cast(request, APPROVE, actor=cast.bob.actor),
    )


def _changed_in_force(cast: Cast) -> Trial:
    active = policies.default_of(cast.organization.pk)
    before = active.content_hash
    content = {**active.content, "minimum_sample": 1}

    def is_through() -> bool:
        now = PolicyVersion.objects.filter(pk=active.pk).first()
        return now is None or (now.content, now.content_hash) != (
            active.content,
            before,
        )

    return Trial(
        {
            "deed": lambda: policies.edit_draft(
                active, content=content, actor=cast.alice.actor
            ),
            "SQL": lambda: PolicyVersion.objects.filter(pk=active.pk).update(
                content=content
            ),
            "SQL, deleted": sql(
                "DELETE FROM governance_policyversion WHERE id = %s", active.pk
            ),
            **admin_ways(cast.alice.browser, active, {"content": "{}"}),
        },
        is_through,
    )


SCENARIOS = (
    Scenario("who drafted a policy publishes it", _by_one_s_own),
    Scenario("a policy in force is changed", _changed_in_force),
)
