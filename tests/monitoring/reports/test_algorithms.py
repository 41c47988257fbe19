import re

import pytest

from monitoring.detectors import DETECTORS, Detector
from monitoring.reports import algorithms
from tests.running_server import ROOT

PAGE = ROOT / "docs" / "algorithms.md"


def section(name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    [body] = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", text, re.M | re.S)
    return str(body)


def test_the_document_is_what_the_registry_says() -> None:
    told = "run `manage.py algorithms_doc`"
    assert PAGE.read_text(encoding="utf-8") == algorithms.markdown(), told


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=lambda one: one.name)
def test_every_algorithm_has_a_section_with_its_parameters(detector: Detector) -> None:
    body = section(detector.name)
    assert detector.source in body
    for name, words in algorithms.parameters_of(detector).items():
        assert f"| `{name}` |" in body
        assert len(words) > 5
    assert ">>>" not in body


def test_a_docstring_that_describes_two_at_once_describes_both() -> None:
    found = algorithms.parameters_of(DETECTORS["ddm"])
    assert found["warning_threshold"] == found["drift_threshold"]
    assert "Standard deviations" in found["drift_threshold"]
