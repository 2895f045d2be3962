"""The one sentence that an audit begins with: which arms did nothing, then what passes through the latents."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.stats import clopper_pearson, mcnemar_test

_OUTPUTS = ("right", "answers", "logits")
# Changes of logits up to this share of their spread are what another order of additions makes in half precision.
ROUNDING = 1e-3
# A run that is right this often needs no word on how often it is.
_HIGH = 0.95
# Up to this share of followers an interval that holds none is said as a bound; a wider one tells nothing.
LITTLE = 0.1


def inert(run: Run) -> dict[str, bool]:
    """Arms whose saved outputs all equal the clean run's, and whether logits are among these outputs.

    Equal answers beside other logits are a result: the intervention fired, and changed no answer. Equal answers alone
    leave open whether it fired.

    Args:
        run: that was checked.

    Example:
        >>> from tokdyn.reasoning.audit import checked
        >>> from tokdyn.reasoning.audit.verdicts import inert
        >>> inert(checked({"answers": [0, 1], "targets": [0, 1], "arm/zero/answers": [0, 1]}))
        {'zero': False}
    """
    found = {}
    for arm in run.arms:
        given = [name for name in _OUTPUTS if run.of(arm, name) is not None and run.of(CLEAN, name) is not None]
        same = all(np.array_equal(run.of(arm, name), run.of(CLEAN, name)) for name in given)
        if same and np.array_equal(run.outcomes(arm), run.right):
            found[arm] = "logits" in given
    return found


def verdict(run: Run, tables: Mapping[str, Any], *, alpha: float) -> str:
    """What the audit comes to, in words, with numbers and an interval; "cannot be told" is one of the answers.

    Args:
        run: what was audited.
        tables: of ``audit``.
        alpha: intervals have confidence 1 - alpha.
    """
    still = inert(run)
    said = [_inert(arm, with_logits, run.num_items) for arm, with_logits in still.items()]
    live = [arm for arm in run.arms if arm not in still]
    said += [_rounding(arm, run.num_items) for arm in live if _moves_by_rounding(run, arm)]
    said += [
        f"Arms {one!r} and {other!r} are one run: their answers and logits are equal on all {run.num_items} items."
        for one, other in itertools.combinations(live, 2)
        if _same(run, one, other) == ("answers", "logits")
    ]
    used = run.of(CLEAN, "triggered")
    if used is not None and not used.all():
        said.append(_seldom(run, used))
    return " ".join([*said, *_use(run, tables, live, alpha)])


def _seldom(run: Run, used: np.ndarray) -> str:
    """In how many items there were latents, and what that means for effects that are means over all of them."""
    said = f"Latents were used in {used.mean():.1%} of items"
    if not run.has("mediation/factual"):
        return f"{said}."
    factual, exchanged = (np.asarray(run.arrays[f"mediation/{name}"]) for name in ("factual", "latents_exchanged"))
    without = np.abs(exchanged - factual)[~np.asarray(used, bool)]
    if without.max() > ROUNDING * np.ptp(factual):
        return f"{said}, yet exchanging latents changes the margin in items that have none: what was exchanged there?"
    return f"{said}: what passes through latents does so in these {int(used.sum())} alone."


def _same(run: Run, arm: str, other: str) -> tuple[str, ...]:
    """Names of the outputs that both have, if all of them are equal."""
    given = tuple(name for name in _OUTPUTS if run.of(arm, name) is not None and run.of(other, name) is not None)
    equal = all(np.array_equal(run.of(arm, name), run.of(other, name)) for name in given)
    return tuple(name for name in given if name != "right") if equal else ()


def _moves_by_rounding(run: Run, arm: str) -> bool:
    """Whether an arm changes no answer, and logits by less than another order of additions could."""
    clean, given = run.of(CLEAN, "logits"), run.of(arm, "logits")
    if clean is None or given is None or not np.array_equal(run.outcomes(arm), run.right):
        return False
    answers = run.of(CLEAN, "answers"), run.of(arm, "answers")
    if answers[0] is not None and answers[1] is not None and not np.array_equal(*answers):
        return False
    return bool(np.abs(given - clean).max() <= ROUNDING * np.ptp(clean, axis=-1).mean())


def _inert(arm: str, with_logits: bool, count: int) -> str:
    what = "answers and logits" if with_logits else "answers"
    return f"Arm {arm!r} did nothing: did the hook fire? Its {what} equal the clean run's on all {count} items." + (
        "" if with_logits else " Logits of both would tell a hook that did not fire from latents that are not needed."
    )


def _rounding(arm: str, count: int) -> str:
    return (
        f"Arm {arm!r} did nothing but rounding: did the hook fire? No answer of {count} changes, and no logit by more "
        f"than {ROUNDING:g} of the typical spread of an item's logits."
    )


def _use(run: Run, tables: Mapping[str, Any], live: list[str], alpha: float) -> list[str]:
    said = []
    if "mediation" in tables:
        row = tables["mediation"].set_index("effect").loc["indirect / total"]
        if row["set"] == "interval":
            ends = _percent(row["low"], row["high"])
            share = f"About {100 * row['estimate']:.0f} %"
            said.append(f"{share} of the effect of the image passes through the latents {ends}.")
    if "donors" in tables:
        rows = tables["donors"][tables["donors"]["arm"].isin(live)]
        said += [_donor(row) for row in rows.to_dict("records")]  # each is said, so that none is chosen
        said += _needed(tables, live, rows)
        right = float(run.right.mean())
        if len(rows) and right < _HIGH:
            said.append(f"With its own latents the run is right in {100 * right:.0f} %.")
    return said or [_accuracy(run, tables, live, alpha)]


def _needed(tables: Mapping[str, Any], live: list[str], donors: Any) -> list[str]:
    """Where answers follow donors, an arm without a donor that costs nothing says that they need not."""
    if not (donors["share_low"] > 0).any() or "arms" not in tables:
        return []
    rows = tables["arms"].set_index("arm").loc[[arm for arm in live if arm not in set(donors["arm"])]]
    idle = rows[rows["verdict"].isin(("no effect", "negligible"))]
    return [
        f"Yet with {name!r} accuracy changes by at most {row['smallest_bound']:.3f}: latents steer these answers where "
        "they disagree, and the answers do not need them."
        for name, row in idle.iterrows()
    ]


def _accuracy(run: Run, tables: Mapping[str, Any], live: list[str], alpha: float) -> str:
    """What arms without donors show, which is how accuracy changes."""
    if not live:
        return "Whether the answer uses the latents cannot be told: no arm did anything."
    if floor := at_floor(run, alpha=alpha):
        return f"Whether the answer uses the latents cannot be told: {floor}, and an arm can take nothing away."
    rows = tables["arms"].set_index("arm").loc[live]
    if rows["verdict"].isin(("no effect", "negligible")).all():
        most = rows["smallest_bound"].max()
        return f"Latents are not needed for these answers: no arm changes accuracy by more than {most:.3f}."
    changed = rows[(rows["verdict"] == "effect") & (rows["holm"] <= alpha)]
    if not len(changed):
        return "Whether the answer uses the latents cannot be told: no arm shows a change, and not all exclude one."
    # The mildest of the effects: of arms that change accuracy, the harshest may break the model itself.
    least = changed.loc[changed["difference"].abs().idxmin()]
    return (
        f"Interventions on the latents change accuracy, the mildest, {least.name!r}, by {least['difference']:+.3f} "
        f"[{least['low']:+.3f}, {least['high']:+.3f}]; whether for what the latents say or for the shock, an arm with "
        "donors would tell."
    )


def at_floor(run: Run, *, alpha: float) -> str:
    """That the clean run is right no more often than always giving the commonest answer would be; "" where it is.

    Args:
        run: what was audited.
        alpha: the exact interval has confidence 1 - alpha.
    """
    targets = run.arrays.get("targets")
    if targets is None or run.right.ndim > 1:
        return ""
    guessed = np.bincount(targets).max() / targets.size
    right = int(run.right.sum())
    exact = clopper_pearson(right, targets.size, confidence=1 - alpha)
    if float(exact.low) > guessed:
        return ""
    ends = _percent(float(exact.low), float(exact.high))
    return (
        f"the clean run is right in {100 * right / targets.size:.0f} % {ends}, "
        f"where always giving the commonest answer is right in {100 * guessed:.0f} %"
    )


def _donor(row: Mapping[str, Any]) -> str:
    low, high, arm = row["share_low"], row["share_high"], repr(row["arm"])
    ends = _percent(low, high)
    if math.isnan(row["share"]):
        least = 0.0 if row["control"] == CLEAN else max(row["low"], 0.0)
        return (
            f"Between {math.floor(100 * least)} and {math.ceil(100 * high)} % of answers follow the donor's latents in "
            f"{arm}: with two possible answers those that follow and those that break look alike"
            + (", and the lower end is the lift over the control." if least else ".")
        )
    if low <= 0 and high <= LITTLE:
        return f"At most {math.ceil(100 * high)} % of answers follow the donor's latents in {arm} {ends}."
    if low <= 0:
        return (
            f"Whether answers follow the latents cannot be told: those of {arm} follow the donor in "
            f"{100 * row['share']:.0f} % of items {ends}, which may be none."
        )
    return f"About {100 * row['share']:.0f} % of answers follow the donor's latents in {arm} {ends}."


def _percent(low: float, high: float) -> str:
    """An interval in whole percent, rounded outwards."""
    return f"[{math.floor(100 * low)}, {math.ceil(100 * high)}]"


def shock(run: Run) -> list[str]:
    """A sentence for each pair of a zeroing arm and a milder one of the same latents that differ in accuracy."""
    said = []
    for zero in (arm for arm in run.arms if "zero" in arm):
        for mild in ("mean", "donor", "resample"):
            other = zero.replace("zero", mild)
            if other not in run.arms:
                continue
            test = mcnemar_test(run.outcomes(zero), run.outcomes(other))
            if run.outcomes(zero).ndim == 1 and test.p_value <= 0.05 and test.difference < 0:
                said.append(
                    f"Arm {zero!r} costs {-float(test.difference):.3f} more accuracy than {other!r} "
                    f"({-float(test.high):.3f} to {-float(test.low):.3f}): the model never sees zeros there, "
                    "so that part of its effect may be shock and not information lost."
                )
    return said
