"""Deploying a version, taking it back, suspending and resuming it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import (
    authority,
    break_glass,
    deployments,
    gate,
    override_requests,
    suspensions,
)
from governance.actions.override_checks import Terms
from governance.api.base import ApiView, flag_of, validated
from governance.api.deployment_fields import (
    EXAMPLE,
    BreakGlassRequest,
    DeploymentAnswer,
    DeploymentRequest,
    ResumptionRequest,
    RollbackRequest,
    SuspensionRequest,
    fallback_of,
)
from governance.api.documents import WRITING, operation
from governance.api.registry import named_version, shown_version
from governance.exceptions import ConflictError, GovernanceError
from governance.models import Deployment, ModelVersion, RegisteredModel

STATUS = ModelVersion.Status


class ModelDeedView(ApiView):
    """A deed about a model's deployment in one environment."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    def deployment(self, model: RegisteredModel, environment: str) -> Deployment:
        """Return what is in the environment, or raise ConflictError."""
        rows = Deployment.objects.open().filter(model=model, environment=environment)
        found: Deployment | None = rows.select_related("version__model").first()
        if found is None:
            raise ConflictError(
                f"Nothing of {model} is deployed in {environment}.",
                extra={"next": ["Deploy a version."]},
            )
        return found

    def answer(self, made: Deployment, status: int = 200) -> Response:
        return Response(DeploymentAnswer(fresh(made)).data, status=status)


def fresh(deployment: Deployment) -> Deployment:
    """Read a deployment again, with all that an answer says about it."""
    return Deployment.objects.select_related(
        "model", "version", "approval", "fallback_version"
    ).get(pk=deployment.pk)


def wanted_version(model: RegisteredModel, name: str | None) -> ModelVersion:
    """Return the version that is named, else the newest approved, else the shown."""
    if name is None:
        approved = model.versions.filter(status=STATUS.APPROVED).first()
        if approved is not None:
            approved.model = model
            return approved
        return shown_version(model)
    return named_version(model, name)


class DeployView(ModelDeedView):
    """The gate's door."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "POST": frozenset({"dry_run"})
    }

    def scope_of(self, request: Request, method: str) -> str | None:
        """Let a pipeline that may only read ask the gate."""
        if request.query_params.get("dry_run") == "true":
            return "governance:read"
        return super().scope_of(request, method)

    @operation(
        "Deploy a version",
        request=DeploymentRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        parameters=[
            OpenApiParameter("dry_run", bool, description="ask, but don't deploy")
        ],
        example={"override": False, "version": "2.1.0", "environment": "production"},
        answer_example=EXAMPLE,
        description=(
            "The gate is asked. Closed, it answers 409 with every rule and, in `next`, "
            "what to do. With `override: true` and no override in force, one is asked "
            "for: 202 with its id; a second person has to approve it. With `dry_run` "
            "nothing is done, and the answer is the same; the scope `governance:read` "
            "is enough for it."
        ),
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Any:
        model = self.model(reference)
        data = validated(DeploymentRequest, request)
        version = wanted_version(model, data.get("version"))
        is_dry = flag_of(request, "dry_run")

        def deploy() -> Response:
            try:
                return self._deploy(version, data, is_dry)
            except ConflictError as error:
                if not (data["override"] and override_requests.is_overridable(error)):
                    raise
                return self._ask(version, data, is_dry, error)

        return deploy() if is_dry else self.once(deploy)

    def _deploy(
        self, version: ModelVersion, data: dict[str, Any], is_dry: bool
    ) -> Response:
        environment = data["environment"]
        if is_dry:
            asked = gate.check(version, environment=environment, actor=self.actor)
            return Response(
                {"deployment_status": version.status, "gate": asked.to_json()}
            )
        made = deployments.deploy(
            version,
            environment=environment,
            fallback=fallback_of(data.get("fallback"), version.model),
            reason=data["reason"],
            actor=self.actor,
        )
        return self.answer(made)

    def _ask(
        self,
        version: ModelVersion,
        data: dict[str, Any],
        is_dry: bool,
        error: GovernanceError,
    ) -> Response:
        """Ask for the override that the closed gate could be passed with."""
        answer = {
            "deployment_status": version.status,
            "gate": error.extra["gate"],
            "override_id": None,
        }
        if not is_dry:
            override = override_requests.open_for(
                version,
                environment=data["environment"],
                closed=error,
                terms=Terms(
                    rules=(),
                    justification=data.get("justification", ""),
                    expires_at=data.get("expires_at"),
                ),
                actor=self.actor,
            )
            answer |= {"override_id": override.pk, "override_status": override.status}
        answer["next"] = override_requests.steps(error)
        return Response(answer, status=202)


class RollbackView(ModelDeedView):
    """Back to an earlier version."""

    @operation(
        "Roll back to an earlier version",
        request=RollbackRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        example={"reason": "2.1.0 refuses too many"},
        answer_example={**EXAMPLE, "version": "2.0.0", "kind": "rollback"},
        description=(
            "A rollback passes the gate. To a version that was live within 30 days it "
            "skips the rule on the age of the evaluation, and opens a finding."
        ),
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Any:
        model = self.model(reference)
        data = validated(RollbackRequest, request)
        version = self._version(model, data)

        def roll_back() -> Response:
            made = deployments.deploy(
                version,
                environment=data["environment"],
                fallback=fallback_of(data.get("fallback"), model),
                reason=data["reason"],
                actor=self.actor,
            )
            return self.answer(made)

        return self.once(roll_back)

    def _version(self, model: RegisteredModel, data: dict[str, Any]) -> ModelVersion:
        if name := data.get("version"):
            return named_version(model, name)
        current = self.deployment(model, data["environment"])
        before = deployments.default_fallback(current.version, data["environment"])
        if before.version is None:
            raise ConflictError(
                "There was no other version before.",
                extra={"next": ["Name the version in `version`."]},
            )
        before.version.model = model
        return before.version


class SuspendView(ModelDeedView):
    """Stop it, alone and at once."""

    @operation(
        "Suspend what is deployed",
        request=SuspensionRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        example={"reason": "Applicants over 60 are all refused"},
        answer_example={**EXAMPLE, "deployment_status": "suspended"},
        description=(
            "An owner or a compliance officer may, alone. The permit ends and the "
            "fallback is named; DriftGuard stops no foreign endpoint by itself."
        ),
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Any:
        model = self.model(reference)
        data = validated(SuspensionRequest, request)
        row = self.deployment(model, data["environment"])

        def suspend() -> Response:
            return self.answer(
                suspensions.suspend(row, reason=data["reason"], actor=self.actor)
            )

        return self.once(suspend)


class ResumeView(ModelDeedView):
    """Let it go on, through the gate."""

    @operation(
        "Resume what is suspended",
        request=ResumptionRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        example={"reason": "The feed is repaired"},
        answer_example={**EXAMPLE, "kind": "resume"},
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Any:
        model = self.model(reference)
        data = validated(ResumptionRequest, request)
        row = self.deployment(model, data["environment"])

        def resume() -> Response:
            made = suspensions.resume(
                row,
                reason=data["reason"],
                fallback=fallback_of(data.get("fallback"), model),
                actor=self.actor,
            )
            return self.answer(made)

        return self.once(resume)


class BreakGlassView(ModelDeedView):
    """Past the gate in an emergency."""

    @operation(
        "Deploy past the gate in an emergency",
        request=BreakGlassRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        example={
            "version": "2.0.1",
            "hours": 4,
            "reason": "2.0.0 crashes on every third request",
            "password": "…",
        },
        answer_example={**EXAMPLE, "kind": "break_glass"},
        description=(
            "Where the policy allows it: one person, at most 8 hours, no extension. A "
            "critical finding opens, and a second person has to ratify it within 24 "
            "hours."
        ),
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Any:
        model = self.model(reference)
        data = validated(BreakGlassRequest, request)
        version = wanted_version(model, data.get("version"))
        actor = authority.confirmed(
            self.actor,
            data["password"],
            organization_id=model.organization_id,
            path=request.path,
        )

        def break_it() -> Response:
            made = break_glass.open_gate(
                version,
                environment=data["environment"],
                reason=data["reason"],
                hours=data.get("hours"),
                fallback=fallback_of(data.get("fallback"), model),
                actor=actor,
            )
            return self.answer(made)

        return self.once(break_it)
