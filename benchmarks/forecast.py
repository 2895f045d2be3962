"""``python -m benchmarks.forecast``: how often ``td.collapse_forecast`` is right, what the automatic temperature costs.

Both were made on one half of the data sets of ``benchmarks/features.py`` and are judged here on the other half, by
simulation: at every temperature runs from 10 random starts, above the critical one also from where 10 runs in the cold
ended. ``--half large`` judges on sets of 12,000 features, of which a forecast reads 2,048; ``--half developed`` shows
the half they were made on; ``--cost`` what they cost beside a run on [50000, 512].
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import tokdyn as td
from benchmarks import features as data
from benchmarks.features import Case
from benchmarks.outcomes import simulate

# Shares of the critical temperature. Regret is measured against the best of all that are below it, the forecast is
# asked at every other one and at all above.
RATIOS = np.concatenate([np.geomspace(0.002, 0.95, 20), [1.05, 1.15, 1.5, 3.0]])
ASKED = [*range(5, 20, 2), 20, 21, 22, 23]
STARTS = 10
REGIMES = td.theory.REGIMES


def truth(distinct: np.ndarray, from_cold: np.ndarray | None, num_tokens: int) -> str:
    """The regime that runs show, by distinct tokens from random starts `[S]` and, above critical, from the cold."""
    if from_cold is not None:
        return "full" if max(distinct.max(), from_cold.max()) == 1 else "start-dependent"
    return "partial" if np.mean(distinct < num_tokens) >= 0.5 else "none"


def by_spectrum(ratio: float) -> str:
    """What one would say without a preview: nobody stays above critical, some are lost in the upper half below it."""
    return "full" if ratio > 1 else "partial" if ratio > 0.5 else "none"


def examine(case: Case, num_tokens: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Forecasts beside the truth, one row a temperature; and the regret of temperatures."""
    values = case.features.astype(float)
    critical = float(td.theory.critical_temperature(values))
    automatic = td.theory.automatic_temperature(values, num_tokens=num_tokens)
    temperatures = np.append(RATIOS * critical, [automatic, 1.0])
    runs = simulate(values, case.labels, temperatures, num_tokens=num_tokens, num_starts=STARTS, seed=0)
    above = RATIOS > 1
    cold = simulate(
        values, None, RATIOS[above] * critical, num_tokens=num_tokens, num_starts=STARTS, seed=1, cold=0.1 * critical
    )
    rows = []
    for i in ASKED:
        from_cold = cold.distinct[i - np.argmax(above)] if above[i] else None
        found = td.collapse_forecast(values, num_tokens=num_tokens, temperature=RATIOS[i] * critical)
        shown = truth(runs.distinct[i], from_cold, num_tokens)
        rows.append({"ratio": RATIOS[i], "forecast": found.regime, "spectrum": by_spectrum(RATIOS[i]), "truth": shown})
    # The kept start is the one with the smallest sum of squares, as in TokenClustering.
    kept = runs.errors.argmin(axis=1)
    scores, errors = (np.take_along_axis(x, kept[:, None], 1)[:, 0] for x in (runs.scores, runs.errors))
    distinct = np.take_along_axis(runs.distinct, kept[:, None], 1)[:, 0]
    best_score, least = scores[: len(RATIOS)].max(), errors[: len(RATIOS)].min()
    regret = {
        name: (float(best_score - scores[i]), float(errors[i] / least - 1), int(distinct[i]))
        for name, i in (("auto", -2), ("one", -1))
    }
    return rows, {"best": float(best_score), "ratio": automatic / critical, **regret}


def report(cases: list[Case], title: str) -> str:
    """The tables, as Markdown."""
    asked, rows = [], []
    for case in cases:
        twice = [2 * case.num_clusters] if len(case.features) <= data.NUM_FEATURES else []
        for num_tokens in [case.num_clusters, *twice]:
            began = time.perf_counter()
            forecasts, regret = examine(case, num_tokens)
            asked += forecasts
            rows.append((case, num_tokens, regret))
            wrong = [f"{r['ratio']:.2g}: {r['forecast']} ({r['truth']})" for r in forecasts
                     if r["forecast"] not in (r["truth"], "unknown")]  # fmt: skip
            print(f"{case.name}, K={num_tokens}, {time.perf_counter() - began:.0f} s: {'; '.join(wrong) or 'no error'}",
                  file=sys.stderr, flush=True)  # fmt: skip
    return "\n".join([f"# {title}", "", *confusion(asked), "", *regrets(rows), ""])


def confusion(asked: list[dict[str, Any]]) -> list[str]:
    """Forecast against what runs show."""
    truths = ("none", "partial", "start-dependent", "full")
    counts = Counter((row["forecast"], row["truth"]) for row in asked)
    answered = [row for row in asked if row["forecast"] != "unknown"]
    right = sum(row["forecast"] == row["truth"] for row in answered)
    simple = sum(row["spectrum"] == row["truth"] for row in asked)
    return [
        f"`td.collapse_forecast` at {len(asked)} temperatures: answered {len(answered)} "
        f"({len(answered) / len(asked):.1%}), of which right {right} ({right / max(len(answered), 1):.1%}). By the "
        f"ratio to the critical temperature alone (above 1 full, above 0.5 partial): {simple / len(asked):.1%} of all.",
        "",
        "| forecast | " + " | ".join(f"runs: {name}" for name in truths) + " |",
        "|---" * 5 + "|",
        *(f"| {name} | " + " | ".join(str(counts[name, shown]) for shown in truths) + " |" for name in REGIMES),
    ]


def regrets(rows: list[tuple[Case, int, dict[str, Any]]]) -> list[str]:
    """What the automatic temperature costs, beside temperature 1."""
    lines = [
        "Regret: ARI of the best temperature of the grid minus that of the rule (the labels' own number of tokens); "
        "the excess of the sum of squared errors over the least of the grid. Distinct: of the kept run of 10.",
        "",
        "| data | K | auto / critical | best ARI | regret, auto | regret, T=1 | excess, auto | excess, T=1 "
        "| distinct, auto | distinct, T=1 |",
        "|---" * 10 + "|",
    ]
    scored: dict[str, list[float]] = {"auto": [], "one": []}
    excess: dict[str, list[float]] = {"auto": [], "one": []}
    for case, num_tokens, regret in rows:
        with_labels = case.labels is not None and num_tokens == case.num_clusters
        cells = [case.name, str(num_tokens), f"{regret['ratio']:.3f}", f"{regret['best']:.3f}" if with_labels else ""]
        cells += [f"{regret[name][0]:.3f}" if with_labels else "" for name in ("auto", "one")]
        cells += [f"{regret[name][1]:.1%}" for name in ("auto", "one")]
        cells += [str(regret[name][2]) for name in ("auto", "one")]
        lines.append("| " + " | ".join(cells) + " |")
        for name in ("auto", "one"):
            excess[name].append(regret[name][1])
            if with_labels:
                scored[name].append(regret[name][0])
    summary = [
        f"{label}: ARI regret mean {np.mean(scored[name]):.3f}, largest {np.max(scored[name]):.3f} "
        f"({len(scored[name])} data sets); excess of squared errors median {np.median(excess[name]):.2%}, mean "
        f"{np.mean(excess[name]):.1%}, largest {np.max(excess[name]):.1%} ({len(excess[name])})."
        for name, label in (("auto", '`temperature="auto"`'), ("one", "Temperature 1"))
    ]
    return [summary[0], "", summary[1], "", *lines]


def cost() -> str:
    """Processor seconds beside one start of 20 steps on [50000, 512], 32 tokens, in float32."""
    import jax

    values = np.random.default_rng(0).normal(size=(50_000, 512)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    began = time.process_time()
    guide = td.theory.Guide(values, 32)
    middle = time.process_time()
    td.collapse_forecast(values, num_tokens=32, temperature=2 * guide.automatic_temperature)
    after = time.process_time()
    dynamics = td.compose(attract=td.attraction(temperature=guide.automatic_temperature, distances="difference"))
    run = lambda: jax.block_until_ready(  # noqa: E731
        td.run(dynamics, jax.random.key(0), values, num_tokens=32, max_steps=20, tol=0.0)
    )
    run()
    start = time.process_time()
    run()
    ran = time.process_time() - start
    return (
        f"[50000, 512], 32 tokens, processor seconds: automatic temperature {middle - began:.2f}, forecast "
        f"{after - middle:.2f}, a run of 20 steps from one start {ran:.2f} (10 starts of 50 steps: {25 * ran:.0f})\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast", description=__doc__)
    parser.add_argument("--half", choices=("unseen", "large", "developed"), default="unseen", help="of the data")
    parser.add_argument("--cost", action="store_true", help="only the cost, beside a large run")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    if options.cost:
        text = cost()
    elif options.half == "large":
        text = report(data.large(), "Forecast and automatic temperature, on 12,000 features they were not made from")
    elif options.half == "unseen":
        text = report(data.unseen(), "Forecast and automatic temperature, on data they were not made from")
    else:
        text = report(data.developed(), "Forecast and automatic temperature, on the data they were made from")
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
