"""What moves the tokens: one small file per force, composed by name."""

from tokdyn.dynamics import catalog
from tokdyn.dynamics.attention import Attention, attention
from tokdyn.dynamics.attraction import Attraction, attraction
from tokdyn.dynamics.base import Dynamics, Flow, Info, State, Term, compose
from tokdyn.dynamics.files import load, save
from tokdyn.dynamics.inertia import Inertia, inertia
from tokdyn.dynamics.noise import Noise, noise
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.repulsion import Repulsion, repulsion
from tokdyn.dynamics.schedules import Annealing, Scalar, Schedule, annealing, resolved, schedule, schedules
from tokdyn.dynamics.slot_attention import SlotAttention, slot_attention
from tokdyn.dynamics.transport import Transport, transport
from tokdyn.ranges import Range, number

__all__ = [
    "Annealing",
    "Attention",
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
    "SlotAttention",
    "State",
    "Term",
    "Transport",
    "annealing",
    "attention",
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
    "slot_attention",
    "static",
    "transport",
]
