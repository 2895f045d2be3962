"""Designs of known truth: what masks and gates make true holds for any weights, to the last bit, and is measured."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import tiny

from tokdyn import keys
from tokdyn.compiling import jitted
from tokdyn.reasoning import designs, run_arms, tasks, variations
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning.audit.suite import battery
from tokdyn.reasoning.designs import DESIGNS, Size, reference
from tokdyn.reasoning.estimands import Estimands, depends, estimands
from tokdyn.reasoning.protocol import Gate, protocol
from tokdyn.reasoning.training import items_of

TASK, SMALL = tasks.pointer_chase(side=2, hops=2, patch=3), Size(width=8, heads=2, hidden=8, layers=2, num_steps=20)
ARMS = {"donor": do.swap("slots", site="cache"), "embedding": do.swap("slots"), "removed": do.remove("slots")}


def made(name, run=True):
    one = reference(name, TASK, SMALL, run=run)
    return one, tiny.untrained(one.model)


@pytest.fixture(scope="module", params=list(DESIGNS))
def design(request):
    """Name, reference, items, the clean output and the answers' logits under every arm."""
    one, variables = made(request.param)
    items = tiny.drawn(one.task, 64, most=64)
    clean, arms = jax.tree.map(np.asarray, through(one.model)(variables, items, tiny.key()))
    return request.param, one, items, clean, arms


@functools.cache
def through(model):
    """Designs that differ in their items only share a program."""
    return jitted(lambda variables, items, key: run_arms(
        model, variables, items, ARMS, key=key, keep=lambda output: output.logits
    ), "little")  # fmt: skip


def test_idle_is_idle_to_the_last_bit(design):
    name, one, _, clean, arms = design
    if DESIGNS[name].content is False:
        np.testing.assert_array_equal(arms["donor"], clean.logits)
    for channel, arm in (("slot embedding", "embedding"), ("positions", "removed")):
        if one.truth[channel] == "none":
            np.testing.assert_array_equal(arms[arm], clean.logits)


def test_used_is_used_with_any_weights(design):
    name, _, items, clean, arms = design
    changed = (arms["donor"] != clean.logits).any(axis=(1, 2))
    if DESIGNS[name].content:
        closed = items.case == 0 if name in ("gated", "rare") else np.zeros(len(changed), bool)
        assert not changed[closed].any()
        assert changed[~closed].all()


def test_attention_is_open_where_it_is_said_to_be(design):
    name, one, items, clean, _ = design
    slots, answers = one.model.places.where("slots"), one.model.places.where("format")[one.model.places.prefix :]
    looks = clean.attention[:, :, :, answers][..., slots].sum(axis=(1, 2, 3, 4))
    if name in ("gated", "rare"):
        np.testing.assert_array_equal(looks > 0, items.case == 1)
    else:
        assert (looks > 0).all() == (looks > 0).any() == DESIGNS[name].attends


def test_attention_is_crossed_with_truth():
    """Neither seeing slots nor not seeing the image goes with being used."""
    pairs = {(one.attends, one.content) for one in DESIGNS.values()}
    assert pairs >= {(True, True), (False, True), (True, False), (False, False)}
    blind = set()
    for name, one in DESIGNS.items():
        hidden = dict(reference(name, TASK, SMALL).model.protocol.hidden)
        blind.add(("image" in hidden.get("format", ()), one.content))
    assert blind >= {(True, True), (True, False), (False, True), (False, False)}


def test_no_arm_is_trained(design):
    """What training does to slots beside the protocol is named, and nothing of the battery is among it."""
    name = design[0]
    learner, runner = reference(name, TASK, SMALL), reference(name, TASK, SMALL, run=True)
    tested = {(write.operation, write.site) for arm in battery(8).values() for write in arm.writes}
    trained = {(write.operation, write.site) for arm in learner.loss.under for write in arm.writes}
    assert not trained & tested
    # Gates that are closed in training and never in a run hide slots, or nothing of them.
    shares = [getattr(one.task, "shares", (1.0,)) for one in (learner, runner)]
    only_trained = {case for case, share in enumerate(shares[0]) if share and not shares[1][case]}
    hides = any(gate.source == "slots" and gate.case in only_trained for gate in learner.model.protocol.gates)
    assert ("removed" in DESIGNS[name].interventions) == hides


def test_a_trained_intervention_would_be_noticed(monkeypatch):
    one = DESIGNS["sole"]
    under = dataclasses.replace(one.loss, under=(do.swap("slots", site="cache"),))
    monkeypatch.setitem(designs.DESIGNS, "sole", one._replace(loss=under))
    with pytest.raises(AssertionError):
        test_no_arm_is_trained(("sole",))


def dear(*values):
    """A case whose program takes seconds to compile, like those of others that stay."""
    return pytest.param(*values, marks=pytest.mark.slow)


def loud(variables):
    """Pictures decide answers, as they do in trained weights: drawn ones answer nearly the same to every item."""
    for name, layer in variables["params"].items():
        for part in layer.values() if name.startswith("blocks") else ():
            if "kernel" in part:
                part["kernel"] *= 4
    for name in ("word_vectors", "place_vectors"):
        variables["params"][name] *= 0.1
    variables["params"]["patch_layers_0"]["kernel"] *= 9


class TestEstimands:
    @pytest.mark.parametrize(("name", "direct"), [("sole", 0.0), ("sealed", 1.0), dear("shallow", 1.0)])
    def test_paths_that_masks_close(self, name, direct):
        """With slots alone the whole effect is indirect; with slots unread it is direct; for any weights."""
        one, variables = made(name)
        loud(variables)
        found = estimands(one.model, one.task, variables, tiny.key(), num_items=500, effort="little")
        assert found.total > 0.05
        assert (found.direct, found.indirect) == (direct, 1 - direct)
        assert (found.changed > 0.05) == (direct == 0)
        assert bool(depends(found)) == (direct == 0)
        assert found.sufficient == 1 - direct

    def test_a_gate_mixes_the_two(self):
        one, variables = made("gated")
        loud(variables)
        found = estimands(one.model, one.task, variables, tiny.key(), num_items=500, effort="little")
        # An answer near a tie may be rounded either way.
        assert found.indirect + found.direct == pytest.approx(1.0, abs=0.02)
        assert 0.05 < found.indirect < 0.7  # a share of 0.3, of items whose answer another picture changes

    @pytest.mark.parametrize("name", ["gated", "rare", dear("redundant")])
    def test_where_a_gate_hides_the_picture_all_that_is_left_goes_through_slots(self, name):
        """No marker is a way around them: some trainings once found one that read image and question."""
        one, variables = made(name)
        loud(variables)
        hidden = variations.varied(TASK, shares=(0.0, 1.0, 0.0)[: 2 + (name == "redundant")])
        found = estimands(one.model, hidden, variables, tiny.key(), num_items=500, effort="little")
        assert found.total > 0.05
        assert (found.direct, found.indirect) == (0.0, 1.0)

    def test_counts_are_those_of_arms(self):
        one, variables = made("gated")
        loud(variables)
        found = estimands(one.model, one.task, variables, tiny.key(), num_items=500, effort="little")
        key = keys.for_seed(tiny.key(), 0)
        items = items_of(one.task, keys.for_purpose(key, "items"), 500)
        run = jitted(lambda variables, items, key: run_arms(one.model, variables, items, ARMS, key=key), "little")
        clean, arms = run(variables, items, key)
        before, truth = np.asarray(clean.answer)[:, 0], np.asarray(items.answer)[:, 0]
        after = {name: np.asarray(arm.answer)[:, 0] for name, arm in arms.items()}
        assert found.accuracy == np.mean(before == truth)
        assert found.changed == np.mean(after["donor"] != before)
        assert found.necessary == pytest.approx(np.mean(before == truth) - np.mean(after["donor"] == truth))
        assert found.changed_embedding == np.mean(after["embedding"] != before)
        assert found.changed_presence == np.mean(after["removed"] != before)

    def test_between_the_bounds_nothing_is_said(self):
        found = Estimands(*[0.0] * 12)._replace(changed=np.array([0.0, 0.009, 0.011, 0.05, 0.051]))
        np.testing.assert_array_equal(depends(found), [0, 0, np.nan, np.nan, 1])

    @pytest.mark.parametrize(("count", "sentence"), [(400, "num_items: expected"), (750, "num_items: expected a mult")])
    def test_bad_input(self, count, sentence):
        one, variables = made("sole")
        with pytest.raises(ValueError, match=f"^{sentence}"):
            estimands(one.model, one.task, variables, tiny.key(), num_items=count)


class TestVariations:
    def test_noise_leaves_the_answer_and_keeps_the_picture(self):
        task = variations.varied(TASK, noise=0.5)
        items = tiny.drawn(task, 64, most=64)
        assert 0.45 < np.std(items.image - items.helper) < 0.55
        follow = jax.jit(jax.vmap(task.answer_from))
        np.testing.assert_array_equal(follow(items, np.zeros(64, int), items.question[:, 0]), items.answer)

    def test_cases_are_drawn_as_often_as_said(self):
        items = tiny.drawn(variations.varied(TASK, shares=(0.2, 0.5, 0.3)), 2000)
        counts = np.bincount(items.case, minlength=3)
        assert np.abs(counts / 2000 - [0.2, 0.5, 0.3]).max() < 4 * 0.5 / np.sqrt(2000)

    @pytest.mark.parametrize(
        "options", [{"shares": (0.5, 0.4)}, {"shares": ()}, {"shares": (1.5, -0.5)}, {"noise": -1}]
    )
    def test_bad_input(self, options):
        with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
            variations.varied(TASK, **options)


class TestGates:
    def test_a_protocol_without_gates_is_written_as_before(self):
        assert "gates" not in protocol(slots=2).as_dict()
        way = protocol(slots=2, gates=[Gate("format", "slots", first_layer=1)])
        assert protocol(**way.as_dict()) == way

    def test_a_gate_that_is_always_closed_is_a_mask(self):
        """One for all layers and items gives what ``hidden`` gives, to the last bit."""
        from tokdyn.reasoning import reasoner

        items = tiny.drawn(TASK, 8, most=64)
        outputs = []
        for options in ({"hidden": {"format": ["slots"]}}, {"gates": [Gate("format", "slots")]}):
            model = reasoner(TASK, protocol(slots=2, **options), width=8, heads=2, layers=2, hidden=8)
            outputs.append(jax.jit(model.apply)(tiny.untrained(model), items)[0])
        for one, other in zip(jax.tree.leaves(outputs[0]), jax.tree.leaves(outputs[1]), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)

    @pytest.mark.parametrize("gate", [{"reader": "answers", "source": "slots"}, {"reader": "format", "source": "x"}])
    def test_unknown_components(self, gate):
        with pytest.raises(ValueError, match="^gates: expected one of"):
            protocol(slots=1, gates=[gate])


def test_sizes_and_tasks_are_those_of_the_suite():
    assert len(designs.TASKS) == len(designs.SIZES) == 2
    assert {one.content for one in DESIGNS.values()} == {True, False, None}
