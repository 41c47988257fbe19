from monitoring.models.alerts import Alarm, AlertConfig
from monitoring.models.analyses import (
    AnalysisRun,
    DriftResult,
    LiveResult,
    StreamState,
)
from monitoring.models.baselines import Baseline
from monitoring.models.day_views import DayView
from monitoring.models.imports import ImportMark
from monitoring.models.performance import PerformanceResult
from monitoring.models.predictions import (
    GroundTruth,
    IdempotencyKey,
    Prediction,
    Quarantine,
    Receipt,
)
from monitoring.models.profiles import (
    Profile,
    ProfiledReceipt,
    Segment,
    SegmentedReceipt,
)

__all__ = [
    "Alarm",
    "AlertConfig",
    "AnalysisRun",
    "Baseline",
    "DayView",
    "DriftResult",
    "GroundTruth",
    "IdempotencyKey",
    "ImportMark",
    "LiveResult",
    "PerformanceResult",
    "Prediction",
    "Profile",
    "ProfiledReceipt",
    "Quarantine",
    "Receipt",
    "Segment",
    "SegmentedReceipt",
    "StreamState",
]
