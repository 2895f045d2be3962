"""Diagnostics as verdicts on one run: a p-value or a bool says whether the answer follows what latents hold.

Each is a way of asking that is found in papers, or ours. Those that only look (at latents, attention, probes, changed
inputs) never see an intervention; an alarm of theirs is what a reader would conclude from the number alone. Those that
intervene can also conclude that there is nothing: "no" is a change that was shown to be inside a bound, never a large
p-value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit import outputs, tables
from tokdyn.reasoning.audit.export import OTHER_IMAGE
from tokdyn.reasoning.audit.schema import Run
from tokdyn.reasoning.audit.tables import Judged, Settings
from tokdyn.reasoning.designs import DESIGNS
from tokdyn.reasoning.diagnose.outcomes import ALPHA, verdict
from tokdyn.stats import FiellerSet, clopper_pearson, mcnemar_test, paired_t_test

Verdict = Callable[[Run], Any]
# A move of latents under another picture that counts as one, relative to their length.
MOVED = 0.1
# Mean cosine between items from which on latents count as all the same.
ALIKE = 0.9
YES, NO, UNDECIDED = "yes", "no", "undecided"
# Does the answer depend on what the slots' cache holds, on what slots are fed, on slots being there?
QUESTIONS = ("cache", "embedding", "presence")
_RESAMPLES = 200


def _nothing(judged: Judged) -> str:
    """Of a diagnostic without a bound."""
    return UNDECIDED


class Diagnostic(NamedTuple):
    """One way of asking.

    Attributes:
        judge: of a ``Run``.
        kind: of what that returns: "p-value"; "verdict", a bool; or "score", a number that is larger where latents look
            used and has no level: it needs a threshold.
        looks: whether it only observes, so that no arm changes what it says.
        concludes: of a ``Judged`` run "yes", "no" or "undecided" by its bounds; always undecided where none is meant.
        asks: what it asks about by itself, of ``QUESTIONS``; the first is what its readers conclude on.
        arm: the arm that it reads, "" for none.
    """

    judge: Verdict
    kind: str = "p-value"
    looks: bool = False
    concludes: Callable[[Judged], str] = _nothing
    asks: str = "cache"
    arm: str = ""

    def met(self, design: str) -> bool:
        """Whether the training of a design (of ``designs.DESIGNS``) came close to what its arm does."""
        return design in DESIGNS and self.arm in DESIGNS[design].interventions

    def says(self, judged: Judged) -> str:
        """What a reader is told: "yes", "no" or "undecided".

        Who only looks has a rule that says yes or no. Who intervenes concludes by its bounds; where it has none, a
        p-value up to the level is a yes, and a larger one is no "no".
        """
        if self.looks and self.kind == "verdict":
            return YES if self.judge(judged.run) else NO
        if self.kind == "p-value" and not self.bounded:
            return YES if self.judge(judged.run) <= judged.settings.alpha else UNDECIDED
        return self.concludes(judged)

    @property
    def bounded(self) -> bool:
        """Whether it has a bound, and hence can conclude."""
        return self.concludes is not _nothing


def accuracy(arm: str) -> Diagnostic:
    """Does an arm change accuracy? By McNemar's exact test, and against the bound."""
    return Diagnostic(
        lambda run: float(mcnemar_test(run.outcomes(arm), run.right).p_value),
        concludes=lambda judged: of_accuracy(judged.effects.loc[arm]),
        asks="presence" if arm == "removed" else "embedding" if arm.endswith("embedding") else "cache",
        arm=arm,
    )


def donor_lift(arm: str) -> Diagnostic:
    """Do answers go where the donor points, more often than in its control? By the same test, and the same bound.

    Args:
        arm: that has donors; with "*" at its end all that begin so, of which one is enough (p-values by Bonferroni).
    """

    def lifts(judged: Judged) -> list[diagnose.DonorLift]:
        known = judged.run.named("arm/*/donor_targets")
        names = [name for name in known if name == arm or (arm.endswith("*") and name.startswith(arm[:-1]))]
        try:
            return [judged.lift(name) for name in names]
        except ValueError:  # all donors point at the own answer
            return []

    def p_value(run: Run) -> float:
        found = [each.p_value for each in lifts(Judged(run, _settings(2)))]
        return min([1.0, *(len(found) * each for each in found)])

    def concludes(judged: Judged) -> str:
        found = [each.lift for each in lifts(judged)]
        return of_intervals([each.low for each in found], [each.high for each in found], bound=judged.settings.bound)

    return Diagnostic(p_value, concludes=concludes, arm=arm)


def of_accuracy(row: Mapping[str, Any], *, alpha: float = ALPHA) -> str:
    """Does an arm change accuracy?

    Args:
        row: of ``diagnose.effects_table``, with "holm" and "equivalent".
        alpha: level.

    Returns:
        "yes": different (Holm) and not shown to be within the bound; "no": shown to be within it; else "undecided".

    Example:
        >>> from tokdyn.reasoning.audit.diagnostics import of_accuracy
        >>> of_accuracy({"holm": 0.3, "equivalent": False})
        'undecided'
    """
    said = {"effect": YES, "inconclusive": UNDECIDED}
    return said.get(verdict(float(row["holm"]), bool(row["equivalent"]), alpha=alpha), NO)


def of_intervals(lows: ArrayLike, highs: ArrayLike, *, bound: float) -> str:
    """Is some of several numbers above a bound?

    Args:
        lows: lower ends of their intervals.
        highs: upper ends.
        bound: the largest number that counts as none.

    Returns:
        "yes": one is above the bound; "no": all are within it; else, or where there is none, "undecided".
    """
    lows, highs = np.atleast_1d(lows), np.atleast_1d(highs)
    if np.any(lows > bound):
        return YES
    return NO if lows.size and np.all((highs <= bound) & (lows >= -bound)) else UNDECIDED


def of_share(found: FiellerSet, *, share: float) -> str:
    """Is a share of the total effect mediated? A set that is no interval says nothing."""
    return of_intervals(found.low, found.high, bound=share) if str(found.kind) == "interval" else UNDECIDED


def pushed_by_donors(run: Run) -> float:
    """The same of log-odds, by Student's test."""
    found = tables.margins(run, "donor")
    return 1.0 if found is None else _p_value(found[1] - found[2])


def indirect_effect(run: Run) -> float:
    """Y(x, M(x')) against Y(x, M(x)), by Student's test, where the other picture has another answer; 1 without runs."""
    if not run.has("mediation/factual"):
        return 1.0
    factual, _, exchanged, _ = tables.exchanged(run.mediation)
    return _p_value(exchanged - factual)


def mediated_share(run: Run) -> bool:
    """Whether more than a tenth of the total effect is mediated: the whole of Fieller's interval is above it."""
    return _share(Judged(run, _settings())) == YES


def _share(judged: Judged) -> str:
    if not judged.run.has("mediation/factual"):
        return UNDECIDED
    try:
        return of_share(judged.mediation.mediated_share, share=judged.settings.share)
    except ValueError:  # nothing changes at all
        return UNDECIDED


def moves_with_the_image(run: Run) -> float:
    """How far latents move with the picture, over their length: of the arrow to them, not of the one from them."""
    changed = run.arrays[f"input/{OTHER_IMAGE}/latents"]
    return float(np.mean(diagnose.latent_change(run.arrays["latents"], changed).relative_distance))


def differs_between_items(run: Run) -> float:
    """1 minus the raw cosine between items, mean over slots."""
    return 1 - float(np.mean(diagnose.similarity(run.arrays["latents"], space="raw").between_items))


def rank(run: Run) -> float:
    """Effective rank of a slot's latents over items, mean over slots."""
    return float(np.mean(diagnose.degeneration(run.arrays["latents"]).rank_by_index))


def probed(run: Run) -> Any:
    """Selectivity of a linear probe of the right answer, at all slots together."""
    latents = run.arrays["latents"]
    targets = run.arrays["targets"]
    return diagnose.probe_selectivity(
        jax.random.key(0), latents.reshape(1, len(latents), -1), targets, run.arrays["types"],
        num_labels=int(targets.max()) + 1, num_resamples=_RESAMPLES,
    )  # fmt: skip


def answer_can_be_read(run: Run) -> bool:
    """Whether a probe reads the right answer from latents better than its commonest value, by the exact interval."""
    found = probed(run)
    right = round(float(found.accuracy[0]) * found.n)
    return bool(clopper_pearson(right, found.n).low > found.chance)


def narrower_than_answers(run: Run) -> bool:
    """Whether attention to the image is narrower at latents than at answers (the interval excludes 0)."""
    try:
        return outputs.narrowed(run, _settings()).difference.high < 0
    except ValueError:  # answers or latents that cannot see the image have no such entropy
        return False


def look_where_it_matters(run: Run) -> bool:
    """Whether latents attend to the patches that the steps read, above their area (the interval excludes 0)."""
    try:
        return outputs.looked(run, _settings()).excess.low > 0
    except ValueError:  # latents that cannot see the image
        return False


def answers_look_at_latents(run: Run) -> float:
    """Attention of answers to latents, mean over layers, heads and items; the queries are the last of the keys."""
    attention = run.arrays["attention"]
    queries, keys = attention.shape[-2:]
    latents = np.concatenate([np.zeros(keys - queries, bool), run.arrays["latent_queries"]])
    return float(attention[..., run.arrays["answer_queries"], :][..., latents].sum(axis=-1).mean())


def depends_on_the_image(run: Run) -> float:
    """Log-probability of the answer with the own and with another picture, by Student's test."""
    own, other, read = outputs.of_answer(run, run.arrays[f"input/{OTHER_IMAGE}/logits"])
    return _p_value((own.astype(np.float64) - other)[read])


def _settings(num_resamples: int = _RESAMPLES) -> Settings:
    return Settings(jax.random.key(0), num_resamples=num_resamples)


def _p_value(differences: np.ndarray) -> float:
    """Of Student's test; 1 where nothing differs at all, or where there is nothing."""
    if len(differences) < 2 or not differences.any():
        return 1.0
    return float(paired_t_test(differences).p_value)


DIAGNOSTICS: dict[str, Diagnostic] = {
    "donor lift, cache": donor_lift("donor"),
    "donor margin, cache": Diagnostic(pushed_by_donors),
    "indirect effect": Diagnostic(indirect_effect),
    "indirect / total above 0.1": Diagnostic(mediated_share, "verdict", concludes=_share),
    "accuracy, donor's cache": accuracy("donor"),
    "accuracy, mean cache": accuracy("mean"),
    "accuracy, noise in the cache": accuracy("noise"),
    "accuracy, zero cache": accuracy("zero"),
    "accuracy, donor's embedding": accuracy("donor embedding"),
    "accuracy, mean embedding": accuracy("mean embedding"),
    "accuracy, one direction for all": accuracy("constant embedding"),
    "accuracy, noise embedding": accuracy("noise embedding"),
    "accuracy, near-zero embedding": accuracy("near-zero embedding"),
    "accuracy, zero embedding": accuracy("zero embedding"),
    "accuracy, slots removed": accuracy("removed"),
    "latents move with the image": Diagnostic(lambda run: moves_with_the_image(run) > MOVED, "verdict", looks=True),
    "cosine between items below 0.9": Diagnostic(
        lambda run: differs_between_items(run) > 1 - ALIKE, "verdict", looks=True
    ),
    "probe reads the answer": Diagnostic(answer_can_be_read, "verdict", looks=True),
    "probe reads it, beyond a control task": Diagnostic(
        lambda run: bool(probed(run).selectivity_low[0] > 0), "verdict", looks=True
    ),
    "attention narrower at latents": Diagnostic(narrower_than_answers, "verdict", looks=True),
    "latents attend to what matters": Diagnostic(look_where_it_matters, "verdict", looks=True),
    "answer depends on the image": Diagnostic(depends_on_the_image, looks=True),
    "score: latents move with the image": Diagnostic(moves_with_the_image, "score", looks=True),
    "score: difference between items": Diagnostic(differs_between_items, "score", looks=True),
    "score: effective rank": Diagnostic(rank, "score", looks=True),
    "score: probe accuracy": Diagnostic(lambda run: float(probed(run).accuracy[0]), "score", looks=True),
    "score: answers attend to latents": Diagnostic(answers_look_at_latents, "score", looks=True),
}
# The answers and bools among them: they need no threshold.
BUILT_IN: dict[str, Verdict] = {name: one.judge for name, one in DIAGNOSTICS.items() if one.kind != "score"}
