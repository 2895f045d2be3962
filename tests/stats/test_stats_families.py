"""The table of a family: its corrections, its JSON, its order, tests of unequal length."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from constant_keys import constant_key
from statsmodels.stats.multitest import multipletests

from tokdyn.stats import family, paired_t_test, sign_flip_test, wilcoxon_test

KEY = constant_key(3)


@pytest.fixture
def differences():
    """27 tests of 30 pairs, mostly ties, two of them without any difference: the published study's kind of data."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.05, 0.2, (27, 30)) * (rng.uniform(size=(27, 30)) < 0.3)
    values[[4, 9]] = 0
    return values


def test_table_agrees_with_the_single_functions_and_statsmodels(differences):
    table = pd.DataFrame(
        family(differences, tests=("t_test", "wilcoxon", "sign_test", "sign_flip"), key=KEY, sd_floor=1e-9)
    )
    student = paired_t_test(differences, sd_floor=1e-9)
    np.testing.assert_array_equal(table["t_test_p_value"], student.p_value)
    np.testing.assert_array_equal(table["effect_size"], student.effect_size)
    np.testing.assert_array_equal(table["wilcoxon_p_value"], wilcoxon_test(differences).p_value)
    np.testing.assert_array_equal(table["sign_flip_p_value"], sign_flip_test(differences, key=KEY).p_value)
    for kind in ("t_test", "wilcoxon", "sign_test", "sign_flip"):
        for name, method in (("holm", "holm"), ("benjamini_hochberg", "fdr_bh")):
            expected = multipletests(table[f"{kind}_p_value"], method=method)[1]
            np.testing.assert_allclose(table[f"{kind}_{name}"], expected, rtol=1e-12)
    assert table["degenerate"].sum() == 2
    assert (table[["wins", "losses", "ties"]].sum(axis=1) == 30).all()


def test_records_are_plain_json(differences):
    differences[0] = 0.25  # one constant that is not zero
    records = family(differences)
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert {type(value) for record in records for value in record.values()} == {str, int, float, bool}
    assert records[0]["t_test_p_value"] == 1.0
    assert records[0]["t_test_degenerate"]
    assert not records[0]["wilcoxon_degenerate"]
    assert records[0]["wilcoxon_p_value"] < 1e-6


def test_degenerate_tests_count_unless_told_otherwise(differences):
    counted = family(differences, tests=["wilcoxon"])
    dropped = family(differences, tests=["wilcoxon"], count_degenerate=False)
    smallest = int(np.argmin([record["wilcoxon_p_value"] for record in counted]))
    p_value = counted[smallest]["wilcoxon_p_value"]
    np.testing.assert_allclose(counted[smallest]["wilcoxon_holm"], min(1, 27 * p_value))
    np.testing.assert_allclose(dropped[smallest]["wilcoxon_holm"], min(1, 25 * p_value))
    assert dropped[4]["wilcoxon_holm"] == 1


def test_mapping_keeps_its_order_and_takes_unequal_lengths():
    rng = np.random.default_rng(1)
    mapping = {"b": rng.normal(size=12), "a": rng.normal(size=7), "c": list(rng.normal(size=12))}
    records = family(mapping)
    assert [record["name"] for record in records] == ["b", "a", "c"]
    assert [record["n"] for record in records] == [12, 7, 12]
    for record, values in zip(records, mapping.values(), strict=True):
        np.testing.assert_allclose(record["t_test_p_value"], paired_t_test(values).p_value, rtol=1e-12)
    array = family(np.stack([mapping["b"], mapping["c"]]), ["b", "c"])
    assert [record["name"] for record in array] == ["b", "c"]
    assert array[0]["mean"] == records[0]["mean"]


def test_clusters_reach_the_sign_flips():
    values = np.random.default_rng(2).normal(size=(3, 12))
    labels = np.repeat(np.arange(6), 2)
    records = family(values, tests=["sign_flip"], clusters=labels)
    np.testing.assert_array_equal(
        [record["sign_flip_p_value"] for record in records], sign_flip_test(values, labels).p_value
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: family({}),
        lambda: family({"a": [1.0]}),
        lambda: family({"a": [1.0, np.nan]}),
        lambda: family({"a": [[1.0, 2.0]]}),
        lambda: family({"a": [1.0, 2.0]}, ["a"]),
        lambda: family([1.0, 2.0]),
        lambda: family([[1.0, 2.0]], ["a", "b"]),
        lambda: family([[1.0, 2.0]], tests=["anova"]),
        lambda: family({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, tests=["sign_flip"], clusters=[0, 1]),
        lambda: family(np.ones((2, 20)), tests=["sign_flip"]),
    ],
)
def test_bad_input_is_a_sentence(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_the_import_is_light():
    code = "import sys, tokdyn.stats; print(any(m in sys.modules for m in ('scipy.stats', 'scipy.special', 'pandas')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
