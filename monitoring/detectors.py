"""The registry of algorithms: one line each.

A detector is a function together with what a person must know to read its score. What
the function is given depends on the family:

- univariate: ``(baseline, window, **parameters) -> Measure``, one column of each;
- multivariate: ``(baseline, window, kinds, **parameters) -> Measure``, the columns by
  name, and which of them are numeric or categorical;
- performance: ``(baseline, window, **parameters) -> Measure``, both `drops.Outcomes`;
- streaming: ``(**parameters) -> Stream``, which is fed with what is new;
- custom: as multivariate. `monitoring.custom` brings them in when a process starts.

Each says so by a `NotMeasurableError` where there is nothing to say. `stats.drift`
computes the univariate figures from counts and takes thresholds from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from monitoring.stats import (
    discrepancy,
    domain,
    drops,
    multivariate,
    streaming,
    univariate,
    windowing,
)
from monitoring.stats.drift import VOTING
from monitoring.stats.live import DISTANCES

Family = Literal["univariate", "multivariate", "performance", "streaming", "custom"]
Kinds = frozenset[str]

NUMERIC: Kinds = frozenset({"numeric"})
CATEGORICAL: Kinds = frozenset({"categorical"})
ANY = NUMERIC | CATEGORICAL
CLASSES: Kinds = frozenset({"binary", "multiclass"})
REGRESSION: Kinds = frozenset({"regression"})
ERRORS: Kinds = frozenset({"errors"})
STREAMS = ERRORS | {"values"}

# Measured from counts too.
LIVE = frozenset(
    {*DISTANCES, "ks_test", "chi_square", "wasserstein", "wasserstein_normed"}
)


@dataclass(frozen=True, slots=True)
class Detector:
    """One algorithm, as listed by the API and run by the analysis job.

    `warning` and `alert` are None where a score has no threshold of its own (it is in
    the column's unit, or grows without bound); it is shown and never judged. Drift is
    always a score at or above its threshold.
    """

    name: str
    family: Family
    # What it applies to: kinds of columns, or of tasks (performance), or of streams.
    kinds: Kinds
    function: Callable[..., Any]
    score: str  # what the score means
    limits: tuple[float | None, float | None]  # range of the score; None: no end
    warning: float | None
    alert: float | None
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # name → default

    @property
    def votes(self) -> bool:
        """Whether it makes the status of a column by default."""
        return self.name in VOTING

    @property
    def may_vote(self) -> bool:
        """Whether it makes the status where a configuration enables it."""
        return self.thresholds is not None

    @property
    def live(self) -> bool:
        """Whether the live view shows it, from counts alone."""
        return self.name in LIVE

    @property
    def thresholds(self) -> tuple[float, float] | None:
        """Warning and alert threshold, None if the score is never judged."""
        if self.warning is None or self.alert is None:
            return None
        return self.warning, self.alert


_UNIT = (0.0, 1.0)
_OPEN = (0.0, None)
_ANY = (None, None)
_BINS = MappingProxyType({"bins": "psi"})
_METRIC = MappingProxyType({"metric": None})
_PERMUTED = MappingProxyType(
    {
        "max_rows": discrepancy.MAX_ROWS,
        "permutations": discrepancy.PERMUTATIONS,
        "seed": 0,
    }
)
_CHANGES = "changes found among the new values"
_YATES = MappingProxyType({"correction": True})

_ALL = (
    # name, family, kinds, function, score, range, warning, alert, source, parameters
    Detector(
        "psi",
        "univariate",
        ANY,
        univariate.psi,
        "population stability index over the baseline's deciles or categories",
        _OPEN,
        0.1,
        0.25,
        "Siddiqi, Credit Risk Scorecards (2006), ch. 7",
    ),
    Detector(
        "ks_test",
        "univariate",
        NUMERIC,
        univariate.ks_test,
        "largest distance D of the two distribution functions",
        _UNIT,
        0.1,
        0.2,
        "scipy.stats.ks_2samp",
    ),
    Detector(
        "chi_square",
        "univariate",
        CATEGORICAL,
        univariate.chi_square,
        "Cramér's V of baseline and window over the union of categories",
        _UNIT,
        0.1,
        0.2,
        "scipy.stats.chi2_contingency",
        _YATES,
    ),
    Detector(
        "jensen_shannon",
        "univariate",
        ANY,
        univariate.jensen_shannon,
        "Jensen-Shannon distance to base 2",
        _UNIT,
        0.1,
        0.2,
        "scipy.spatial.distance.jensenshannon",
        _BINS,
    ),
    Detector(
        "hellinger",
        "univariate",
        ANY,
        univariate.hellinger,
        "Hellinger distance of the shares",
        _UNIT,
        0.1,
        0.2,
        "Le Cam & Yang, Asymptotics in Statistics (2000), ch. 3",
        _BINS,
    ),
    Detector(
        "total_variation",
        "univariate",
        ANY,
        univariate.total_variation,
        "share of rows that would have to move",
        _UNIT,
        0.1,
        0.2,
        "half the sum of the differences of the shares",
        _BINS,
    ),
    Detector(
        "l_infinity",
        "univariate",
        ANY,
        univariate.l_infinity,
        "largest difference of a share",
        _UNIT,
        0.1,
        0.2,
        "largest difference of the shares",
        _BINS,
    ),
    Detector(
        "wasserstein_normed",
        "univariate",
        NUMERIC,
        univariate.wasserstein_normed,
        "mean distance a value would have to move, in baseline standard deviations",
        _OPEN,
        0.1,
        0.2,
        "scipy.stats.wasserstein_distance, scaled",
    ),
    Detector(
        "wasserstein",
        "univariate",
        NUMERIC,
        univariate.wasserstein,
        "mean distance a value would have to move, in the column's unit",
        _OPEN,
        None,
        None,
        "scipy.stats.wasserstein_distance",
    ),
    Detector(
        "kl_divergence",
        "univariate",
        ANY,
        univariate.kl_divergence,
        "Kullback-Leibler divergence of the window from the baseline, in nats",
        _OPEN,
        None,
        None,
        "scipy.stats.entropy",
    ),
    Detector(
        "energy",
        "univariate",
        NUMERIC,
        univariate.energy,
        "energy distance of the two distribution functions",
        _OPEN,
        None,
        None,
        "scipy.stats.energy_distance",
    ),
    Detector(
        "cramer_von_mises",
        "univariate",
        NUMERIC,
        univariate.cramer_von_mises,
        "Cramér-von Mises criterion divided by N n / (N + n)",
        _OPEN,
        None,
        None,
        "scipy.stats.cramervonmises_2samp",
    ),
    Detector(
        "anderson_darling",
        "univariate",
        NUMERIC,
        univariate.anderson_darling,
        "Anderson-Darling criterion divided by N n / (N + n)",
        _OPEN,
        None,
        None,
        "scipy.stats.anderson_ksamp",
    ),
    Detector(
        "mann_whitney",
        "univariate",
        NUMERIC,
        univariate.mann_whitney,
        "rank-biserial correlation: how much more often one side is the larger",
        _UNIT,
        None,
        None,
        "scipy.stats.mannwhitneyu",
    ),
    Detector(
        "welch_t",
        "univariate",
        NUMERIC,
        univariate.welch_t,
        "difference of the means in pooled standard deviations",
        _OPEN,
        None,
        None,
        "scipy.stats.ttest_ind",
    ),
    Detector(
        "pca_reconstruction",
        "multivariate",
        ANY,
        multivariate.pca_reconstruction,
        "change of the mean reconstruction error, in standard deviations of the "
        "baseline's chunks",
        _OPEN,
        3.0,
        6.0,
        "Jolliffe, Principal Component Analysis (2002), section 10.1",
        MappingProxyType({"explained": multivariate.EXPLAINED, "chunk_rows": None}),
    ),
    Detector(
        "domain_classifier",
        "multivariate",
        ANY,
        domain.domain_classifier,
        "area under the ROC curve of trees that tell window from baseline; 0.5 if they "
        "can't",
        _UNIT,
        0.65,
        0.75,
        "Lopez-Paz & Oquab, ICLR 2017",
        MappingProxyType(
            {"max_rows": domain.MAX_ROWS, "folds": domain.FOLDS, "seed": 0}
        ),
    ),
    Detector(
        "mmd",
        "multivariate",
        ANY,
        discrepancy.mmd,
        "maximum mean discrepancy under a Gaussian kernel",
        _OPEN,
        0.1,
        0.2,
        "Gretton et al., JMLR 13 (2012)",
        _PERMUTED,
    ),
    Detector(
        "energy_distance",
        "multivariate",
        ANY,
        discrepancy.energy_distance,
        "energy distance of the standardised rows",
        _OPEN,
        None,
        None,
        "Székely & Rizzo, JSPI 143 (2013)",
        _PERMUTED,
    ),
    Detector(
        "realized",
        "performance",
        CLASSES,
        drops.realized,
        "drop of accuracy, or of another metric, by the labels",
        _ANY,
        0.05,
        0.1,
        "sklearn.metrics",
        _METRIC,
    ),
    Detector(
        "cbpe",
        "performance",
        CLASSES,
        drops.cbpe,
        "drop of accuracy, or of another metric, expected from calibrated scores",
        _ANY,
        0.05,
        0.1,
        "NannyML, confidence-based performance estimation",
        _METRIC,
    ),
    Detector(
        "realized_error",
        "performance",
        REGRESSION,
        drops.realized,
        "relative growth of the mean absolute error, or of another, by the labels",
        _ANY,
        0.15,
        0.3,
        "sklearn.metrics",
        _METRIC,
    ),
    Detector(
        "dle",
        "performance",
        REGRESSION,
        drops.dle,
        "relative growth of the mean absolute error expected from a model of the loss",
        _ANY,
        0.15,
        0.3,
        "NannyML, direct loss estimation",
        _METRIC,
    ),
    Detector(
        "adwin",
        "streaming",
        STREAMS,
        windowing.Adwin,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Bifet & Gavaldà, SDM 2007; river.drift.ADWIN",
        MappingProxyType(
            {
                "delta": 0.002,
                "clock": 32,
                "max_buckets": 5,
                "min_window_length": 5,
                "grace_period": 10,
            }
        ),
    ),
    Detector(
        "kswin",
        "streaming",
        STREAMS,
        windowing.Kswin,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Raab et al., Neurocomputing 416 (2020); river.drift.KSWIN",
        MappingProxyType(
            {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": 0}
        ),
    ),
    Detector(
        "page_hinkley",
        "streaming",
        STREAMS,
        streaming.PageHinkley,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Page, Biometrika 41 (1954); river.drift.PageHinkley",
        MappingProxyType(
            {
                "min_instances": 30,
                "delta": 0.005,
                "threshold": 50.0,
                "alpha": 0.9999,
                "mode": "both",
                "scale": 1.0,
            }
        ),
    ),
    Detector(
        "ddm",
        "streaming",
        ERRORS,
        streaming.Ddm,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Gama et al., SBIA 2004; river.drift.binary.DDM",
        MappingProxyType(
            {
                "warm_start": 30,
                "warning_threshold": 2.0,
                "drift_threshold": 3.0,
                "min_errors": 5,
            }
        ),
    ),
    Detector(
        "eddm",
        "streaming",
        ERRORS,
        streaming.Eddm,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Baena-García et al., IWKDDS 2006; river.drift.binary.EDDM",
        MappingProxyType({"warm_start": 30, "alpha": 0.95, "beta": 0.9}),
    ),
    Detector(
        "hddm_a",
        "streaming",
        ERRORS,
        streaming.HddmA,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Frías-Blanco et al., TKDE 27 (2015); river.drift.binary.HDDMA",
        MappingProxyType(
            {
                "drift_confidence": 0.001,
                "warning_confidence": 0.005,
                "two_sided_test": False,
            }
        ),
    ),
    Detector(
        "hddm_w",
        "streaming",
        ERRORS,
        streaming.HddmW,
        _CHANGES,
        _OPEN,
        1.0,
        2.0,
        "Frías-Blanco et al., TKDE 27 (2015); river.drift.binary.HDDMW",
        MappingProxyType(
            {
                "drift_confidence": 0.001,
                "warning_confidence": 0.005,
                "lambda_val": 0.05,
                "two_sided_test": False,
            }
        ),
    ),
)

_REGISTRY = {detector.name: detector for detector in _ALL}
DETECTORS: Mapping[str, Detector] = MappingProxyType(_REGISTRY)

# What `stats.drift.evaluate` measures and judges unless a model says otherwise.
LIVE_THRESHOLDS: Mapping[str, tuple[float, float] | None] = MappingProxyType(
    {d.name: d.thresholds for d in _ALL if d.live and d.name != "kl_divergence"}
)


def register(detector: Detector) -> None:
    """Add an algorithm to the registry; raises ValueError if it has that name."""
    if detector.name in _REGISTRY:
        raise ValueError(f"the registry has an algorithm {detector.name!r} already")
    _REGISTRY[detector.name] = detector
