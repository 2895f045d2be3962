"""What can be said about a dynamics without running it, and about a run without inspecting it.

Will tokens collapse? Above ``critical_temperature`` tokens that are close together merge; below it they separate, at
the rates given by ``growth_factors``. ``critical_temperatures`` says the same of every token, ``splitting_cascade`` of
every split on the way down, ``pair_separation`` and ``relaxation_steps`` what happens close by, and ``hysteresis`` how
far tokens that are apart stay so. ``collapse_forecast`` predicts before a run whether tokens will stay apart, a
``Guide`` reports afterwards whether they did (``CollapseWarning``), and ``automatic_temperature``
(``temperature="auto"``) avoids it.

Does anything come to rest? ``free_energy`` falls by exactly what ``descent`` certifies; ``stability`` has eigenvalues
and radii of a step of any dynamics, from products alone where it is large; ``momentum_radius`` and ``flip_multiplier``
are the laws of inertia and repulsion. ``recommend`` turns all of it into values to set, and
``select_temperature`` finds how many clusters there are by heating surplus tokens.

``basins``, ``bifurcation``, ``hysteresis`` and ``dwell_times`` are evaluators for ``td.sweep``; ``rollout``,
``jacobian``, ``lyapunov_exponents`` and ``period`` work on any map.
"""

from tokdyn.theory.advice import Advice, recommend
from tokdyn.theory.cascade import Cascade, Split, critical_temperatures, splitting_cascade
from tokdyn.theory.critical import (
    automatic_temperature,
    critical_temperature,
    distortion,
    growth_factors,
    principal_variances,
    read_variances,
)
from tokdyn.theory.diagnosis import Diagnosis, diagnose
from tokdyn.theory.energy import Descent, descent, free_energy, lyapunov_candidate
from tokdyn.theory.flows import critical_gain, equiangular_path, interaction_energy, norm_path, transformer_energy
from tokdyn.theory.forecast import REGIMES, Forecast, collapse_forecast
from tokdyn.theory.heavy_ball import Swing, best_momentum, largest_rate, momentum_radius, swings
from tokdyn.theory.linear import Map, Stability, as_map, stability
from tokdyn.theory.maps import (
    Lyapunov,
    Spectrum,
    jacobian,
    jacobian_spectrum,
    lyapunov_exponents,
    period,
    rollout,
)
from tokdyn.theory.near_critical import pair_separation, relaxation_steps
from tokdyn.theory.observables import basins, bifurcation, dwell_times, hysteresis
from tokdyn.theory.order import Order, select_temperature
from tokdyn.theory.pair import (
    equilibrium_distance,
    flip_multiplier,
    largest_kick,
    pair_map,
    pair_multiplier,
    softening_for,
)
from tokdyn.theory.priors import mixture_energy, repelled_energy
from tokdyn.theory.scores import (
    attention_critical_temperature,
    retrieval_multipliers,
    slot_attention_radius,
    two_mode_temperature,
)
from tokdyn.theory.verdict import CollapseWarning, Guide

__all__ = [
    "REGIMES",
    "Advice",
    "Cascade",
    "CollapseWarning",
    "Descent",
    "Diagnosis",
    "Forecast",
    "Guide",
    "Lyapunov",
    "Map",
    "Order",
    "Spectrum",
    "Split",
    "Stability",
    "Swing",
    "as_map",
    "attention_critical_temperature",
    "automatic_temperature",
    "basins",
    "best_momentum",
    "bifurcation",
    "collapse_forecast",
    "critical_gain",
    "critical_temperature",
    "critical_temperatures",
    "descent",
    "diagnose",
    "distortion",
    "dwell_times",
    "equiangular_path",
    "equilibrium_distance",
    "flip_multiplier",
    "free_energy",
    "growth_factors",
    "hysteresis",
    "interaction_energy",
    "jacobian",
    "jacobian_spectrum",
    "largest_kick",
    "largest_rate",
    "lyapunov_candidate",
    "lyapunov_exponents",
    "mixture_energy",
    "momentum_radius",
    "norm_path",
    "pair_map",
    "pair_multiplier",
    "pair_separation",
    "period",
    "principal_variances",
    "read_variances",
    "recommend",
    "relaxation_steps",
    "repelled_energy",
    "retrieval_multipliers",
    "rollout",
    "select_temperature",
    "slot_attention_radius",
    "softening_for",
    "splitting_cascade",
    "stability",
    "swings",
    "transformer_energy",
    "two_mode_temperature",
]
