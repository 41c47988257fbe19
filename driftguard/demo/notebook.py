"""What the demo must remember between two runs: its key, its passwords, its table.

An API key is shown once, and a month can be measured only while it is the newest.
"""

import json
import os
from pathlib import Path
from typing import Any

from driftguard.demo.measurements import SCORED, Measurement

# Another version has other contents or another story; its replay can't be gone on with.
VERSION = 2


class ForeignNotebookError(Exception):
    """The notebook was written by another version of the demo, or isn't one."""


class Notebook:
    """A JSON file under the data directory that only its owner can read.

    Raises ForeignNotebookError if it can't be gone on with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = {"version": VERSION}
        if path.exists():
            self.content = _read(path)

    def get(self, name: str) -> str:
        return str(self.content.get(name, ""))

    def put(self, name: str, value: str) -> None:
        self.content[name] = value
        self._write()

    def measurements(self, model: str) -> list[Measurement]:
        """Return what was measured of a model, in the order of the replay."""
        kept = self.content.get("measurements", {}).get(model, [])
        return [Measurement.from_json(one) for one in kept]

    def add(self, model: str, measurement: Measurement) -> None:
        """Keep a measurement, in place of an earlier one of the same step."""
        kept = {_place(one): one for one in self.measurements(model)}
        kept[_place(measurement)] = measurement
        rows = [kept[place].to_json() for place in sorted(kept)]
        self.content.setdefault("measurements", {})[model] = rows
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.content, file, indent=1)
        fresh.replace(self.path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        version = content.get("version", 1)
    except (ValueError, AttributeError) as error:
        raise ForeignNotebookError(f"{path} is no notebook of the demo.") from error
    if version != VERSION:
        raise ForeignNotebookError(
            f"The demo in this data directory is of version {version}, this one of "
            f"{VERSION}: {path} can't be gone on with. Remove the data directory "
            f"{path.parent.parent} to start over, or give another one: --data-dir."
        )
    return dict(content)


def _place(measurement: Measurement) -> tuple[str, bool]:
    """Order the steps as the replay goes: scored first, the outcomes afterwards."""
    return measurement.month, measurement.step != SCORED
