"""Audit of a run that somebody saved: latents, logits, attention and answers of items, from whatever program.

No port of the model is needed: ``FIELDS`` says which arrays a plain ``.npz`` file may hold, `docs/latent_reasoning.md`
has an exporter for PyTorch, ``tokdyn audit FILE`` prints what they show.
"""

from tokdyn.reasoning.audit.auditing import PARTS, SCHEMA_VERSION, Audit, Part, audit
from tokdyn.reasoning.audit.diagnostics import BUILT_IN, DIAGNOSTICS, Diagnostic
from tokdyn.reasoning.audit.evaluation import Evaluation, evaluate_diagnostic
from tokdyn.reasoning.audit.export import as_run
from tokdyn.reasoning.audit.files import load, save
from tokdyn.reasoning.audit.schema import FIELDS, Field, Run, checked
from tokdyn.reasoning.audit.shipped import shipped_members, shipped_suite
from tokdyn.reasoning.audit.suite import Member, Suite, dialled, member, suite
from tokdyn.reasoning.audit.tables import Judged, Settings

__all__ = [
    "BUILT_IN", "DIAGNOSTICS", "FIELDS", "PARTS", "SCHEMA_VERSION", "Audit", "Diagnostic", "Evaluation", "Field",
    "Judged", "Member", "Part", "Run", "Settings", "Suite", "as_run", "audit", "checked", "dialled",
    "evaluate_diagnostic", "load", "member", "save", "shipped_members", "shipped_suite", "suite",
]  # fmt: skip
