"""What moves the tokens: one small file per force, composed by name."""

from tokdyn.dynamics import catalog
from tokdyn.dynamics.annealing import annealing
from tokdyn.dynamics.attraction import Attraction, attraction
from tokdyn.dynamics.base import (
    Dynamics,
    Flow,
    Info,
    Schedule,
    State,
    Term,
    compose,
    part,
    resolved,
    schedules,
    static,
)
from tokdyn.dynamics.files import load, save
from tokdyn.dynamics.inertia import Inertia, inertia
from tokdyn.dynamics.noise import Noise, noise
from tokdyn.dynamics.repulsion import Repulsion, repulsion

__all__ = [
    "Attraction",
    "Dynamics",
    "Flow",
    "Inertia",
    "Info",
    "Noise",
    "Repulsion",
    "Schedule",
    "State",
    "Term",
    "annealing",
    "attraction",
    "catalog",
    "compose",
    "inertia",
    "load",
    "noise",
    "part",
    "repulsion",
    "resolved",
    "save",
    "schedules",
    "static",
]
