"""Diagnostics on made-up runs: each reads the arrays it should, and its p-value is that of the textbook."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import stats

from tokdyn.reasoning import audit, diagnose
from tokdyn.reasoning.audit import DIAGNOSTICS, diagnostics
from tokdyn.reasoning.audit.diagnostics import NO, UNDECIDED, YES, of_accuracy, of_intervals, of_share
from tokdyn.reasoning.audit.tables import Judged, Settings

N, SLOTS, WIDTH = 60, 2, 4
RNG = np.random.default_rng(0)
CLEAN = {"answers": np.zeros(N, int), "targets": np.zeros(N, int), "logits": RNG.normal(size=(N, 3))}


def made(**arrays):
    return audit.checked({**CLEAN, **{name.replace("__", "/"): array for name, array in arrays.items()}})


def judged(name, run):
    return DIAGNOSTICS[name].judge(run)


def test_attention_is_read_at_the_latents_and_from_the_answers_only():
    # Seven keys, the last four of which are the queries: start, two slots, the answer.
    attention = np.zeros((N, 1, 1, 4, 7))
    known = {
        "image_keys": np.arange(7) < 3,
        "latent_queries": np.array([False, True, True, False]),
        "answer_queries": np.array([False, False, False, True]),
    }
    for key in range(7):
        planted = attention.copy()
        planted[..., 3, key] = 0.25
        run = made(attention=planted, **known)
        assert judged("score: answers attend to latents", run) == (0.25 if key in (4, 5) else 0.0)
    planted = attention.copy()
    planted[..., :3, 4:6] = 0.5  # other queries look at latents
    assert judged("score: answers attend to latents", made(attention=planted, **known)) == 0


def test_an_indirect_effect_is_students_test_where_the_answer_is_another():
    factual, exchanged = RNG.normal(size=N), RNG.normal(size=N) + 0.3
    factual[:10] = exchanged[:10] = 0.0  # the other picture has the same answer
    other = 2 * (factual != 0)
    runs = {
        "mediation/factual": factual,
        "mediation/image_exchanged": factual + other,
        "mediation/latents_exchanged": exchanged,
        "mediation/both_exchanged": exchanged + other,
    }
    run = made(**runs)
    assert judged("indirect effect", run) == pytest.approx(stats.ttest_rel(exchanged[10:], factual[10:]).pvalue)
    # The table leaves the same items out.
    kept = diagnose.mediation(jax.random.key(0), *[values[10:] for values in runs.values()], num_resamples=50)
    assert Judged(run, Settings(jax.random.key(0), num_resamples=50)).mediation.indirect == kept.indirect
    assert not judged("indirect / total above 0.1", made(**{**runs, "mediation/latents_exchanged": factual}))
    moved = {**runs, "mediation/latents_exchanged": factual + other, "mediation/image_exchanged": factual}
    moved["mediation/both_exchanged"] = factual + other + 0.01 * RNG.normal(size=N)
    assert judged("indirect / total above 0.1", made(**moved))
    assert (judged("indirect effect", made()), judged("indirect / total above 0.1", made())) == (1.0, False)


def test_margins_are_those_of_the_donor_against_an_unrelated_one():
    pointed = np.where(np.arange(N) < 50, 1, 0)  # the last ten point at the own answer
    donor, other = RNG.normal(size=(2, N, 3))
    run = made(**{
        "arm/donor/answers": np.ones(N, int), "arm/unrelated/answers": np.arange(N) % 2, "arm/donor/logits": donor,
        "arm/unrelated/logits": other, "arm/donor/donor_targets": pointed, "arm/donor/control": np.asarray("unrelated"),
    })  # fmt: skip
    apart = (donor[:, 1] - donor[:, 0]) - (other[:, 1] - other[:, 0])
    assert judged("donor margin, cache", run) == pytest.approx(stats.ttest_1samp(apart[:50], 0).pvalue)
    # 25 of the 50 eligible follow the donor and not the unrelated one, none the other way round.
    assert judged("donor lift, cache", run) == pytest.approx(stats.binomtest(25, 25, 0.5).pvalue)


@pytest.mark.parametrize("arm", ["donor", "mean", "zero"])
def test_accuracy_is_compared_item_by_item(arm):
    answers = np.where(np.arange(N) < 7, 1, 0)
    run = made(**{f"arm/{arm}/answers": answers})
    assert diagnostics.accuracy(arm).judge(run) == pytest.approx(stats.binomtest(0, 7, 0.5).pvalue)


def test_latents_that_are_all_the_same_neither_differ_nor_move():
    one = RNG.normal(size=(1, SLOTS, WIDTH)).repeat(N, axis=0)
    other = RNG.normal(size=(N, SLOTS, WIDTH))
    same = made(latents=one, **{"input/other image/latents": one})
    apart = made(latents=other, **{"input/other image/latents": RNG.normal(size=(N, SLOTS, WIDTH))})
    for name in ("latents move with the image", "cosine between items below 0.9"):
        assert (judged(name, same), judged(name, apart)) == (False, True)
    assert judged("score: difference between items", same) == pytest.approx(0, abs=1e-5)
    assert judged("score: effective rank", apart) > 2
    assert judged("score: latents move with the image", same) == 0


def test_a_probe_reads_what_is_written_into_latents():
    targets = np.arange(N) % 3
    latents = RNG.normal(size=(N, SLOTS, WIDTH))
    written = latents + 0.0
    written[:, 1, :3] += 5 * np.eye(3)[targets]
    types = np.arange(N) % 20
    given = {"answers": targets, "targets": targets, "types": types}
    assert not judged("probe reads the answer", made(latents=latents, **given))
    run = made(latents=written, **given)
    assert judged("probe reads the answer", run)
    assert judged("score: probe accuracy", run) > 0.95
    assert judged("probe reads it, beyond a control task", run)


def test_an_answer_that_another_picture_does_not_change_does_not_depend_on_it():
    same = made(**{"input/other image/logits": CLEAN["logits"]})
    assert judged("answer depends on the image", same) == 1.0
    other = CLEAN["logits"].copy()
    other[:, 0] -= 1 + RNG.uniform(size=N)
    assert judged("answer depends on the image", made(**{"input/other image/logits": other})) < 1e-6


def test_what_cannot_be_asked_raises_no_alarm():
    blind = made(
        attention=np.zeros((N, 1, 1, 4, 7)),
        image_keys=np.arange(7) < 3,
        relevant_keys=np.zeros((N, 7), bool),
        latent_queries=np.array([0, 1, 1, 0], bool),
        answer_queries=np.array([0, 0, 0, 1], bool),
    )
    assert not judged("attention narrower at latents", blind)
    assert not judged("latents attend to what matters", blind)


def test_names_say_what_a_value_is():
    for name, one in DIAGNOSTICS.items():
        assert one.kind in ("p-value", "verdict", "score")
        assert name.startswith("score: ") == (one.kind == "score")
    assert set(audit.BUILT_IN) == {name for name, one in DIAGNOSTICS.items() if one.kind != "score"}


def test_a_conclusion_is_by_the_bound_and_an_alarm_is_not():
    """Two answers of 1,000 that change: no alarm, and shown to be nothing; of 60 the same is not shown."""
    for count, said in ((1000, NO), (60, UNDECIDED)):
        targets, changed = np.zeros(count, int), np.arange(count) < 2
        run = audit.checked({
            "answers": targets, "targets": targets, "arm/zero/answers": changed.astype(int),
            "arm/donor/answers": changed.astype(int), "arm/donor/donor_targets": targets + 1,
        })  # fmt: skip
        judged = Judged(run, Settings(jax.random.key(0), num_resamples=200))
        assert DIAGNOSTICS["accuracy, zero cache"].judge(run) > 0.05
        assert DIAGNOSTICS["accuracy, zero cache"].concludes(judged) == said
        assert DIAGNOSTICS["donor lift, cache"].concludes(judged) == said
    # Where nobody has a donor, and no pictures were exchanged, there is no "no".
    bare = Judged(made(), Settings(jax.random.key(0)))
    for name in ("donor lift, cache", "indirect / total above 0.1"):
        assert DIAGNOSTICS[name].concludes(bare) == UNDECIDED
    assert DIAGNOSTICS["donor lift, cache"].judge(bare.run) == 1
    moved = Judged(made(**{"arm/zero/answers": np.ones(N, int)}), Settings(jax.random.key(0), num_resamples=200))
    assert DIAGNOSTICS["accuracy, zero cache"].concludes(moved) == YES
    assert all(one.concludes(moved) == UNDECIDED for one in DIAGNOSTICS.values() if one.looks)


def test_no_p_value_says_no():
    assert of_accuracy({"holm": 0.9, "equivalent": False}) == UNDECIDED
    assert of_accuracy({"holm": 0.9, "equivalent": True}) == NO
    assert of_accuracy({"holm": 0.001, "equivalent": False}) == YES
    assert of_accuracy({"holm": 0.001, "equivalent": True}) == NO


def test_one_interval_above_the_bound_is_enough():
    assert of_intervals([0.0, 0.5], [0.0, 0.9], bound=0.02) == YES
    assert of_intervals([-0.01, 0.0], [0.0, 0.01], bound=0.02) == NO
    assert of_intervals([-0.01, -0.1], [0.0, 0.1], bound=0.02) == UNDECIDED


def test_a_share_without_an_interval_says_nothing():
    def share(kind, low, high):
        return of_share(SimpleNamespace(kind=kind, low=low, high=high), share=0.1)

    assert share("line", -np.inf, np.inf) == UNDECIDED
    assert share("interval", 0.3, 0.5) == YES
    assert share("interval", -0.01, 0.05) == NO
    assert share("interval", 0.05, 0.2) == UNDECIDED


def test_one_of_several_donors_is_enough():
    targets = np.zeros(N, int)
    arrays = {"arm/free": targets, "arm/donor, slot 1": targets, "arm/donor, slot 2": (np.arange(N) < 20).astype(int)}
    run = made(**{f"{arm}/answers": answers for arm, answers in arrays.items()},
               **{f"arm/donor, slot {slot}/donor_targets": targets + 1 for slot in (1, 2)})  # fmt: skip
    some = diagnostics.donor_lift("donor, slot *")
    assert some.judge(run) == pytest.approx(2 * stats.binomtest(20, 20, 0.5).pvalue)
    judged = Judged(run, Settings(jax.random.key(0), num_resamples=200))
    assert some.concludes(judged) == diagnostics.donor_lift("donor, slot 2").concludes(judged) == YES
    assert diagnostics.donor_lift("donor, slot 1").concludes(judged) == NO


def test_several_trainings_are_judged_together():
    """A record with seeds gives what ``diagnose`` says of `[seeds, items]`, whichever table is asked."""
    answers = RNG.integers(0, 2, (2, 3, N))  # clean and donor, three seeds
    targets = np.zeros(N, int)
    run = audit.Run({
        "answers": answers[0], "targets": targets, "arm/donor/answers": answers[1],
        "arm/donor/donor_targets": targets + 1,
    })  # fmt: skip
    judged = Judged(run, Settings(jax.random.key(0), num_resamples=200))
    options = {"num_resamples": 200}
    table = diagnose.effects_table(
        judged.settings.key, {"clean": answers[0] == 0, "donor": answers[1] == 0}, reference="clean", **options
    )
    for column in ("accuracy", "difference", "low", "p_value", "seeds", "verdict"):
        assert judged.effects.loc["donor", column] == table.loc["donor", column]
    expected = diagnose.donor_lift(
        judged.settings.key, answers[1], targets + 1, targets, control_answers=answers[0], **options
    )
    assert judged.lift("donor").lift == expected.lift
    assert expected.lift.seeds == 3
