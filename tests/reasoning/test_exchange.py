"""Exchanged and degraded pictures: what is held is held, and flips are counted as they were planted."""

import jax
import numpy as np
import pytest

from tokdyn import reasoning, stats
from tokdyn.reasoning import interventions as do
from tokdyn.reasoning import references
from tokdyn.reasoning.diagnose import counterfactual_flips
from tokdyn.reasoning.training import items_of

KEY = jax.random.key(0)


def untrained(name):
    """A reference's masks, which are what counts here, in one small layer."""
    one = references.catalog("small")[name]
    model = reasoning.reasoner(one.task, one.model.protocol, width=8, heads=2, hidden=8, layers=1)
    items = jax.jit(items_of, static_argnums=(0, 2))(one.task, jax.random.key(2), 24)
    return model, one.task, jax.jit(model.init)(jax.random.key(1)), items


def clean_logits(model, variables, items):
    return jax.jit(lambda some: model.apply(variables, some)[0].logits[:, 0])(items)


def degraded(model, variables, items, other, **options):
    return jax.jit(
        lambda items, other: reasoning.under_degraded_pictures(model, variables, items, other, key=KEY, **options)
    )(items, other)


def worse(items):
    return items._replace(image=0.5 * items.image)


def test_on_the_clean_picture_the_own_cache_changes_nothing_and_a_donors_is_a_swap():
    model, _, variables, items = untrained("bypassed")
    found = degraded(model, variables, items, items)
    swap = {"swap": do.swap("slots", site="cache")}
    _, arms = jax.jit(lambda some: reasoning.run_arms(model, variables, some, swap, key=KEY))(items)
    np.testing.assert_allclose(found["own"], found["degraded"], atol=1e-5)
    np.testing.assert_allclose(found["donor"], arms["swap"].logits[:, 0], atol=1e-5)
    assert np.abs(np.asarray(found["donor"] - found["own"])).max() > 1e-3


def test_who_cannot_see_slots_does_not_notice_whose_they_are():
    model, _, variables, items = untrained("masked")
    found = degraded(model, variables, items, worse(items))
    np.testing.assert_allclose(found["own"], found["donor"], atol=1e-5)
    clean = clean_logits(model, variables, items)
    assert np.abs(np.asarray(found["own"] - clean)).max() > 1e-4  # the worse picture is seen


def test_who_sees_slots_only_does_not_notice_the_picture():
    model, _, variables, items = untrained("content")
    found = degraded(model, variables, items, worse(items))
    clean = clean_logits(model, variables, items)
    np.testing.assert_allclose(found["own"], clean, atol=1e-5)
    assert np.abs(np.asarray(found["degraded"] - clean)).max() > 1e-4


def test_donors_are_those_that_are_named():
    model, _, variables, items = untrained("content")
    donors = np.arange(24)[::-1].copy()
    found = degraded(model, variables, items, worse(items), donors=donors)
    np.testing.assert_allclose(found["donor"], np.asarray(found["own"])[donors], atol=1e-5)


def test_margins_of_the_exchange_are_those_of_the_runs_where_one_path_is_closed():
    for name, through in (("content", (0, 0, 1, 1)), ("masked", (0, 1, 0, 1))):
        model, task, variables, items = untrained(name)
        others = reasoning.other_picture(items)
        answers = reasoning.answers_to(task, others)

        @jax.jit
        def exchanged(items, others, model=model, variables=variables, answers=answers):
            outputs = model.apply(variables, items)[0], model.apply(variables, others)[0]
            return reasoning.exchange_margins(model, variables, items, others, outputs, answers, key=KEY)["cache"]

        margins = exchanged(items, others)
        rows = np.arange(24)
        own = [np.asarray(clean_logits(model, variables, some)) for some in (items, others)]
        direct = [one[rows, np.asarray(answers)] - one[rows, np.asarray(items.answer[:, 0])] for one in own]
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
