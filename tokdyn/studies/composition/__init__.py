"""Composition of parts: the published comparison of patterns and embeddings, and operators on combinations held out."""

from tokdyn.studies.composition.claims import findings
from tokdyn.studies.composition.design import Config
from tokdyn.studies.composition.report import STUDY, headline

run, report = STUDY.run, STUDY.report

__all__ = ["STUDY", "Config", "findings", "headline", "report", "run"]
