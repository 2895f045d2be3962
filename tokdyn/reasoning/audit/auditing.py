"""The audit itself: every diagnostic that a run's arrays allow, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from tokdyn.checks import bad, random_key, whole_number
from tokdyn.reasoning.audit import outputs, tables, vectors
from tokdyn.reasoning.audit.findings import findings
from tokdyn.reasoning.audit.schema import MEDIATION, Run, checked
from tokdyn.reasoning.audit.tables import Settings, frame
from tokdyn.reasoning.audit.verdicts import verdict
from tokdyn.reasoning.diagnose import BOUND
from tokdyn.stats.inputs import probability

SCHEMA_VERSION = 1


class Part(NamedTuple):
    """One table.

    Attributes:
        title: for the report.
        needs: names and patterns of the schema that must be there.
        make: the table of a run; None where it is part of another table.
    """

    title: str
    needs: tuple[str, ...]
    make: Callable[[Run, Settings], Any] | None


class Audit(NamedTuple):
    """What an audit found.

    Attributes:
        name: of what was run; empty where the run does not say.
        num_items: items.
        tables: ``pandas.DataFrame`` by name of ``PARTS``, those that the arrays allow.
        findings: sentences.
        left_out: ``pandas.DataFrame`` of diagnostic, missing: what was not done and which arrays would enable it.
        settings: key aside, what tables were made with.
        verdict: what it comes to in words: arms that did nothing, then what passes through the latents.
    """

    name: str
    num_items: int
    tables: dict[str, Any]
    findings: tuple[str, ...]
    left_out: Any
    settings: dict[str, float]
    verdict: str

    def __str__(self) -> str:
        """The report as text."""
        blocks = [f"Audit of {self.name or 'a run'}: {self.num_items} items. {self.verdict}", *self.findings]
        for name, table in self.tables.items():
            blocks += ["", f"{PARTS[name].title} [{name}]", table.to_string(index=False, float_format="{:.4g}".format)]
        if len(self.left_out):
            blocks += ["", "Left out"]
            blocks += [f"  {row['diagnostic']}: {row['missing']}" for row in self.left_out.to_dict("records")]
        return "\n".join(blocks)


PARTS = {
    "arms": Part("Arms against the clean run", (), tables.effects),
    "answer_changes": Part("How far arms move the answer", ("logits", "arm/*/logits"), tables.answer_changes),
    "donors": Part("Answers that follow donors", ("arm/*/donor_targets",), tables.donors),
    "gains": Part("Share of the gain that arms keep", ("base",), tables.gains),
    "mediation": Part(
        "Image to latents to answer", tuple(f"mediation/{name}" for name in MEDIATION), tables.mediation
    ),
    "similarity": Part("Cosines between items", ("latents",), vectors.similarity),
    "within_items": Part("Cosines between slots of an item", ("latents",), vectors.within_items),
    "degeneration": Part("Rank, distinct latents, lengths", ("latents",), vectors.degeneration),
    "movement": Part("Movement from slot to slot", ("latents",), vectors.movement),
    "latent_changes": Part(
        "Latents under changed inputs", ("latents", "input/*/latents"), vectors.latent_changes
    ),
    "retrieval": Part("Own targets found", ("latents", "latent_targets"), vectors.retrieval),
    "cross_task": Part("Cosines between tasks", ("latents", "other_task_latents"), vectors.cross_task),
    "probes": Part("What probes read from latents", ("latents", "labels/*"), vectors.probes),
    "attributes": Part(
        "Labels read from latents, question and image",
        ("latents", "labels/*", "features/question", "features/image"), vectors.attributes,
    ),
    "narrowing": Part(
        "Entropy of attention over the image",
        ("attention", "image_keys", "latent_queries", "answer_queries"), outputs.narrowing,
    ),
    "relevant_attention": Part(
        "Attention to what matters", ("attention", "image_keys", "latent_queries", "relevant_keys"),
        outputs.relevant_attention,
    ),
    "confidence": Part("Confidence", ("logits",), outputs.confidence),
    "dependence": Part("Dependence on the image", (), outputs.dependence),
    # Columns or rows of the tables above.
    "interventions": Part("paired effects of interventions", ("arm/*/answers",), None),
    "trigger": Part("trigger rates", ("triggered",), None),
    "compared": Part("cosines of other vectors, and lengths beside theirs", ("latents", "reference/*"), None),
    "selectivity": Part("control tasks of the probes", ("latents", "labels/*", "types"), None),
    "controlled": Part("confidence with length or hops held fixed", ("logits", "controls"), None),
    "dependence of the answer": Part("dependence of the answer on the image", ("logits", "input/*/logits"), None),
    "dependence of the text": Part(
        "dependence of the text on the image", ("word_log_probability", "input/*/word_log_probability"), None
    ),
}  # fmt: skip
_NEVER = {
    "Jacobian and Lyapunov exponents of the recurrence": "the model's own step: no array holds it "
    "(diagnose.jacobian_spectrum, diagnose.lyapunov_exponents)",
}


def audit(
    run: Run | Mapping[str, Any],
    *,
    key: jax.Array | None = None,
    bound: float = BOUND,
    alpha: float = 0.05,
    num_resamples: int = 2000,
) -> Audit:
    """Every diagnostic that the arrays of a run allow, from whatever program they came.

    The functions are those of ``reasoning.diagnose``, called with these arrays; what each column means stands there.
    One checkpoint: intervals speak of these weights on new items, not of other trainings.

    Args:
        run: from ``load`` or ``as_run``, or arrays by name of ``FIELDS``.
        key: of folds, control tasks and resamples; by default ``jax.random.key(0)``.
        bound: the largest difference of accuracy that does not matter.
        alpha: level of tests; intervals have confidence 1 - alpha.
        num_resamples: behind an interval.

    Returns:
        ``Audit``.

    Raises:
        ValueError: as ``checked``, or a setting that is none.

    Example:
        >>> import numpy as np
        >>> from tokdyn.reasoning import audit
        >>> item = np.arange(200)
        >>> found = audit.audit(
        ...     {"answers": item % 4, "targets": item % 4, "arm/zero/answers": np.where(item % 2, item % 4, 0)},
        ...     num_resamples=100,
        ... )
        >>> row = found.tables["arms"].set_index("arm").loc["zero"]
        >>> float(row["difference"]), row["verdict"]
        (-0.25, 'effect')
        >>> "latents" in found.left_out.set_index("diagnostic").loc["Cosines between items", "missing"]
        True
    """
    if key is None:
        key = jax.random.key(0)
    random_key("key", key)
    if not 0 < bound < 1:
        raise bad("bound", "a number between 0 and 1", bound)
    settings = Settings(
        key, float(bound), probability("alpha", alpha), whole_number("num_resamples", num_resamples, at_least=2)
    )
    # A Run is a tuple that anybody can make: checked in any case, which costs little.
    run = checked(run.arrays if isinstance(run, Run) else run)
    made: dict[str, Any] = {}
    left: list[dict[str, str]] = []
    for name, part in PARTS.items():
        missing = [need for need in part.needs if not run.has(need)]
        if name == "interventions":
            missing = [] if run.arms else ["arm/<name>/answers"]
        if name == "trigger":
            wanted = ("triggered", *(f"arm/{arm}/triggered" for arm in run.arms))
            missing = [each for each in wanted if each not in run.arrays]
        if missing:
            needed = ", ".join(need.replace("*", "<name>") for need in missing)
            left.append({"diagnostic": part.title, "missing": needed})
        elif part.make is not None:
            try:
                table = part.make(run, settings)
            except ValueError as error:  # the arrays are right, but not enough for this diagnostic
                left.append({"diagnostic": part.title, "missing": str(error)})
                continue
            if len(table):
                made[name] = table
    left += [{"diagnostic": diagnostic, "missing": needed} for diagnostic, needed in _NEVER.items()]
    return Audit(
        name=str(run.arrays.get("name", "")),
        num_items=run.num_items,
        tables=made,
        findings=tuple(findings(run, made, alpha=settings.alpha)),
        left_out=frame(left),
        settings={"bound": settings.bound, "alpha": settings.alpha, "num_resamples": settings.num_resamples},
        verdict=verdict(run, made, alpha=settings.alpha),
    )
