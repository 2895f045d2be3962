"""A table of arms: controls are there unasked, and what they find wrong is not passed over."""

import functools

import jax
import numpy as np
import pandas
import pytest
import tiny
from tiny import TASK

from tokdyn import keys, reasoning
from tokdyn.reasoning import ablation, audit
from tokdyn.reasoning import interventions as do

MODEL = reasoning.reasoner(TASK, reasoning.protocol(slots=2), width=8, heads=2, layers=1, hidden=12)
# One battery for all: its program is compiled once.
ARMS = {"zero": do.zero("slots"), "donor": do.swap("slots", site="cache"), "off": do.remove("slots")}


@pytest.fixture(scope="module")
def items():
    return tiny.drawn(TASK, 40)


@pytest.fixture(scope="module")
def variables():
    return tiny.untrained(MODEL)


@pytest.fixture(scope="module")
def ablate(items, variables):
    options = {"key": jax.random.key(1), "num_resamples": 100}
    return functools.partial(_ablate, model=MODEL, variables=variables, items=items, **options)


def _ablate(arms=ARMS, *, model, variables, items, **options):
    return reasoning.ablate(model, TASK, variables, items, arms, **options)


def test_rows_are_clean_arms_controls_and_say_what_run_arms_says(ablate, variables, items):
    key = jax.random.key(1)
    table = ablate()
    added = list(reasoning.controls(MODEL, key=key))
    assert list(table.index) == ["clean", *ARMS, *added]
    assert list(table.columns[:3]) == ["trigger_rate", "parse_rate", "accuracy"]
    clean, results = jax.jit(lambda variables: reasoning.run_arms(MODEL, variables, items, ARMS, key=key))(variables)
    for name, arm in {"clean": clean, **results}.items():
        answers = np.asarray(arm.answer[:, 0])
        assert table.loc[name, "accuracy"] == np.mean(answers == items.answer[:, 0])
        assert table.loc[name, "parse_rate"] == np.isin(answers, TASK.choices).mean()
    assert len(set(table["accuracy"])) > 1
    assert table.loc["control: channel off", "accuracy"] == table.loc["off", "accuracy"]
    unchanged = [
        name for name in added if "identity" in name or name in ("control: nothing", "control: own latents back")
    ]
    assert (table.loc[unchanged, "difference"] == 0).all()


def test_an_audit_of_the_same_run_says_the_same(ablate, variables, items):
    """One record, one table, one bound: whoever ran the arms."""
    key = jax.random.key(1)
    run = audit.as_run(MODEL, TASK, variables, items, ARMS, key=key)
    found = audit.audit(run, key=keys.for_purpose(key, "bootstrap"), num_resamples=100).tables["arms"]
    table = ablate(with_controls=False)
    pandas.testing.assert_frame_equal(table, found.set_index("arm").loc[table.index], check_dtype=False)


def test_an_ensemble_has_a_row_of_all_its_seeds(ablate):
    members = [tiny.untrained(MODEL, seed) for seed in range(3)]
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    table = ablate(variables=together, ensemble=True)
    alone = [ablate(variables=one) for one in members]
    assert (table["seeds"] == 3).all()
    expected = np.mean([one["accuracy"] for one in alone], axis=0)
    np.testing.assert_allclose(table["accuracy"], expected, atol=1e-6)


def test_a_control_that_changes_something_is_an_error(ablate, monkeypatch):
    honest = ablation._program

    def broken(*names):
        """The programs of a model in which these controls set slots to zero."""

        def program(*asked):
            run = honest(*asked)

            def zeroed(*given):
                found = run(*given)
                return {**found, **dict.fromkeys(names, found["zero"])}

            return zeroed

        return program

    monkeypatch.setattr(ablation, "_program", broken("control: identity, cache"))
    with pytest.raises(RuntimeError, match="control: identity, cache: expected the very logits"):
        ablate()
    # All that writes nothing writes something: the arms agree with each other, but not with the clean run.
    monkeypatch.setattr(ablation, "_program", broken("control: nothing", *ablation._EXACT))
    with pytest.raises(RuntimeError, match="control: nothing: expected the logits of the clean run"):
        ablate()
    assert ablate({"zero": do.zero("slots")}, with_controls=False).index.tolist() == ["clean", "zero"]


def test_bad_input(ablate):
    with pytest.raises(ValueError, match="arms: expected names that no control has, got 'control: channel off'"):
        ablate({"control: channel off": do.zero("slots")})
    with pytest.raises(ValueError, match="arms: expected names that no control has, got 'clean'"):
        ablate({"clean": do.zero("slots")}, with_controls=False)
    at_once = reasoning.reasoner(TASK, reasoning.direct(), width=8, heads=2)
    with pytest.raises(ValueError, match="model: expected a reasoner with slots"):
        reasoning.controls(at_once, key=jax.random.key(1))
