"""What can be said of a dynamics without running it, or of a run without looking at it.

``critical_temperature`` is where tokens near one point stop parting and start to meet, ``growth_factors`` how fast
they do either; ``principal_variances`` is the spectrum both come from. ``automatic_temperature`` chooses a temperature
for features nobody has looked at (``temperature="auto"``), from that spectrum and the ``distortion`` that so many
tokens leave. ``collapse_forecast`` says before a run whether tokens will stay apart, a ``Guide`` after it whether they
did, both in sentences that name the number to use instead (a ``CollapseWarning``, where they are warnings).
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
