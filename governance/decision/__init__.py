"""From facts to a verdict: the risk index, the rules, and the governance status.

Pure: the same facts, thresholds and previous state always give the same verdict.
"""

from governance.decision.controls import (
    GATE_RULE_NAMES,
    Controls,
    GateMode,
    Mode,
    OverrideLimit,
    Reaction,
    Stage,
)
from governance.decision.facts import (
    ERROR_METRICS,
    ColumnFacts,
    Facts,
    GroupFacts,
    Measured,
    PerformanceFacts,
)
from governance.decision.levels import Level
from governance.decision.risk import ColumnTerm, RiskTerms, risk_score
from governance.decision.rules import FailedRule
from governance.decision.thresholds import (
    DEFAULT_POLICY,
    RULE_NAMES,
    Effect,
    Limits,
    PolicyError,
    Rule,
    Thresholds,
)
from governance.decision.verdict import (
    PreviousState,
    Status,
    Verdict,
    decide,
    explain,
)

__all__ = [
    "DEFAULT_POLICY",
    "ERROR_METRICS",
    "GATE_RULE_NAMES",
    "RULE_NAMES",
    "ColumnFacts",
    "ColumnTerm",
    "Controls",
    "Effect",
    "Facts",
    "FailedRule",
    "GateMode",
    "GroupFacts",
    "Level",
    "Limits",
    "Measured",
    "Mode",
    "OverrideLimit",
    "PerformanceFacts",
    "PolicyError",
    "PreviousState",
    "Reaction",
    "RiskTerms",
    "Rule",
    "Stage",
    "Status",
    "Thresholds",
    "Verdict",
    "decide",
    "explain",
    "risk_score",
]
