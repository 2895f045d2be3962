"""What moves the tokens: one small file per force, composed by name."""

from tokdyn.dynamics import catalog
from tokdyn.dynamics.attraction import Attraction, attraction
from tokdyn.dynamics.base import Dynamics, Flow, Info, State, Term, compose
from tokdyn.dynamics.files import load, save
from tokdyn.dynamics.inertia import Inertia, inertia
from tokdyn.dynamics.noise import Noise, noise
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.repulsion import Repulsion, repulsion
from tokdyn.dynamics.schedules import Annealing, Scalar, Schedule, annealing, resolved, schedule, schedules
from tokdyn.ranges import Range, number

__all__ = [
    "Annealing",
    "Attraction",
    "Dynamics",
    "Flow",
    "Inertia",
    "Info",
    "Noise",
    "Range",
    "Repulsion",
    "Scalar",
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
    "number",
    "part",
    "repulsion",
    "resolved",
    "save",
    "schedule",
    "schedules",
    "static",
]
