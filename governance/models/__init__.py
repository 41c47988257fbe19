from governance.models.approvals import (
    ApprovalComment,
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    ApprovedSubject,
    Delegation,
    StageApprover,
)
from governance.models.artifacts import Artifact
from governance.models.audit import (
    AuditEntry,
    AuditHead,
    AuditPayload,
    AuditTile,
    Checkpoint,
    CheckpointCopy,
)
from governance.models.deployments import Deployment
from governance.models.findings import (
    Finding,
    FindingAction,
    FindingComment,
    FindingLink,
    Remediation,
)
from governance.models.invitations import Invitation
from governance.models.limits import RateLimit
from governance.models.notifications import Notification
from governance.models.organizations import (
    ApiKey,
    Membership,
    Organization,
    TokenSession,
    User,
)
from governance.models.overrides import Override
from governance.models.policies import Policy, PolicyVersion
from governance.models.registry import ModelVersion, RegisteredModel
from governance.models.risk import (
    Assessment,
    Evidence,
    GovernanceStatus,
    RiskScore,
    StatusChange,
)

__all__ = [
    "ApiKey",
    "ApprovalComment",
    "ApprovalRequest",
    "ApprovalStage",
    "ApprovalVote",
    "ApprovedSubject",
    "Artifact",
    "Assessment",
    "AuditEntry",
    "AuditHead",
    "AuditPayload",
    "AuditTile",
    "Checkpoint",
    "CheckpointCopy",
    "Delegation",
    "Deployment",
    "Evidence",
    "Finding",
    "FindingAction",
    "FindingComment",
    "FindingLink",
    "GovernanceStatus",
    "Invitation",
    "Membership",
    "ModelVersion",
    "Notification",
    "Organization",
    "Override",
    "Policy",
    "PolicyVersion",
    "RateLimit",
    "RegisteredModel",
    "Remediation",
    "RiskScore",
    "StageApprover",
    "StatusChange",
    "TokenSession",
    "User",
]
