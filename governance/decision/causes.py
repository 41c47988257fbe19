"""What went wrong, as stable keys: one open finding for each."""

PERFORMANCE = "performance"


def drift_cause(column: str) -> str:
    """Return the cause that a column has drifted.

    Examples
    --------
    >>> drift_cause("income")
    'drift:income'
    """
    return f"drift:{column}"


def cause_of_rule(rule: str, subject: str) -> str:
    """Return the cause of a failed rule.

    Rules that fail for one reason have one cause: a drop that becomes a collapse is the
    same finding, and so is a column whose importance changes.

    Examples
    --------
    >>> cause_of_rule("R1", "income"), cause_of_rule("R6", "roc_auc")
    ('drift:income', 'performance')
    """
    if rule in {"R1", "R2", "R3"}:
        return drift_cause(subject)
    if rule in {"R5", "R6"}:
        return PERFORMANCE
    return f"{rule}:{subject}"
