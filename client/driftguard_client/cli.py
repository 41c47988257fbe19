"""The command `driftguard`: what a pipeline or a person at a console needs.

Exit status: 0 as hoped, 1 the gate is closed or a model is not fine, 2 it went wrong.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from driftguard_client import description
from driftguard_client._protocol import Call
from driftguard_client.client import DriftGuard
from driftguard_client.errors import ConflictError, DriftGuardError
from driftguard_client.version import __version__

ROWS_PER_REQUEST = 5000
OPEN = {"ALLOW", "ALLOW_WITH_WARNINGS", "ALLOW_BY_OVERRIDE"}
# Columns of a CSV file that are no features.
FIELDS = {
    "prediction",
    "timestamp",
    "entity_id",
    "model_version",
    "latency_ms",
    "actual_label",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        with DriftGuard(options.url, options.api_key) as client:
            return int(options.run(client, options))
    except DriftGuardError as error:
        print(f"driftguard: {error}", file=sys.stderr)
    except OSError as error:
        print(f"driftguard: {error.filename or ''}: {error.strerror}", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="driftguard", description="Talk to a DriftGuard server."
    )
    root.add_argument("--version", action="version", version=__version__)
    root.add_argument("--url", help="the server; else DRIFTGUARD_URL")
    root.add_argument("--api-key", help="the key; else DRIFTGUARD_API_KEY (better)")
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    _add_questions(command)
    _add_gates(command)
    export = command("export-audit", _export, "write the audit trail or its bundle")
    export.add_argument("file", type=Path)
    export.add_argument(
        "--format", choices=("bundle", "csv", "jsonl"), default="bundle"
    )
    _add_init(command("init", _init, "describe a model from a Parquet file in YAML"))
    apply = command("apply", _apply, "bring described models to the server")
    apply.add_argument("-f", "--file", type=Path, required=True, metavar="PATH")
    apply.add_argument("--yes", action="store_true", help="don't ask")
    apply.add_argument("--plan", action="store_true", help="only say what is to do")
    return root


def _add_questions(command: Any) -> None:
    register = command("register", _register, "register a model described in YAML")
    register.add_argument("file", type=Path)
    log = command("log", _log, "log predictions from JSON Lines, CSV or Parquet")
    log.add_argument("--model", required=True)
    log.add_argument("file", help="- for JSON Lines from standard input")
    log.add_argument("--skip-bad-rows", action="store_true")
    status = command("status", _status, "tell a model's health; 1 unless within limits")
    status.add_argument("model")
    drift = command("drift", _drift, "tell a model's live drift; 1 if it is in alert")
    drift.add_argument("model")


def _add_gates(command: Any) -> None:
    for name, run, text in (
        ("gate", _gate, "ask the deployment gate; 1 if it is closed"),
        ("deploy", _deploy, "deploy a version; 1 if the gate is closed"),
    ):
        made = command(name, run, text)
        made.add_argument("--model", required=True)
        made.add_argument("--version", dest="model_version")
        made.add_argument("--environment")
        made.add_argument("--json", action="store_true", help="the whole answer")
        if name == "deploy":
            made.add_argument("--override", action="store_true")


def _add_init(made: argparse.ArgumentParser) -> None:
    made.add_argument("--from-parquet", type=Path, required=True, metavar="FILE")
    made.add_argument("--name", help="else the file's name")
    made.add_argument("--model-version", default="1.0.0")
    made.add_argument("--label", metavar="COLUMN")
    made.add_argument("--prediction", metavar="COLUMN")
    made.add_argument("--probability", metavar="COLUMN")
    made.add_argument("--categorical", metavar="COLUMNS", default="")
    made.add_argument("--ignore", metavar="COLUMNS", default="")
    made.add_argument("--output", type=Path, help="else beside the Parquet file")


def _register(client: DriftGuard, options: argparse.Namespace) -> int:
    (told,) = description.read(options.file).values()
    _show(client.send(Call("POST", "/api/models", body=told)))
    return 0


def _log(client: DriftGuard, options: argparse.Namespace) -> int:
    on_error = "skip" if options.skip_bad_rows else "fail"
    if options.file.endswith(".parquet"):
        tables: Iterator[Any] = _parquet_parts(Path(options.file))
        answers = (
            client.upload_predictions(
                options.model, part, description.PARQUET, on_error=on_error
            )
            for part in tables
        )
    else:
        answers = (
            client.log_predictions(part, model=options.model, on_error=on_error)
            for part in _parts(_rows(options.file))
        )
    accepted = rejected = 0
    for answer in answers:
        accepted += answer["accepted"]
        rejected += answer["rejected"]
        for error in answer["errors"]:
            print(json.dumps(error), file=sys.stderr)
    print(f"{accepted} accepted, {rejected} rejected")
    return 1 if rejected else 0


def _parts(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(rows, ROWS_PER_REQUEST)):
        yield part


def _rows(name: str) -> Iterator[Any]:
    if name == "-":
        yield from _lines(sys.stdin)
        return
    with Path(name).open(encoding="utf-8", newline="") as file:
        yield from _records(file) if name.endswith(".csv") else _lines(file)


def _lines(file: IO[str]) -> Iterator[Any]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DriftGuardError(f"line {number} is not JSON: {error}") from None


def _records(file: IO[str]) -> Iterator[Any]:
    for record in csv.DictReader(file):
        row = {name: record[name] for name in FIELDS & record.keys() if record[name]}
        features = {
            name: _value(text) for name, text in record.items() if name not in FIELDS
        }
        for name in ("prediction", "actual_label", "latency_ms"):
            if name in row:
                row[name] = _value(row[name])
        yield {**row, "input_features": features}


def _value(text: str | None) -> Any:
    """Return a CSV cell as a number if it is one; an empty one is missing."""
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _parquet_parts(path: Path) -> Iterator[bytes]:
    from io import BytesIO

    try:
        from pyarrow import Table, parquet
    except ImportError:
        raise DriftGuardError(
            "Reading Parquet needs: pip install 'driftguard-client[files]'"
        ) from None
    for batch in parquet.ParquetFile(path).iter_batches(ROWS_PER_REQUEST):
        sink = BytesIO()
        parquet.write_table(Table.from_batches([batch]), sink)
        yield sink.getvalue()


def _status(client: DriftGuard, options: argparse.Namespace) -> int:
    told = client.status(options.model)
    _show(told)
    return 0 if told["governance_status"] == "APPROVED" else 1


def _drift(client: DriftGuard, options: argparse.Namespace) -> int:
    told = client.drift(options.model)
    _show(told)
    return 1 if told["drift_detected"] else 0


def _gate(client: DriftGuard, options: argparse.Namespace) -> int:
    return _asked(client.gate, options)


def _deploy(client: DriftGuard, options: argparse.Namespace) -> int:
    return _asked(client.deploy, options, override=options.override)


def _asked(ask: Any, options: argparse.Namespace, **more: Any) -> int:
    """Ask the gate and print its rules; 0 if it is open."""
    try:
        answer = ask(
            options.model,
            version=options.model_version,
            environment=options.environment,
            **more,
        )
    except ConflictError as error:
        answer = {"detail": error.detail, **error.extra}
        if "gate" not in answer:
            raise
    gate = answer.get("gate") or {}
    if options.json:
        _show(answer)
    else:
        _print_gate(answer, gate)
    return 0 if gate.get("result") in OPEN else 1


def _print_gate(answer: Any, gate: Any) -> None:
    print(gate.get("result") or answer.get("detail") or "no answer of the gate")
    for rule in gate.get("rules", []):
        mark = "ok  " if rule.get("passed") else "FAIL"
        seen = f"observed {rule.get('observed')}, limit {rule.get('limit')}"
        print(f"  {mark} {rule.get('name') or rule.get('rule')}: {seen}")
    following = answer.get("next") or []
    for step in [following] if isinstance(following, str) else following:
        print(f"  next: {step}")


def _export(client: DriftGuard, options: argparse.Namespace) -> int:
    path = "/api/audit/bundle"
    query = None
    if options.format != "bundle":
        path, query = "/api/audit/export", {"format": options.format}
    client.download(path, options.file, query)
    print(f"{options.file}: {options.file.stat().st_size} bytes")
    return 0


def _init(client: DriftGuard, options: argparse.Namespace) -> int:
    source: Path = options.from_parquet
    columns = description.Columns(
        options.label, options.prediction, options.probability, _names(options.ignore)
    )
    told = description.describe(
        source,
        name=options.name or source.stem,
        version=options.model_version,
        columns=columns,
        categorical=_names(options.categorical),
    )
    target = options.output or source.with_suffix(".yaml")
    description.write(told, target)
    print(f"{target}: look it over (categories, risk_tier, cadence), then apply it.")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _apply(client: DriftGuard, options: argparse.Namespace) -> int:
    steps = description.plan(client, description.read(options.file))
    for step in steps:
        print(f"{step.sign} {step.words}")
    if not steps:
        print("Nothing to do.")
    if options.plan or not steps:
        return 0
    if not options.yes and input("Do this? [y/N] ").strip().lower() != "y":
        return 1
    for step in steps:
        step.do()
    print(f"{len(steps)} done.")
    return 0


def _show(answer: Any) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
