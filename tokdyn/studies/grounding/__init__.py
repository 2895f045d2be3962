"""Semantic grounding: what targets with and without meaning do to training, and what codes that mean something cost."""

from tokdyn.studies.grounding.claims import findings
from tokdyn.studies.grounding.design import Config
from tokdyn.studies.grounding.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
