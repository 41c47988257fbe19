"""Models described in YAML files: made from data, brought to the server.

`describe` looks at a Parquet file and writes down what it sees; a person corrects it.
`plan` compares descriptions with the server and says what has to be done; doing that
again finds nothing left to do. Needs the extra `files` (PyYAML, pyarrow).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

from driftguard_client.client import DriftGuard
from driftguard_client.errors import DriftGuardError

PARQUET = "application/vnd.apache.parquet"
MODEL_FIELDS = (
    "description",
    "purpose",
    "external_ref",
    "risk_tier",
    "cadence",
    "label_horizon",
    "owner",
)


@dataclass(frozen=True)
class Columns:
    """What the columns of a file are, apart from features."""

    label: str | None = None
    prediction: str | None = None
    probability: str | None = None
    ignored: tuple[str, ...] = ()

    @property
    def taken(self) -> set[str | None]:
        return {self.label, self.prediction, self.probability, *self.ignored}


@dataclass(frozen=True)
class Step:
    """One thing that has to be done, in words and as a function."""

    sign: str  # + makes, ~ changes
    words: str
    do: Callable[[], Any] = field(compare=False)


def describe(
    path: Path, *, name: str, version: str, columns: Columns, categorical: Iterable[str]
) -> dict[str, Any]:
    """Return the description of a model whose baseline is a Parquet file.

    A column is categorical if it is text or boolean, or named in `categorical`; never
    because it has few values.
    """
    schema = _parquet().read_schema(path)
    types = {
        column.name: _type(str(column.type), column.name in set(categorical))
        for column in schema
        if column.name not in columns.taken
    }
    for wanted in [*columns.taken, *categorical]:
        if wanted is not None and wanted not in schema.names:
            raise DriftGuardError(f"{path} has no column {wanted!r}.")
    baseline = {
        "file": path.name,
        "prediction": columns.prediction,
        "probability": columns.probability,
        "label": columns.label,
        "ignore": list(columns.ignored),
    }
    return {
        "model_name": name,
        "version": version,
        "cadence": "stream",
        "risk_tier": "high",
        "schema_definition": {
            "features": list(types),
            "feature_types": types,
            **({"target": columns.label} if columns.label else {}),
        },
        "baseline": {key: value for key, value in baseline.items() if value},
    }


def _type(arrow: str, is_categorical: bool) -> str:
    if is_categorical or "string" in arrow or arrow.startswith("dictionary"):
        return "categorical"
    if arrow == "bool":
        return "boolean"
    if re.fullmatch(r"u?int\d+", arrow):
        return "int"
    if re.fullmatch(r"(float|double|halffloat|decimal).*", arrow):
        return "float"
    raise DriftGuardError(
        f"A column of type {arrow} is no feature: name it with --ignore."
    )


def write(description: Mapping[str, Any], path: Path) -> None:
    """Write a description; refuses to write over one that a person may have changed."""
    if path.exists():
        raise DriftGuardError(f"{path} is there already.")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _yaml().safe_dump(dict(description), sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def read(path: Path) -> dict[Path, dict[str, Any]]:
    """Return the descriptions in a file, or in all YAML files of a directory."""
    files = [path]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml"))
    if not files:
        raise DriftGuardError(f"{path} has no YAML files.")
    found = {}
    for file in files:
        try:
            told = _yaml().safe_load(file.read_text(encoding="utf-8"))
        except (OSError, _yaml().YAMLError) as error:
            raise DriftGuardError(f"{file} can't be read: {error}") from error
        if not isinstance(told, dict) or not {"model_name", "version"} <= told.keys():
            raise DriftGuardError(f"{file} has to say model_name and version.")
        found[file] = told
    return found


def plan(
    client: DriftGuard, descriptions: Mapping[Path, Mapping[str, Any]]
) -> list[Step]:
    """Return the steps from what the server has to what the files say."""
    return [
        step
        for file, told in descriptions.items()
        for step in _steps(client, file, told)
    ]


def _steps(client: DriftGuard, file: Path, told: Mapping[str, Any]) -> list[Step]:
    name, version = str(told["model_name"]), str(told["version"])
    rest = {
        key: told[key]
        for key in told
        if key not in ("model_name", "version", "baseline")
    }
    label = f"{name} {version}"
    existing = _model(client, name)
    steps = []
    if existing is None or version not in _versions(client, existing["id"]):
        steps.append(
            Step(
                "+",
                f"{'model' if existing is None else 'version'} {label}",
                lambda: client.register_model(name, version, **rest),
            )
        )
    else:
        changed = {
            key: rest[key]
            for key in MODEL_FIELDS
            if key in rest and _differs(existing.get(key), rest[key])
        }
        if changed:
            steps.append(
                Step(
                    "~",
                    f"model {name}: {', '.join(changed)}",
                    lambda: client.update_model(existing["id"], **changed),
                )
            )
    if baseline := told.get("baseline"):
        steps += _baseline_steps(client, existing, file, label, baseline, version)
    return steps


def _baseline_steps(
    client: DriftGuard,
    existing: Mapping[str, Any] | None,
    file: Path,
    label: str,
    baseline: Mapping[str, Any],
    version: str,
) -> list[Step]:
    source = file.parent / str(baseline["file"])
    if not source.is_file():
        raise DriftGuardError(f"{file} names a baseline that is not there: {source}")
    # The content names the baseline, so that the same one is never sent twice.
    told = json.dumps(baseline, sort_keys=True).encode()
    digest = hashlib.sha256(told + source.read_bytes()).hexdigest()[:12]
    tag = f"{version}-{digest}"
    if existing is not None and any(
        one["version"] == tag for one in client.baselines(existing["id"])
    ):
        return []
    name = label.rpartition(" ")[0]

    def send() -> Any:
        model = _model(client, name)
        if model is None:
            raise DriftGuardError(f"The server has no model {name!r}.")
        content = baseline_content(source, baseline)
        sent = client.upload_baseline(
            model["id"], tag, content, PARQUET, model_version=version
        )
        return client.activate_baseline(model["id"], sent["baselineId"])

    return [Step("+", f"baseline of {label} from {baseline['file']}", send)]


def baseline_content(path: Path, told: Mapping[str, Any]) -> bytes:
    """Return a baseline file in the names that the server knows, without the rest."""
    import pyarrow as arrow

    parquet = _parquet()
    table = parquet.read_table(path)
    table = table.drop_columns(
        [one for one in told.get("ignore", []) if one in table.column_names]
    )
    names = {
        told.get("prediction"): "prediction",
        told.get("probability"): "probability",
        told.get("label"): "actual_label",
    }
    table = table.rename_columns([names.get(one, one) for one in table.column_names])
    sink = arrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _model(client: DriftGuard, name: str) -> dict[str, Any] | None:
    cursor = None
    while True:
        page = client.models(name=name, cursor=cursor, limit=100)
        for one in page.get("results", []):
            if one.get("model_name", one.get("name")) == name:
                return one
        cursor = parse_qs(urlsplit(page.get("next") or "").query).get("cursor", [None])[
            0
        ]
        if not cursor:
            return None


def _versions(client: DriftGuard, model: int) -> set[str]:
    found: set[str] = set()
    while True:
        page = client.versions(model, limit=1000, offset=len(found))
        named = {str(one["version"]) for one in page["versions"]}
        if named <= found:
            return found
        found |= named


def _differs(there: Any, here: Any) -> bool:
    if isinstance(there, Mapping) and "email" in there:
        there = there["email"]
    return json.dumps(there, sort_keys=True) != json.dumps(here, sort_keys=True)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise _missing() from None
    return yaml


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise _missing() from None
    return parquet


def _missing() -> DriftGuardError:
    return DriftGuardError("This needs: pip install 'driftguard-client[files]'")
