"""Exchanged and degraded pictures: what is held is held, and flips are counted as they were planted."""

import functools

import jax
import numpy as np
import pytest
import tiny

from tokdyn import reasoning, stats
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import references
from tokdyn.reasoning.diagnose import counterfactual_flips


def untrained(name):
    """A reference's masks, which are what counts here, in one small layer."""
    one = references.catalog("small")[name]
    model = reasoning.reasoner(one.task, one.model.protocol, width=8, heads=2, hidden=8, layers=1)
    return model, one.task, tiny.untrained(model), tiny.drawn(one.task, 24, seed=2)


def clean_run(model, variables, items):
    return tiny.program(model.apply)(variables, items)[0]


def clean_logits(model, variables, items):
    return clean_run(model, variables, items).logits[:, 0]


@functools.cache
def program(model):
    return jax.jit(
        lambda *given, donors=None: reasoning.under_degraded_pictures(
            model, *given, key=jax.random.key(0), donors=donors
        )
    )


def degraded(model, variables, items, other, **options):
    return jax.tree.map(np.asarray, program(model)(variables, items, other, **options))


def worse(items):
    return items._replace(image=0.5 * items.image)


def test_on_the_clean_picture_the_own_cache_changes_nothing_and_a_donors_is_a_swap():
    model, _, variables, items = untrained("content")
    found = degraded(model, variables, items, items)
    swap = {"swap": do.swap("slots", site="cache")}
    _, arms = jax.jit(lambda *given: reasoning.run_arms(model, *given, swap, key=jax.random.key(0)))(variables, items)
    np.testing.assert_allclose(found["own"], found["degraded"], atol=1e-5)
    np.testing.assert_allclose(found["donor"], arms["swap"].logits[:, 0], atol=1e-5)
    assert np.abs(found["donor"] - found["own"]).max() > 1e-3


def test_who_cannot_see_slots_does_not_notice_whose_they_are():
    model, _, variables, items = untrained("masked")
    found = degraded(model, variables, items, worse(items))
    np.testing.assert_allclose(found["own"], found["donor"], atol=1e-5)
    clean = clean_logits(model, variables, items)
    assert np.abs(found["own"] - clean).max() > 1e-4  # the worse picture is seen


def test_who_sees_slots_only_does_not_notice_the_picture():
    model, _, variables, items = untrained("content")
    found = degraded(model, variables, items, worse(items))
    clean = clean_logits(model, variables, items)
    np.testing.assert_allclose(found["own"], clean, atol=1e-5)
    assert np.abs(found["degraded"] - clean).max() > 1e-4


def test_donors_are_those_that_are_named():
    model, _, variables, items = untrained("content")
    donors = np.arange(24)[::-1].copy()
    found = degraded(model, variables, items, worse(items), donors=donors)
    np.testing.assert_allclose(found["donor"], found["own"][donors], atol=1e-5)


def test_margins_of_the_exchange_are_those_of_the_runs_where_one_path_is_closed():
    for name, through in (("content", (0, 0, 1, 1)), ("masked", (0, 1, 0, 1))):
        model, task, variables, items = untrained(name)
        others = items._replace(image=np.roll(items.image, -1, axis=0))
        np.testing.assert_array_equal(reasoning.other_picture(items).image, others.image)
        answers = np.asarray(tiny.program(reasoning.answers_to, "task")(task=task, items=others))
        outputs = [clean_run(model, variables, some) for some in (items, others)]

        @jax.jit
        def exchanged(*given, model=model):
            return reasoning.exchange_margins(model, *given, key=jax.random.key(0))["cache"]

        margins = exchanged(variables, items, others, tuple(outputs), answers)
        rows = np.arange(24)
        logits = [np.asarray(output.logits[:, 0]) for output in outputs]
        direct = [one[rows, answers] - one[rows, items.answer[:, 0]] for one in logits]
        for margin, followed in zip(margins, through, strict=True):
            np.testing.assert_allclose(margin, direct[followed], atol=1e-4)


def test_flips_are_counted_where_they_are():
    # Ten should flip: six do, four of them rightly; of ten others one flips; one answer of each kind cannot be read.
    targets, edited = np.zeros(20, int), np.repeat([1, 0], 10)
    answers = np.zeros(20, int)
    after = np.array([1, 1, 1, 1, 2, 2, 0, 0, 0, -1] + [3] + [0] * 8 + [-1])
    found = counterfactual_flips(answers, after, targets, edited)
    assert (found.should_flip.rate, found.flipped.rate, found.correct_flip.rate) == (0.5, 0.6, 0.4)
    assert (found.false_flip.rate, found.parsed.rate) == (0.1, 0.9)
    exact = stats.clopper_pearson(6, 10)
    assert (found.flipped.low, found.flipped.high, found.flipped.n) == (float(exact.low), float(exact.high), 10)
    nothing = counterfactual_flips(answers, answers, targets, targets)
    assert nothing.flipped.n == 0
    assert np.isnan(nothing.flipped.rate)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([], [], [], []), "answers: expected integers"),
        ((np.zeros(0, int),) * 4, "answers: expected at least one item, got none"),
        (([0, 1], [0], [0, 1], [0, 1]), r"edited_answers: expected integers \[2\]"),
        (([0.5], [0], [0], [0]), "answers: expected integers"),
    ],
)
def test_bad_input(arguments, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        counterfactual_flips(*arguments)
