"""Statistics for whole families of tests at once: tests of paired differences, corrections, intervals, power.

The functions take numbers, whose leading axes are the family, and return small NamedTuples of NumPy arrays in which
every field is defined: a test with nothing to test is marked ``degenerate`` instead of being NaN. They run on the host,
outside jit. Resampling is compiled, takes a key, and works in float64 without changing the global setting.
"""

from tokdyn.stats.bootstrap import BootstrapInterval, hierarchical_bootstrap, paired_bootstrap
from tokdyn.stats.corrections import benjamini_hochberg, holm
from tokdyn.stats.crossed import crossed_bootstrap
from tokdyn.stats.equivalence import EquivalenceTest, equivalence_test
from tokdyn.stats.families import family
from tokdyn.stats.intervals import MeanInterval, ProportionInterval, clopper_pearson, mean_interval
from tokdyn.stats.paired import PairedTest, RankTest, SignTest, paired_t_test, sign_test, wilcoxon_test
from tokdyn.stats.permutation import SignFlipTest, sign_flip_test
from tokdyn.stats.power import (
    EffectSizeInterval,
    achieved_power,
    effect_size_interval,
    minimal_detectable_effect,
    plan_power,
)
from tokdyn.stats.proportions import (
    McNemarTest,
    ProportionsEquivalence,
    mcnemar_test,
    minimal_detectable_difference,
    proportions_equivalence,
)
from tokdyn.stats.ranking import (
    AreaUnderROC,
    CalibrationError,
    PartialCorrelation,
    area_under_roc,
    calibration_error,
    partial_rank_correlation,
)
from tokdyn.stats.ratios import FiellerSet, RatioBootstrap, fieller_interval, ratio_bootstrap

__all__ = [
    "AreaUnderROC",
    "BootstrapInterval",
    "CalibrationError",
    "EffectSizeInterval",
    "EquivalenceTest",
    "FiellerSet",
    "McNemarTest",
    "MeanInterval",
    "PairedTest",
    "PartialCorrelation",
    "ProportionInterval",
    "ProportionsEquivalence",
    "RankTest",
    "RatioBootstrap",
    "SignFlipTest",
    "SignTest",
    "achieved_power",
    "area_under_roc",
    "benjamini_hochberg",
    "calibration_error",
    "clopper_pearson",
    "crossed_bootstrap",
    "effect_size_interval",
    "equivalence_test",
    "family",
    "fieller_interval",
    "hierarchical_bootstrap",
    "holm",
    "mcnemar_test",
    "mean_interval",
    "minimal_detectable_difference",
    "minimal_detectable_effect",
    "paired_bootstrap",
    "paired_t_test",
    "partial_rank_correlation",
    "plan_power",
    "proportions_equivalence",
    "ratio_bootstrap",
    "sign_flip_test",
    "sign_test",
    "wilcoxon_test",
]
