"""Vector quantizers compared: usage, perplexity and reconstruction on patterns, digits and rendered words."""

from tokdyn.studies.quantizers.experiment import Config
from tokdyn.studies.quantizers.experiment import run_study as run
from tokdyn.studies.quantizers.report import headline, report

__all__ = ["Config", "headline", "report", "run"]
