"""What can be said about a dynamics without running it, and about a run without inspecting it.

Above ``critical_temperature`` tokens that are close together merge; below it they separate, at the rates given by
``growth_factors``. Both follow from the spectrum, ``principal_variances``. ``automatic_temperature`` chooses a
temperature for unfamiliar features (``temperature="auto"``) from that spectrum and the ``distortion`` that a given
number of tokens leaves. ``collapse_forecast`` predicts before a run whether tokens will stay apart, and a ``Guide``
reports afterwards whether they did; both use sentences that name the value to use instead (issued as
``CollapseWarning`` where they are warnings).
"""

from tokdyn.theory.critical import (
    automatic_temperature,
    critical_temperature,
    distortion,
    growth_factors,
    principal_variances,
    read_variances,
)
from tokdyn.theory.forecast import REGIMES, Forecast, collapse_forecast
from tokdyn.theory.verdict import CollapseWarning, Guide

__all__ = [
    "REGIMES",
    "CollapseWarning",
    "Forecast",
    "Guide",
    "automatic_temperature",
    "collapse_forecast",
    "critical_temperature",
    "distortion",
    "growth_factors",
    "principal_variances",
    "read_variances",
]
