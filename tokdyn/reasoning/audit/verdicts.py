"""The one sentence that an audit begins with: which arms did nothing, then what passes through the latents."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tokdyn.reasoning.audit.schema import CLEAN, Run
from tokdyn.stats import clopper_pearson, mcnemar_test

_OUTPUTS = ("right", "answers", "logits")
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
    used = run.of(CLEAN, "triggered")
    if used is not None and not used.all():
        said.append(f"Latents were used in {used.mean():.1%} of items.")
    live = [arm for arm in run.arms if arm not in still]
    return " ".join([*said, _use(run, tables, live, alpha)])


def _inert(arm: str, with_logits: bool, count: int) -> str:
    what = "answers and logits" if with_logits else "answers"
    return f"Arm {arm!r} did nothing: did the hook fire? Its {what} equal the clean run's on all {count} items." + (
        "" if with_logits else " Logits of both would tell a hook that did not fire from latents that are not needed."
    )


def _use(run: Run, tables: Mapping[str, Any], live: list[str], alpha: float) -> str:
    if not live and "mediation" not in tables:
        return "Whether the answer uses the latents cannot be told: no arm did anything."
    if "mediation" in tables:
        row = tables["mediation"].set_index("effect").loc["indirect / total"]
        if row["set"] == "interval":
            ends = _percent(row["low"], row["high"])
            return f"About {100 * row['estimate']:.0f} % of the effect of the image passes through the latents {ends}."
    if "donors" in tables:
        rows = tables["donors"][tables["donors"]["arm"].isin(live)]
        if len(rows):  # each is said, so that none is chosen
            return " ".join(_donor(row, alpha) for _, row in rows.iterrows())
    rows = tables["arms"].set_index("arm").reindex(live)
    if not len(rows):
        return "Whether the answer uses the latents cannot be told: no arm did anything."
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


def _donor(row: Any, alpha: float) -> str:
    low, high = row["low"], row["high"]
    if row["control_rate"] == 0:  # the lift is a proportion, whose exact interval is no point where all or none follow
        exact = clopper_pearson(round(row["donor_rate"] * row["n"]), row["n"], confidence=1 - alpha)
        low, high = float(exact.low), float(exact.high)
    ends = _percent(low, high)
    if low <= 0 and high <= LITTLE:
        return f"At most {math.ceil(100 * high)} % of answers follow the donor's latents in {row['arm']!r} {ends}."
    if low <= 0:
        return (
            f"Whether answers follow the latents cannot be told: those of {row['arm']!r} follow the donor in "
            f"{100 * row['lift']:.0f} % of items more than in the control {ends}, which may be none."
        )
    return f"About {100 * row['lift']:.0f} % of answers follow the donor's latents in {row['arm']!r} {ends}."


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
