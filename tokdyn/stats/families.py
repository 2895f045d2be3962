"""A family of tests as a table: raw, Holm and Benjamini-Hochberg p-values side by side, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn.checks import bad, choice
from tokdyn.stats.corrections import benjamini_hochberg, holm
from tokdyn.stats.inputs import samples
from tokdyn.stats.paired import paired_t_test, sign_test, wilcoxon_test
from tokdyn.stats.permutation import sign_flip_test

TESTS = ("t_test", "wilcoxon", "sign_test", "sign_flip")


def family(
    differences: Mapping[str, Any] | Any,
    names: Sequence[str] | None = None,
    *,
    tests: Sequence[str] = ("t_test", "wilcoxon", "sign_test"),
    clusters: ArrayLike | None = None,
    key: jax.Array | None = None,
    num_permutations: int = 10_000,
    confidence: float = 0.95,
    sd_floor: float = 0.0,
    tie_tolerance: float = 0.0,
    count_degenerate: bool = True,
) -> list[dict[str, Any]]:
    """All tests of a family, each with raw, Holm and Benjamini-Hochberg p-values, effect size and interval.

    Args:
        differences: ``{name: differences [n]}``, where n may differ; or one array `[tests, n]`.
        names: names of the rows of an array; None gives ``"0"``, ``"1"``, ...
        tests: which p-values to compute, of "t_test", "wilcoxon", "sign_test" and "sign_flip". Each kind is corrected
            over the family separately; decide in advance which one to draw conclusions from.
        clusters: for "sign_flip", the label of each pair `[n]` (all tests must then have the same n).
        key: for "sign_flip", a JAX key, unless the test is exact.
        num_permutations: for "sign_flip", the number of permutations.
        confidence: confidence level of Student's interval of the mean.
        sd_floor: added to sd in the effect size; the published study used 1e-9.
        tie_tolerance: a difference of at most this size is a tie, for wins, losses, ties and the sign test only.
        count_degenerate: whether a test with nothing to test counts in the corrections. True is the conservative
            choice. False leaves it out of the family of that kind, with p = 1; this is right for "wilcoxon",
            "sign_test" and "sign_flip", which could not have rejected whatever the signs (Tarone 1990).

    Returns:
        One record per test, in the given order, of plain Python values that ``json.dumps`` and ``pandas.DataFrame``
        accept. There is no NaN and no infinity: undefined values are 0 (statistic, effect size) or 1 (p), marked by
        ``degenerate``. Keys: name, n, wins, losses, ties, mean, sd, low, high, statistic,
        effect_size, degenerate; then for each kind ``{kind}_p_value``, ``{kind}_holm``,
        ``{kind}_benjamini_hochberg``, ``{kind}_degenerate``.

    Raises:
        ValueError: no test, NaN, fewer than two pairs, unknown kinds, names or clusters of another length.

    Example:
        >>> from tokdyn.stats import family
        >>> table = family({"inertia": [0.1, 0.3, 0.2, 0.4], "repulsion": [0.0, 0.0, 0.0, 0.0]}, tests=["t_test"])
        >>> [(row["name"], round(row["t_test_p_value"], 4), round(row["t_test_holm"], 4)) for row in table]
        [('inertia', 0.0305, 0.0609), ('repulsion', 1.0, 1.0)]
    """
    rows, labels = _rows(differences, names)
    kinds = [choice("tests", kind, TESTS) for kind in tests]
    lengths = np.array([len(row) for row in rows])
    if clusters is not None and (lengths != lengths[0]).any():
        raise bad("clusters", "differences of one length in all tests", sorted(set(lengths.tolist())))

    records: list[dict[str, Any]] = [{} for _ in rows]
    for length in np.unique(lengths):  # one vectorised call for all tests of one length
        chosen = np.flatnonzero(lengths == length)
        block = np.stack([rows[index] for index in chosen])
        student = paired_t_test(block, confidence=confidence, sd_floor=sd_floor)
        signs = sign_test(block, tie_tolerance=tie_tolerance)
        columns: dict[str, np.ndarray] = {
            "wins": signs.wins,
            "losses": signs.losses,
            "ties": signs.ties,
            "mean": student.mean,
            "sd": student.sd,
            "low": student.low,
            "high": student.high,
            "statistic": student.statistic,
            "effect_size": student.effect_size,
            "degenerate": student.degenerate,
        }
        for kind in kinds:
            result: Any
            if kind == "t_test":
                result = student
            elif kind == "wilcoxon":
                result = wilcoxon_test(block)
            elif kind == "sign_test":
                result = signs
            else:
                result = sign_flip_test(block, clusters, key=key, num_permutations=num_permutations)
            columns[f"{kind}_p_value"] = result.p_value
            columns[f"{kind}_degenerate"] = result.degenerate
        for position, index in enumerate(chosen):
            values = {name: column[position].item() for name, column in columns.items()}
            records[index] = {"name": labels[index], "n": int(length), **values}

    for kind in kinds:
        p_values = np.array([record[f"{kind}_p_value"] for record in records])
        included = np.array([count_degenerate or not record[f"{kind}_degenerate"] for record in records])
        corrections = {"holm": holm, "benjamini_hochberg": benjamini_hochberg}
        for correction, adjust in corrections.items():
            for record, value in zip(records, adjust(p_values, include=included).tolist(), strict=True):
                record[f"{kind}_{correction}"] = value
    return records


def _rows(differences: Any, names: Sequence[str] | None) -> tuple[list[np.ndarray], list[str]]:
    """The arrays in their original dtypes, which say how much rounding they carry, and their names."""
    if isinstance(differences, Mapping):
        if names is not None:
            raise bad("names", "None where differences has names", names)
        if not differences:
            raise bad("differences", "at least one test", "none")
        for name, row in differences.items():
            checked = samples(f"differences[{name!r}]", row)
            if checked.ndim != 1:
                raise bad(f"differences[{name!r}]", "an array [n]", f"shape {checked.shape}")
        return [np.asarray(row) for row in differences.values()], [str(name) for name in differences]
    if samples("differences", differences).ndim != 2:
        raise bad("differences", "an array [tests, n] or a mapping", f"shape {np.shape(differences)}")
    rows = list(np.asarray(differences))
    labels = [str(index) for index in range(len(rows))] if names is None else [str(name) for name in names]
    if len(labels) != len(rows):
        raise bad("names", f"{len(rows)} names", len(labels))
    return rows, labels
