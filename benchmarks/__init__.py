"""How fast tokdyn is, beside the programs that one would write or install instead: ``python -m benchmarks``."""
