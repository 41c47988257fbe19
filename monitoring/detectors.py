"""The registry of algorithms: one line each.

A detector is a function ``(baseline, window, **parameters) -> Measure`` together with
what a person must know to read its score. `stats.drift` computes the same figures from
counts and takes thresholds from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from monitoring.stats import univariate
from monitoring.stats.drift import VOTING
from monitoring.stats.live import DISTANCES

Family = Literal["univariate", "multivariate", "performance", "streaming", "custom"]
Kinds = frozenset[str]

NUMERIC: Kinds = frozenset({"numeric"})
CATEGORICAL: Kinds = frozenset({"categorical"})
ANY = NUMERIC | CATEGORICAL

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
    kinds: Kinds  # of columns it applies to
    function: Callable[..., Any]
    score: str  # what the score means
    limits: tuple[float, float | None]  # range of the score; None: no upper end
    warning: float | None
    alert: float | None
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # name → default

    @property
    def votes(self) -> bool:
        """Whether it makes the status of a column by default."""
        return self.name in VOTING

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
_BINS = MappingProxyType({"bins": "psi"})
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
)

DETECTORS: Mapping[str, Detector] = MappingProxyType({d.name: d for d in _ALL})

# What `stats.drift.evaluate` measures and judges unless a model says otherwise.
LIVE_THRESHOLDS: Mapping[str, tuple[float, float] | None] = MappingProxyType(
    {d.name: d.thresholds for d in _ALL if d.live and d.name != "kl_divergence"}
)
