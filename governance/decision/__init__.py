"""From facts to a verdict: the risk index, the rules, and the governance status.

Pure: the same facts, thresholds and previous state always give the same verdict.
"""

from governance.decision.facts import (
    ERROR_METRICS,
    ColumnFacts,
    Facts,
    GroupFacts,
    Measured,
    PerformanceFacts,
)
from governance.decision.risk import ColumnTerm, RiskTerms, risk_score
from governance.decision.rules import FailedRule
from governance.decision.thresholds import (
    DEFAULT_POLICY,
    RULE_NAMES,
    Effect,
    Level,
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
    "RULE_NAMES",
    "ColumnFacts",
    "ColumnTerm",
    "Effect",
    "Facts",
    "FailedRule",
    "GroupFacts",
    "Level",
    "Limits",
    "Measured",
    "PerformanceFacts",
    "PolicyError",
    "PreviousState",
    "RiskTerms",
    "Rule",
    "Status",
    "Thresholds",
    "Verdict",
    "decide",
    "explain",
    "risk_score",
]
