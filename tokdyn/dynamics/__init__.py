"""What moves the tokens: one small file per force, composed by name."""

from tokdyn.dynamics import catalog
from tokdyn.dynamics.attention import Attention, attention
from tokdyn.dynamics.attraction import Attraction, attraction
from tokdyn.dynamics.base import Dynamics, Flow, Info, State, Term, compose
from tokdyn.dynamics.energy_transformer import EnergyTransformer, energy_transformer
from tokdyn.dynamics.files import load, save
from tokdyn.dynamics.inertia import Inertia, inertia
from tokdyn.dynamics.mass_repulsion import MassRepulsion, mass_repulsion
from tokdyn.dynamics.mixture import Mixture, mixture
from tokdyn.dynamics.noise import Noise, noise
from tokdyn.dynamics.parts import part, static
from tokdyn.dynamics.recurrence import RandomRecurrence, random_recurrence, recurrent_weights
from tokdyn.dynamics.repulsion import Repulsion, repulsion
from tokdyn.dynamics.sampling import Sampling, sampling
from tokdyn.dynamics.schedules import Annealing, Scalar, Schedule, annealing, resolved, schedule, schedules
from tokdyn.dynamics.slot_attention import SlotAttention, slot_attention
from tokdyn.dynamics.sphere import SphereAttention, sphere_attention
from tokdyn.dynamics.transport import Transport, transport
from tokdyn.ranges import Range, number

__all__ = [
    "Annealing",
    "Attention",
    "Attraction",
    "Dynamics",
    "EnergyTransformer",
    "Flow",
    "Inertia",
    "Info",
    "MassRepulsion",
    "Mixture",
    "Noise",
    "RandomRecurrence",
    "Range",
    "Repulsion",
    "Sampling",
    "Scalar",
    "Schedule",
    "SlotAttention",
    "SphereAttention",
    "State",
    "Term",
    "Transport",
    "annealing",
    "attention",
    "attraction",
    "catalog",
    "compose",
    "energy_transformer",
    "inertia",
    "load",
    "mass_repulsion",
    "mixture",
    "noise",
    "number",
    "part",
    "random_recurrence",
    "recurrent_weights",
    "repulsion",
    "resolved",
    "sampling",
    "save",
    "schedule",
    "schedules",
    "slot_attention",
    "sphere_attention",
    "static",
    "transport",
]
