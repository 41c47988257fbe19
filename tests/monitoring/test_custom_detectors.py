"""Detectors that an operator brings along, with all that may go wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from governance.models import ModelVersion
from monitoring import detectors
from monitoring.actions import alerts
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.custom import joining, running
from monitoring.custom.running import CustomDetector, CustomDetectorError, Limits
from monitoring.detectors import DETECTORS
from monitoring.stats.columns import Codes
from monitoring.stats.measure import Measure, NoDataError
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import give_baseline, make_version, rows
from tests.running_server import ROOT

BROUGHT = "tests.monitoring.brought_along"
SHORT = Limits(seconds=2, memory=512 << 20)
KINDS: dict[str, Any] = {"x": "numeric", "c": "categorical"}


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Leave the registry as it was."""
    before = dict(DETECTORS)
    yield
    detectors._REGISTRY.clear()
    detectors._REGISTRY.update(before)


def join(*names: str) -> list[str]:
    return joining.join([("", f"{BROUGHT}:{name}") for name in names], SHORT)


def side(count: int, shift: float = 0.0) -> dict[str, Any]:
    codes = np.arange(count, dtype=np.int32) % 3 - 1
    return {"x": np.arange(count) % 10 + shift, "c": Codes(codes, ["a", "b"])}


def run(name: str, limits: Limits = SHORT, **parameters: Any) -> Measure:
    detector = CustomDetector(f"{BROUGHT}:{name}", limits)
    return detector(side(100), side(90, 1.0), KINDS, **parameters)


def test_a_detector_joins_with_what_it_says_of_itself() -> None:
    assert join("mean_shift") == []
    joined = DETECTORS["mean_shift"]
    assert (joined.family, joined.thresholds) == ("custom", (0.5, 1.0))
    assert dict(joined.parameters) == {"column": "x", "by": 1}
    assert joined.score == "Return how far the mean has moved, in a unit of choice."
    assert joined.source == f"{BROUGHT}:mean_shift"
    assert (joined.votes, joined.may_vote, joined.live) == (False, True, False)
    # In another process of the same machine, or once more in this one.
    assert join("mean_shift") == []


def test_its_score_is_measured_in_a_process_of_its_own() -> None:
    measure = run("mean_shift")
    assert measure.score == pytest.approx(1.0)
    assert (measure.n_baseline, measure.n) == (100, 90)
    assert measure.detail["rows"] == [100, 90]
    assert run("mean_shift", by=4.0).score == pytest.approx(0.25)


def test_it_sees_the_rows_and_nothing_else() -> None:
    os.environ["A_SECRET"] = "of ours"
    try:
        detail = run("told").detail
    finally:
        del os.environ["A_SECRET"]
    assert detail["secrets"] == []
    assert detail["directory"] == []
    assert detail["types"] == {"x": "float64", "c": "category"}
    assert detail["categories"] == ["a", "b", "nan"]
    assert detail["missing"] == {"x": 0, "c": 30}
    assert detail["settings"] is False


def test_long_tables_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_ROWS", 40)
    first, second = run("mean_shift"), run("mean_shift")
    assert first.detail["rows"] == [40, 40]
    assert first.detail["rows_seen"] == [40, 40]
    assert (first.n_baseline, first.n) == (100, 90)
    assert first.score == second.score


def test_without_rows_it_isn_t_called() -> None:
    detector = CustomDetector(f"{BROUGHT}:breaks", SHORT)
    with pytest.raises(NoDataError):
        detector(side(100), side(0), KINDS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("breaks", "ValueError: the moon is full"),
        ("sleeps", "longer than 2 seconds"),
        ("spins", "longer than 2 seconds"),
        ("dies", "without an answer"),
        ("leaves", "without an answer"),
        ("not_a_number", "no finite number: nan"),
        ("nothing", "has to return"),
        ("impossible", "isn't in"),
        ("chatty", "longer than 65,536"),
        ("odd", "no plain, finite JSON"),
        ("missing", "AttributeError"),
    ],
)
def test_whatever_goes_wrong_is_told(name: str, reason: str) -> None:
    with pytest.raises(CustomDetectorError, match=reason):
        run(name)


def test_a_detector_that_takes_too_much_memory_is_ended() -> None:
    with pytest.raises(CustomDetectorError, match="more memory than is allowed"):
        run("devours", Limits(seconds=30, memory=128 << 20))


def test_a_flood_of_words_ends() -> None:
    with pytest.raises(CustomDetectorError):
        run("floods")


def test_nothing_is_left_running() -> None:
    for name in ("sleeps", "spins"):
        with pytest.raises(CustomDetectorError):
            run(name)
    mine = psutil.Process().children(recursive=True)
    assert not [one for one in mine if "monitoring.custom.child" in one.cmdline()]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("psi", "the registry has an algorithm 'psi' already"),
        ("one_table", "has to take two tables"),
        ("no_default", "'depth' has no default"),
        ("falls", "don't rise"),
        ("half", "has one threshold"),
        ("A_NUMBER", "can't be called"),
        ("missing", "AttributeError"),
    ],
)
def test_an_unsound_detector_is_left_out_with_its_fault(name: str, fault: str) -> None:
    before = dict(DETECTORS)
    (told,) = join(name)
    assert fault in told
    assert f"{BROUGHT}:{name}" in told
    assert dict(DETECTORS) == before


def test_one_bad_detector_keeps_no_good_one_out() -> None:
    faults = join("falls", "mean_shift")
    assert len(faults) == 1
    assert "mean_shift" in DETECTORS


def test_a_module_that_can_t_be_imported_is_told() -> None:
    (told,) = joining.join([("mine", "no.such.module:thing")], SHORT)
    assert "No module named" in told
    (told,) = joining.join([("mine", "nonsense")], SHORT)
    assert "no path" in told
    (told,) = joining.join([("Not a name!", f"{BROUGHT}:mean_shift")], SHORT)
    assert "no name" in told


@pytest.fixture
def version(db: None) -> ModelVersion:
    version = make_version()
    give_baseline(version)
    return version


def test_an_analysis_runs_it_and_counts_its_vote(version: ModelVersion) -> None:
    assert join("mean_shift", "unsure", "breaks") == []
    alerts.change(
        version.model,
        settings=AlertSettings(
            algorithms=("mean_shift", "breaks"),
            overrides={"mean_shift": Override(params={"by": 0.5})},
        ),
        actor=None,
    )
    traffic.log(version, rows(300, shift=0.4))
    result = analysed.result(version)
    told = result.algorithms["mean_shift"]
    assert told["score"] == pytest.approx(0.8, abs=0.2)
    assert (told["status"], told["votes"]) == ("warning", True)
    assert (told["warning"], told["alert"]) == (0.5, 1.0)
    assert result.status == "warning"
    # What isn't significant is no drift, however large.
    assert result.algorithms["unsure"]["status"] == "ok"
    failed = result.algorithms["breaks"]
    assert (failed["status"], failed["score"]) == ("failed", None)
    assert failed["reason"] == "ValueError: the moon is full"


def test_settings_may_name_it_and_its_parameters(version: ModelVersion) -> None:
    join("mean_shift")
    read = alerts.read(
        {
            "algorithms": {
                "enabled": ["mean_shift"],
                "overrides": {"mean_shift": {"params": {"column": "y"}}},
            }
        }
    )
    assert read.overrides["mean_shift"].params == {"column": "y"}


def started(tmp_path: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    code = (
        "import django; django.setup(); "
        "from django.core import checks; from monitoring.detectors import DETECTORS; "
        "import json; print(json.dumps({'faults': [c.msg for c in checks.run_checks() "
        "if c.id == 'monitoring.E001'], 'custom': [d.name for d in DETECTORS.values() "
        "if d.family == 'custom']}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "driftguard.settings",
            "DRIFTGUARD_DATA_DIR": str(tmp_path),
            **variables,
        },
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_setting_names_detectors(tmp_path: Path) -> None:
    paths = f"{BROUGHT}:mean_shift,{BROUGHT}:falls"
    told = json.loads(started(tmp_path, CUSTOM_DETECTORS=paths).stdout)
    assert told["custom"] == ["mean_shift"]
    (fault,) = told["faults"]
    assert "don't rise" in fault


def test_the_server_does_not_start_with_a_bad_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CUSTOM_DETECTORS": f"{BROUGHT}:falls"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "don't rise" in done.stderr
    assert "monitoring.E001" in done.stderr


def test_an_installed_package_brings_detectors_along(tmp_path: Path) -> None:
    package = tmp_path / "acme-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n"
    )
    (package / "entry_points.txt").write_text(
        "[driftguard.detectors]\ntail = acme_detectors:tail\n"
    )
    (tmp_path / "acme_detectors.py").write_text(
        "def tail(reference, current):\n    return {'score': 1}\n"
    )
    told = json.loads(started(tmp_path, PYTHONPATH=str(tmp_path)).stdout)
    assert told == {"faults": [], "custom": ["tail"]}


def test_without_any_nothing_is_loaded(tmp_path: Path) -> None:
    code = "import sys, django; django.setup(); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "driftguard.settings",
            "DRIFTGUARD_DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
