"""The laws of token dynamics, each predicted and measured, on tabulated cases and on random ones."""

from tokdyn.studies.theory.claims import findings
from tokdyn.studies.theory.design import Config
from tokdyn.studies.theory.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
