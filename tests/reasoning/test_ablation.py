"""A table of arms: controls are there unasked, and what they find wrong is not passed over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import reasoning
from tokdyn.reasoning import ablation
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.training import items_of

TASK = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1, patch=3)
MODEL = reasoning.reasoner(TASK, reasoning.protocol(slots=2), width=8, heads=2, hidden=12)
VARIABLES = MODEL.init(jax.random.key(0))
ITEMS = items_of(TASK, jax.random.key(3), 40)
KEY = jax.random.key(1)


def ablate(arms, model=MODEL, variables=VARIABLES, **options):
    return reasoning.ablate(model, TASK, variables, ITEMS, arms, key=KEY, num_resamples=100, **options)


def test_rows_are_clean_arms_controls_and_say_what_run_arms_says():
    arms = {"zero": do.zero("slots"), "donor": do.swap("slots", site="cache"), "off": do.remove("slots")}
    table = ablate(arms)
    added = list(reasoning.controls(MODEL, KEY))
    assert list(table.index) == ["clean", *arms, *added]
    assert list(table.columns[:3]) == ["trigger_rate", "parse_rate", "accuracy"]
    clean, results = jax.jit(
        lambda variables: reasoning.run_arms(MODEL, variables, ITEMS, arms, key=KEY)
    )(VARIABLES)  # fmt: skip
    for name, arm in {"clean": clean, **results}.items():
        assert table.loc[name, "accuracy"] == np.mean(arm.answer[:, 0] == ITEMS.answer[:, 0])
        assert table.loc[name, "parse_rate"] == np.isin(arm.answer[:, 0], TASK.choices).mean()
    assert table.loc["control: channel off", "accuracy"] == table.loc["off", "accuracy"]
    unchanged = [
        name for name in added if "identity" in name or name in ("control: nothing", "control: own latents back")
    ]
    assert (table.loc[unchanged, "difference"] == 0).all()


def test_an_ensemble_has_a_row_of_all_its_seeds():
    members = [MODEL.init(jax.random.key(seed)) for seed in range(3)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    table = ablate({"zero": do.zero("slots")}, variables=together, ensemble=True)
    alone = [ablate({"zero": do.zero("slots")}, variables=one) for one in members]
    assert (table["seeds"] == 3).all()
    expected = np.mean([one["accuracy"] for one in alone], axis=0)
    np.testing.assert_allclose(table["accuracy"], expected, atol=1e-6)


def test_a_control_that_changes_something_is_an_error(monkeypatch):
    honest = ablation.controls

    def broken(name, arm):
        monkeypatch.setattr(ablation, "controls", lambda model, key: {**honest(model, key), name: arm})

    broken("control: identity, cache", do.constant("slots", [1e-3] * 8, site="cache"))
    with pytest.raises(RuntimeError, match="control: identity, cache: expected the very logits"):
        ablate({"zero": do.zero("slots")})
    # All that writes nothing writes something: the arms agree with each other, but not with the clean run.
    wrong = do.zero("question")
    every = dict.fromkeys(("control: nothing", *ablation._EXACT), wrong)
    monkeypatch.setattr(ablation, "controls", lambda model, key: {**honest(model, key), **every})
    with pytest.raises(RuntimeError, match="control: nothing: expected the logits of the clean run"):
        ablate({"zero": do.zero("slots")})
    assert ablate({"zero": do.zero("slots")}, with_controls=False).index.tolist() == ["clean", "zero"]


def test_bad_input():
    with pytest.raises(ValueError, match="arms: expected names that no control has, got 'control: channel off'"):
        ablate({"control: channel off": do.zero("slots")})
    with pytest.raises(ValueError, match="arms: expected names that no control has, got 'clean'"):
        ablate({"clean": do.zero("slots")}, with_controls=False)
    at_once = reasoning.reasoner(TASK, reasoning.direct(), width=8, heads=2)
    with pytest.raises(ValueError, match="model: expected a reasoner with slots"):
        reasoning.controls(at_once, KEY)
