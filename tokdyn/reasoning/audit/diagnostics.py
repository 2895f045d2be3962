"""Diagnostics as verdicts on one run: a p-value or a bool says whether the answer follows what latents hold.

Each is a way of asking that is found in papers, or ours. Those that only look (at latents, attention, probes, changed
inputs) never see an intervention; an alarm of theirs is what a reader would conclude from the number alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit.arms import margin
from tokdyn.reasoning.audit.export import OTHER_IMAGE
from tokdyn.reasoning.audit.schema import MEDIATION, Run
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.stats import clopper_pearson, mcnemar_test, paired_t_test

Verdict = Callable[[Run], Any]
# A move of latents under another picture that counts as one, relative to their length.
MOVED = 0.1
# Mean cosine between items from which on latents count as all the same.
ALIKE = 0.9
# Of the total effect, which counts as mediated.
LEAST_SHARE = 0.1
_RESAMPLES = 200


class Diagnostic(NamedTuple):
    """One way of asking.

    Attributes:
        judge: of a ``Run``.
        kind: of what that returns: "p-value"; "verdict", a bool; or "score", a number that is larger where latents look
            used and has no level: it needs a threshold.
        looks: whether it only observes, so that no arm changes what it says.
    """

    judge: Verdict
    kind: str = "p-value"
    looks: bool = False


def accuracy_under(arm: str) -> Verdict:
    """Whether an arm changes accuracy (McNemar's exact test): a p-value."""
    return lambda run: float(mcnemar_test(run.outcomes(arm), run.right).p_value)


def follows_donors(run: Run) -> float:
    """Donors' answers under the donor against those under an unrelated donor, where the donor points elsewhere."""
    pointed = run.arrays["arm/donor/donor_targets"]
    eligible = pointed != run.arrays["targets"]
    given = [(run.arrays[f"arm/{arm}/answers"] == pointed)[eligible] for arm in ("donor", "unrelated")]
    return float(mcnemar_test(*given).p_value)


def pushed_by_donors(run: Run) -> float:
    """The same of log-odds, by Student's test."""
    pointed, own = run.arrays["arm/donor/donor_targets"], run.arrays["targets"]
    eligible = pointed != own
    donor, other = (margin(run.arrays[f"arm/{arm}/logits"], pointed, own) for arm in ("donor", "unrelated"))
    return _p_value((donor - other)[eligible])


def indirect_effect(run: Run) -> float:
    """Y(x, M(x')) against Y(x, M(x)), by Student's test, where the other picture has another answer; 1 without runs."""
    if not run.has("mediation/factual"):
        return 1.0
    factual, *_ = runs = [run.arrays[f"mediation/{name}"] for name in MEDIATION]
    eligible = np.any([each != 0 for each in runs], axis=0)  # margins of the same answer are 0 in every run
    return _p_value((runs[MEDIATION.index("latents_exchanged")] - factual)[eligible])


def mediated_share(run: Run) -> bool:
    """Whether more than a tenth of the total effect is mediated: the whole of Fieller's interval is above it."""
    if not run.has("mediation/factual"):
        return False
    try:
        found = diagnose.mediation(
            jax.random.key(0), *[run.arrays[f"mediation/{name}"] for name in MEDIATION], num_resamples=_RESAMPLES
        )
    except ValueError:  # nothing changes at all
        return False
    share = found.mediated_share
    return bool(str(share.kind) == "interval" and share.low > LEAST_SHARE)


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
        found = diagnose.attention_narrowing(
            jax.random.key(0), run.arrays["attention"], run.arrays["image_keys"], run.arrays["latent_queries"],
            run.arrays["answer_queries"], num_resamples=_RESAMPLES,
        )  # fmt: skip
    except ValueError:  # answers or latents that cannot see the image have no such entropy
        return False
    return bool(found.difference.high < 0)


def look_where_it_matters(run: Run) -> bool:
    """Whether latents attend to the patches that the steps read, above their area (the interval excludes 0)."""
    try:
        found = diagnose.relevant_attention(
            jax.random.key(0), run.arrays["attention"], run.arrays["image_keys"], run.arrays["latent_queries"],
            run.arrays["relevant_keys"], num_resamples=_RESAMPLES,
        )  # fmt: skip
    except ValueError:  # latents that cannot see the image
        return False
    return bool(found.excess.low > 0)


def answers_look_at_latents(run: Run) -> float:
    """Attention of answers to latents, mean over layers, heads and items; the queries are the last of the keys."""
    attention = run.arrays["attention"]
    queries, keys = attention.shape[-2:]
    latents = np.concatenate([np.zeros(keys - queries, bool), run.arrays["latent_queries"]])
    return float(attention[..., run.arrays["answer_queries"], :][..., latents].sum(axis=-1).mean())


def depends_on_the_image(run: Run) -> float:
    """Log-probability of the answer with the own and with another picture, by Student's test."""
    answers = np.maximum(run.arrays["answers"], 0)[:, None]
    own, other = (
        np.take_along_axis(log_softmax(logits).astype(np.float64), answers, axis=-1)[:, 0]
        for logits in (run.arrays["logits"], run.arrays[f"input/{OTHER_IMAGE}/logits"])
    )
    return _p_value(own - other)


def _p_value(differences: np.ndarray) -> float:
    """Of Student's test; 1 where nothing differs at all, or where there is nothing."""
    if len(differences) < 2 or not differences.any():
        return 1.0
    return float(paired_t_test(differences).p_value)


DIAGNOSTICS: dict[str, Diagnostic] = {
    "donor lift, cache": Diagnostic(follows_donors),
    "donor margin, cache": Diagnostic(pushed_by_donors),
    "indirect effect": Diagnostic(indirect_effect),
    "indirect / total above 0.1": Diagnostic(mediated_share, "verdict"),
    "accuracy, donor's cache": Diagnostic(accuracy_under("donor")),
    "accuracy, mean cache": Diagnostic(accuracy_under("mean")),
    "accuracy, noise in the cache": Diagnostic(accuracy_under("noise")),
    "accuracy, zero cache": Diagnostic(accuracy_under("zero")),
    "accuracy, donor's embedding": Diagnostic(accuracy_under("donor embedding")),
    "accuracy, mean embedding": Diagnostic(accuracy_under("mean embedding")),
    "accuracy, one direction for all": Diagnostic(accuracy_under("constant embedding")),
    "accuracy, noise embedding": Diagnostic(accuracy_under("noise embedding")),
    "accuracy, near-zero embedding": Diagnostic(accuracy_under("near-zero embedding")),
    "accuracy, zero embedding": Diagnostic(accuracy_under("zero embedding")),
    "accuracy, slots removed": Diagnostic(accuracy_under("removed")),
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
