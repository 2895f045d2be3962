"""Training as a pure function: ``fit`` for one member, ``td.vmap(fit)`` for ensembles, ``fit_in_segments`` if long."""

from tokdyn.train.fit import Fit, Masked, Progress, fit, record_names
from tokdyn.train.numbers import Numbers, numbers, trained
from tokdyn.train.reptile import reptile
from tokdyn.train.segments import fit_in_segments

__all__ = [
    "Fit",
    "Masked",
    "Numbers",
    "Progress",
    "fit",
    "fit_in_segments",
    "numbers",
    "record_names",
    "reptile",
    "trained",
]
