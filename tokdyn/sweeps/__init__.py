"""Many runs: spaces of conditions, their execution on threads, devices and clusters, and a crash-safe store."""

from tokdyn.sweeps.opening import open_sweep
from tokdyn.sweeps.plan import Plan
from tokdyn.sweeps.space import Space, choice, grid, log_uniform, sampled, uniform, variants, zipped
from tokdyn.sweeps.store import DamagedStore
from tokdyn.sweeps.sweep import SweepInterrupted, sweep

__all__ = [
    "DamagedStore",
    "Plan",
    "Space",
    "SweepInterrupted",
    "choice",
    "grid",
    "log_uniform",
    "open_sweep",
    "sampled",
    "sweep",
    "uniform",
    "variants",
    "zipped",
]
