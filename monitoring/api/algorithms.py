"""The registry of algorithms, as the Drift dialect lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView
from governance.api.documents import READING, operation
from monitoring.api.drift import READ

if TYPE_CHECKING:
    from monitoring.detectors import Detector

EXAMPLE: dict[str, Any] = {
    "algorithms": [
        {
            "name": "jensen_shannon",
            "family": "univariate",
            "appliesTo": ["categorical", "numeric"],
            "score": "Jensen-Shannon distance to base 2",
            "range": {"minimum": 0.0, "maximum": 1.0},
            "direction": "higher",
            "warningThreshold": 0.1,
            "alertThreshold": 0.2,
            "votes": False,
            "mayVote": True,
            "live": True,
            "parameters": {
                "bins": {
                    "default": "psi",
                    "type": "choice",
                    "minimum": None,
                    "maximum": None,
                    "choices": ["psi", "doane"],
                    "optional": False,
                }
            },
            "source": "scipy.spatial.distance.jensenshannon",
        }
    ]
}


class RangeAnswer(serializers.Serializer[Any]):
    """Between which values a score lies; null: no end."""

    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)


class AlgorithmAnswer(serializers.Serializer[Any]):
    """One algorithm, and how to read its score."""

    name = serializers.CharField()
    family = serializers.ChoiceField(
        ["univariate", "multivariate", "performance", "streaming", "custom"]
    )
    appliesTo = serializers.ListField(child=serializers.CharField())
    score = serializers.CharField(help_text="what it means")
    range = RangeAnswer()
    direction = serializers.ChoiceField(["higher"], help_text="where drift lies")
    warningThreshold = serializers.FloatField(allow_null=True)
    alertThreshold = serializers.FloatField(allow_null=True)
    votes = serializers.BooleanField(help_text="makes the status by default")
    mayVote = serializers.BooleanField(help_text="makes it where enabled")
    live = serializers.BooleanField(help_text="measured without an analysis")
    parameters = serializers.DictField(child=serializers.DictField())
    # DRF keeps declared fields apart from the property of this name.
    source = serializers.CharField()  # type: ignore[assignment]


class AlgorithmList(serializers.Serializer[Any]):
    """The registry."""

    algorithms = AlgorithmAnswer(many=True)


class AlgorithmsView(ApiView):
    """The registry of algorithms."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}

    @operation(
        "List the algorithms",
        answer=AlgorithmList,
        errors=READING,
        answer_example=EXAMPLE,
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        # numpy stays out of the web process until somebody asks for the registry.
        from monitoring.detectors import DETECTORS

        return Response({"algorithms": [_told(one) for one in DETECTORS.values()]})


def _told(detector: Detector) -> dict[str, Any]:
    from monitoring.alerting.parameters import parameter

    low, high = detector.limits
    return {
        "name": detector.name,
        "family": detector.family,
        "appliesTo": sorted(detector.kinds),
        "score": detector.score,
        "range": {"minimum": low, "maximum": high},
        "direction": "higher",
        "warningThreshold": detector.warning,
        "alertThreshold": detector.alert,
        "votes": detector.votes,
        "mayVote": detector.may_vote,
        "live": detector.live,
        "parameters": {
            name: {
                "default": default,
                **parameter(detector.name, name, default).to_json(),
            }
            for name, default in detector.parameters.items()
        },
        "source": detector.source,
    }
