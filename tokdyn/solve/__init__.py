"""How a dynamics is run: the only package with loops over steps."""

from tokdyn.solve.batching import vmap
from tokdyn.solve.driver import Result, run, trajectory
from tokdyn.solve.stepping import init, step
from tokdyn.solve.streaming import run_streamed
from tokdyn.starts import random_features

__all__ = ["Result", "init", "random_features", "run", "run_streamed", "step", "trajectory", "vmap"]
