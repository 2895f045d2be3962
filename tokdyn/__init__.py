"""tokdyn: a JAX laboratory for the dynamics of visual tokens.

``import tokdyn as td`` gives the names below; each is loaded on first use (PEP 562), so that the import itself
costs little more than ``import jax``.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tokdyn.environment import refuse_excluded_jax as _refuse_excluded_jax

__version__ = "0.1.0"

_refuse_excluded_jax()

if _TYPE_CHECKING:
    from tokdyn import autoencoder as autoencoder
    from tokdyn import claims as claims
    from tokdyn import compile_cache as compile_cache
    from tokdyn import compiling as compiling
    from tokdyn import data as data
    from tokdyn import dynamics as dynamics
    from tokdyn import geometry as geometry
    from tokdyn import keys as keys
    from tokdyn import metrics as metrics
    from tokdyn import numerics as numerics
    from tokdyn import plot as plot
    from tokdyn import reasoning as reasoning
    from tokdyn import solve as solve
    from tokdyn import starts as starts
    from tokdyn import stats as stats
    from tokdyn import studies as studies
    from tokdyn import sweeps as sweeps
    from tokdyn import testing as testing
    from tokdyn import theory as theory
    from tokdyn import train as train
    from tokdyn import tree as tree
    from tokdyn.checks import Status as Status
    from tokdyn.compile_cache import enable_compile_cache as enable_compile_cache
    from tokdyn.dynamics import Annealing as Annealing
    from tokdyn.dynamics import Attraction as Attraction
    from tokdyn.dynamics import Dynamics as Dynamics
    from tokdyn.dynamics import Flow as Flow
    from tokdyn.dynamics import Inertia as Inertia
    from tokdyn.dynamics import Info as Info
    from tokdyn.dynamics import Noise as Noise
    from tokdyn.dynamics import Range as Range
    from tokdyn.dynamics import Repulsion as Repulsion
    from tokdyn.dynamics import Scalar as Scalar
    from tokdyn.dynamics import Schedule as Schedule
    from tokdyn.dynamics import State as State
    from tokdyn.dynamics import Term as Term
    from tokdyn.dynamics import annealing as annealing
    from tokdyn.dynamics import attention as attention
    from tokdyn.dynamics import attraction as attraction
    from tokdyn.dynamics import catalog as catalog
    from tokdyn.dynamics import compose as compose
    from tokdyn.dynamics import energy_transformer as energy_transformer
    from tokdyn.dynamics import inertia as inertia
    from tokdyn.dynamics import load as load
    from tokdyn.dynamics import mass_repulsion as mass_repulsion
    from tokdyn.dynamics import mixture as mixture
    from tokdyn.dynamics import noise as noise
    from tokdyn.dynamics import number as number
    from tokdyn.dynamics import part as part
    from tokdyn.dynamics import random_recurrence as random_recurrence
    from tokdyn.dynamics import repulsion as repulsion
    from tokdyn.dynamics import sampling as sampling
    from tokdyn.dynamics import save as save
    from tokdyn.dynamics import schedule as schedule
    from tokdyn.dynamics import slot_attention as slot_attention
    from tokdyn.dynamics import sphere_attention as sphere_attention
    from tokdyn.dynamics import static as static
    from tokdyn.dynamics import transport as transport
    from tokdyn.estimator import TokenClustering as TokenClustering
    from tokdyn.geometry.token_map import TokenMap as TokenMap
    from tokdyn.solve import Result as Result
    from tokdyn.solve import init as init
    from tokdyn.solve import run as run
    from tokdyn.solve import run_streamed as run_streamed
    from tokdyn.solve import step as step
    from tokdyn.solve import trajectory as trajectory
    from tokdyn.solve import vmap as vmap
    from tokdyn.sweeps import DamagedStore as DamagedStore
    from tokdyn.sweeps import Plan as Plan
    from tokdyn.sweeps import Space as Space
    from tokdyn.sweeps import SweepInterrupted as SweepInterrupted
    from tokdyn.sweeps import choice as choice
    from tokdyn.sweeps import grid as grid
    from tokdyn.sweeps import log_uniform as log_uniform
    from tokdyn.sweeps import open_sweep as open_sweep
    from tokdyn.sweeps import sampled as sampled
    from tokdyn.sweeps import sweep as sweep
    from tokdyn.sweeps import uniform as uniform
    from tokdyn.sweeps import variants as variants
    from tokdyn.sweeps import zipped as zipped
    from tokdyn.theory import CollapseWarning as CollapseWarning
    from tokdyn.theory import Forecast as Forecast
    from tokdyn.theory import collapse_forecast as collapse_forecast
    from tokdyn.theory import diagnose as diagnose
    from tokdyn.theory import select_temperature as select_temperature
    from tokdyn.tree import values as values
    from tokdyn.tree import with_values as with_values

# Public name -> the module that holds it; a module's own name stands for the module.
_HOME = {
    "Annealing": "tokdyn.dynamics",
    "Attraction": "tokdyn.dynamics",
    "CollapseWarning": "tokdyn.theory",
    "DamagedStore": "tokdyn.sweeps",
    "Dynamics": "tokdyn.dynamics",
    "Flow": "tokdyn.dynamics",
    "Forecast": "tokdyn.theory",
    "Inertia": "tokdyn.dynamics",
    "Info": "tokdyn.dynamics",
    "Noise": "tokdyn.dynamics",
    "Plan": "tokdyn.sweeps",
    "Range": "tokdyn.dynamics",
    "Repulsion": "tokdyn.dynamics",
    "Result": "tokdyn.solve",
    "Scalar": "tokdyn.dynamics",
    "Schedule": "tokdyn.dynamics",
    "Space": "tokdyn.sweeps",
    "State": "tokdyn.dynamics",
    "Status": "tokdyn.checks",
    "SweepInterrupted": "tokdyn.sweeps",
    "Term": "tokdyn.dynamics",
    "TokenClustering": "tokdyn.estimator",
    "TokenMap": "tokdyn.geometry.token_map",
    "annealing": "tokdyn.dynamics",
    "attention": "tokdyn.dynamics",
    "attraction": "tokdyn.dynamics",
    "choice": "tokdyn.sweeps",
    "collapse_forecast": "tokdyn.theory",
    "diagnose": "tokdyn.theory",
    "select_temperature": "tokdyn.theory",
    "compose": "tokdyn.dynamics",
    "enable_compile_cache": "tokdyn.compile_cache",
    "energy_transformer": "tokdyn.dynamics",
    "grid": "tokdyn.sweeps",
    "inertia": "tokdyn.dynamics",
    "init": "tokdyn.solve",
    "load": "tokdyn.dynamics",
    "log_uniform": "tokdyn.sweeps",
    "mass_repulsion": "tokdyn.dynamics",
    "mixture": "tokdyn.dynamics",
    "noise": "tokdyn.dynamics",
    "number": "tokdyn.dynamics",
    "open_sweep": "tokdyn.sweeps",
    "part": "tokdyn.dynamics",
    "random_recurrence": "tokdyn.dynamics",
    "repulsion": "tokdyn.dynamics",
    "run": "tokdyn.solve",
    "run_streamed": "tokdyn.solve",
    "sampled": "tokdyn.sweeps",
    "sampling": "tokdyn.dynamics",
    "save": "tokdyn.dynamics",
    "schedule": "tokdyn.dynamics",
    "slot_attention": "tokdyn.dynamics",
    "sphere_attention": "tokdyn.dynamics",
    "static": "tokdyn.dynamics",
    "step": "tokdyn.solve",
    "sweep": "tokdyn.sweeps",
    "trajectory": "tokdyn.solve",
    "transport": "tokdyn.dynamics",
    "uniform": "tokdyn.sweeps",
    "values": "tokdyn.tree",
    "variants": "tokdyn.sweeps",
    "vmap": "tokdyn.solve",
    "with_values": "tokdyn.tree",
    "zipped": "tokdyn.sweeps",
}
_MODULES = {
    "autoencoder": "tokdyn.autoencoder",
    "catalog": "tokdyn.dynamics.catalog",
    "claims": "tokdyn.claims",
    "compile_cache": "tokdyn.compile_cache",
    "compiling": "tokdyn.compiling",
    "data": "tokdyn.data",
    "dynamics": "tokdyn.dynamics",
    "geometry": "tokdyn.geometry",
    "keys": "tokdyn.keys",
    "metrics": "tokdyn.metrics",
    "numerics": "tokdyn.numerics",
    "plot": "tokdyn.plot",
    "reasoning": "tokdyn.reasoning",
    "solve": "tokdyn.solve",
    "starts": "tokdyn.starts",
    "stats": "tokdyn.stats",
    "studies": "tokdyn.studies",
    "sweeps": "tokdyn.sweeps",
    "testing": "tokdyn.testing",
    "theory": "tokdyn.theory",
    "train": "tokdyn.train",
    "tree": "tokdyn.tree",
}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> _Any:
    if name in _MODULES:
        value = _importlib.import_module(_MODULES[name])
    elif name in _HOME:
        value = getattr(_importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'tokdyn' has no attribute {name!r}")
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
