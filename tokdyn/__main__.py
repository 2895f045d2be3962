"""``python -m tokdyn`` is ``tokdyn``."""

from tokdyn.cli import entry

entry()
