"""Every deed leaves a trace: found by reading the source, not by trusting habit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Public functions that decide nothing: they read, count, or store rows by themselves.
NO_DECISION = {
    "governance/actions/authority.py": {
        "editor",
        "editors_of",
        "roles_of",
        "people_behind",
    },
    "governance/actions/audit.py": {
        "deed",
        "keep_refusals",
        "record",
        "plain",
        "payload_hash",
    },
    "governance/actions/credentials.py": {
        "authenticate",
        "forget",
        "home_of",
        "organizations_of",
        "roles_of",
        "scopes_of",
        "scopes_with_implied",
    },
    # A signature over the trail is no part of it: an entry would want another one.
    "governance/actions/checkpoints.py": {
        "consistency",
        "current",
        "due",
        "inclusion",
        "origin",
        "sign",
        "sign_due",
    },
    "governance/actions/bundles.py": {
        "contents",
        "manifest_of",
        "packed",
        "read_trail",
        "seal",
        "snapshot",
    },
    "governance/actions/copies.py": {
        "bring_up_to_date",
        "due",
        "last_of_each_day",
        "newest",
        "places",
        "set_aside",
        "stored",
    },
    "governance/actions/exports.py": {
        "csv_line",
        "csv_rows",
        "entries",
        "json_lines",
        "last_seq",
        "shown",
    },
    "governance/actions/verification.py": {"examine", "last_run"},
    "governance/actions/trees.py": {"grow", "root", "subtrees"},
    "governance/actions/invitations.py": {"count_attempt", "find", "link"},
    "governance/actions/limits.py": {"hit", "purge"},
    "governance/actions/policies.py": {
        "thresholds_for",
        "content_hash",
        "in_force_for",
        "closest",
        "default_of",
        "binding_hash",
        "read_content",
        "refuse_overlap",
    },
    # A round of beat does another deed of the same file for each row.
    "governance/actions/blocks.py": {"reaction_to", "sweep"},
    "governance/actions/break_glass.py": {"sweep"},
    "governance/actions/finding_reminders.py": {"remind_due"},
    "governance/actions/intakes.py": {"sweep"},
    "governance/actions/changes.py": {"read"},
    "governance/actions/deployments.py": {"default_fallback", "fallback_json", "tell"},
    "governance/actions/environments.py": {"overview"},
    "governance/actions/gate.py": {"ask", "may_serve", "mode_of"},
    "governance/actions/lifecycles.py": {"settle", "show", "status_of"},
    "governance/actions/override_checks.py": {
        "approver_roles",
        "check_justification",
        "check_rules",
        "check_span",
        "limit_of",
    },
    "governance/actions/override_ends.py": {"locked", "payload"},
    "governance/actions/override_requests.py": {
        "is_overridable",
        "soft_rules",
        "steps",
    },
    "governance/actions/override_terms.py": {"metrics", "sweep"},
    "governance/actions/permits.py": {"allow", "consider", "issue", "key_set"},
    "governance/actions/rounds.py": {"over"},
    "governance/actions/revalidations.py": {"due_at", "months_after", "sweep"},
    "governance/actions/suspensions.py": {"locked"},
    "governance/actions/backtests.py": {"sides_of", "run", "digest_of"},
    "governance/actions/policy_templates.py": {"names", "text", "read"},
    "governance/actions/publications.py": {"touched", "tried"},
    "governance/actions/endings.py": {
        "locked",
        "changes_of",
        "stale_sentence",
        "tell",
    },
    "governance/actions/low_risk.py": {"grant"},
    "governance/actions/approvals.py": {"subject_digest", "lock", "standing"},
    "governance/actions/quorums.py": {
        "voters",
        "counted",
        "holds",
        "shortfalls",
        "is_reachable",
        "remaining",
    },
    "governance/actions/submissions.py": {"barred_from"},
    "governance/actions/subjects.py": {
        "lock",
        "of_version",
        "of_change",
        "of_retirement",
        "of_publication",
        "of_request",
        "digest_of",
        "differences",
    },
    # A user of no organization yet: there is no trail to tell.
    "governance/actions/organizations.py": {"create_user", "roles_of_person"},
    "governance/actions/registry.py": {
        "author_of",
        "slug_of",
        "note_traffic",
        "require_change",
        "prepare",
    },
    "governance/actions/risk.py": {"cause_of"},
    "governance/actions/sessions.py": {"organization_for"},
}


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def calls(function: ast.FunctionDef) -> set[str]:
    """Return what a function calls, as `name` or `module.name`."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = node.func
            if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
                found.add(f"{name.value.id}.{name.attr}")
            elif isinstance(name, ast.Name):
                found.add(name.id)
    return found


def is_deed(function: ast.FunctionDef) -> bool:
    return any("deed" in ast.unparse(one) for one in function.decorator_list)


FILES = sorted(ROOT.glob("*/actions/*.py"))
DEEDS = {
    f"{path.stem}.{name}"
    for path in FILES
    for name, function in functions(path).items()
    if is_deed(function)
}


def leaves_trace(name: str, known: dict[str, ast.FunctionDef]) -> bool:
    """Tell whether a function records, itself or through what it calls."""
    seen: set[str] = set()
    waiting = {name}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        called = calls(known[current])
        if called & {"record", "audit.record"} or called & DEEDS:
            return True
        waiting |= {one for one in called if one in known} - seen
    return False


@pytest.mark.parametrize(
    "path",
    [one for one in FILES if "governance" in one.parts],
    ids=lambda one: one.name,
)
def test_every_public_function_of_governance_leaves_a_trace(path: Path) -> None:
    known = functions(path)
    silent = {
        name
        for name in known
        if not name.startswith("_") and not leaves_trace(name, known)
    }
    assert silent == NO_DECISION.get(str(path.relative_to(ROOT)), set())


def has_actor(function: ast.FunctionDef) -> bool:
    return "actor" in {argument.arg for argument in function.args.kwonlyargs}


@pytest.mark.parametrize("path", FILES, ids=lambda one: "/".join(one.parts[-3::2]))
def test_whatever_somebody_does_leaves_a_trace(path: Path) -> None:
    known = functions(path)
    acting = {
        name
        for name, function in known.items()
        if has_actor(function) and not name.startswith("_")
    }
    listed = NO_DECISION.get(str(path.relative_to(ROOT)), set())
    assert {name for name in acting if not leaves_trace(name, known)} <= listed


def test_deeds_of_governance_name_their_actor() -> None:
    for path in ROOT.glob("governance/actions/*.py"):
        for name, function in functions(path).items():
            # What traffic brings about is the system's own doing.
            if is_deed(function) and name != "unregistered_version":
                assert name.startswith("_") or has_actor(function), name
