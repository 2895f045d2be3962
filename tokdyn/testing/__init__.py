"""Contracts as functions, for parts and metrics of your own: ``check_term(my_part)``, ``check_metric(mine, ...)``.

Each check is a law, not a smoke test, and raises ``AssertionError`` with one sentence that says which law was broken
and by how much. The package's own catalogue and metrics are held to the same ones; parts of autoencoders have
``td.autoencoder.check_part``.
"""

from tokdyn.testing.metrics import check_metric
from tokdyn.testing.terms import LAWS, Case, check_dynamics, check_term, make_case

__all__ = ["LAWS", "Case", "check_dynamics", "check_metric", "check_term", "make_case"]
