"""Planted faults: small ensembles with one known thing wrong, and the published models at their own size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn import keys
from tokdyn.autoencoder import diagnose
from tokdyn.autoencoder.diagnose import bench, faults, held_out
from tokdyn.autoencoder.diagnose.primitives import PRIMITIVES
from tokdyn.data import words

QUICK = [name for name, fault in bench.FAULTS.items() if fault.program == "discrete"]


def test_the_bench_in_small():
    """Faults that differ in numbers only: one program, 24 members each."""
    before = bench._program("discrete")._cache_size()
    table = bench.run_bench(key=jax.random.key(31), members=24, faults=QUICK)
    assert bench._program("discrete")._cache_size() == before + 1
    assert [row.name for row in table.rows] == QUICK
    for row in table.rows:
        # At most two of 24: at the rate that is asked of the full bench, 0.95, more come once in nine times; at the
        # measured 0.98 once in a hundred.
        assert row.right >= 22, str(table)
        assert row.low <= row.rate <= row.high
        assert row.right + sum(row.others.values()) == row.members == 24
    # A planted fault must do harm, or it is none; a control must not.
    assert all(table[name].failed == 1.0 for name in ("double_softmax", "learning_rate_too_low", "uninformative_start"))
    assert table["healthy_gumbel"].failed == 0.0
    # From the curve alone: under a double softmax none can leave the one nat, and every sound one does.
    assert table["double_softmax"].excluded == 0.0
    assert table["healthy_gumbel"].excluded == 1.0
    assert "constant_predictor" in str(table)


def test_every_cause_that_can_be_planted_is():
    planted = {fault.cause for fault in bench.FAULTS.values()} | {one.cause for one in PRIMITIVES.values()}
    planted -= {"unexplained"}  # what is foreign has no name
    assert set(diagnose.REMEDIES) - planted == {"diverged", "unexplained"}
    assert sum(fault.cause == "healthy" for fault in bench.FAULTS.values()) >= 3


@pytest.mark.parametrize(("zipf", "common"), [(0.0, 0.0), (1.0, 0.0), (2.0, 0.9)])
def test_frequencies(zipf, common):
    shares = np.asarray(faults.frequencies_of(zipf, common))
    assert not shares[: faults.RESERVED].any()
    np.testing.assert_allclose(shares.sum(), 1.0, rtol=1e-6)
    ranks = np.arange(1, faults.TYPES + 1)
    np.testing.assert_allclose(shares[3:] / shares[3], (ranks[1:] / 2.0) ** -zipf, rtol=1e-5)
    expected = common + (1 - common) / (ranks**-zipf).sum()
    np.testing.assert_allclose(shares[faults.RESERVED], expected, rtol=1e-5)


def test_errors_are_sentences():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="members: expected a static integer of at least 1, got 0"):
        bench.run_bench(key=key, members=0)
    with pytest.raises(ValueError, match="faults: expected one of .* got 'none'"):
        bench.run_bench(key=key, faults=["none"])
    with pytest.raises(ValueError, match="fault: expected one of .* got 'no_gradient'"):
        bench.sensitivity_curve("no_gradient", [1.0], key=key)
    with pytest.raises(ValueError, match="strengths: expected at least one number"):
        bench.sensitivity_curve("double_softmax", [], key=key)
    with pytest.raises(ValueError, match="key: expected one JAX key"):
        bench.run_bench(key=0)


@pytest.mark.slow
def test_the_held_out_bench_in_small():
    """Twelve unseen combinations, four foreign faults and eight sound models, in one program."""
    chosen = [one for one in held_out.combinations() if one.numbers["code"] < 3]
    counts = {"unseen combination": 12, "foreign": 4, "healthy": 8}
    some = [one for part, count in counts.items() for one in [o for o in chosen if o.part == part][::7][:count]]
    found = held_out.outcomes(some, key=jax.random.key(2026))
    faulty = [one for one in found if one.combination.part == "unseen combination" and one.counts]
    # At the rate of 0.9 that is asked for, three or more of twelve are missed once in nine times.
    assert sum(one.right for one in faulty) >= len(faulty) - 2, held_out.confusion(found)
    silent = [one.cause for one in found if one.combination.part != "unseen combination"]
    assert sum(cause not in ("healthy", "unexplained") for cause in silent) <= 1, silent


@pytest.mark.slow
def test_the_held_out_bench_in_full():
    """With a key of its own: what docs/diagnosis_bench.md says, in intervals."""
    found = held_out.outcomes(held_out.combinations(), key=jax.random.key(31))
    print(held_out.confusion(found))
    unseen = [one.right for one in found if one.combination.part == "unseen combination" and one.counts]
    sound = [one.cause for one in found if one.combination.part == "healthy"]
    assert sum(unseen) >= 0.9 * len(unseen)
    assert sum(cause not in ("healthy", "unexplained") for cause in sound) <= 0.02 * len(sound)


@pytest.mark.slow
def test_the_bench_in_full():
    """200 members of each, with a key that nothing was developed on: the right cause in 95 %, alarms in 5 % at most."""
    table = bench.run_bench(key=jax.random.key(20_260), members=200)
    print(f"\n{table}")
    for row in table.rows:
        assert row.rate >= 0.95, str(table)


@pytest.mark.slow
def test_sensitivity_to_a_double_softmax():
    """Half of it leaves logits that can grow, and does no harm; all of it does."""
    curve = bench.sensitivity_curve("double_softmax", [0.0, 0.5, 1.0], key=jax.random.key(31), members=24)
    assert curve.detected.tolist() == [0.0, 0.0, 1.0]
    assert curve.failed.tolist() == [0.0, 0.0, 1.0]
    assert ((curve.low <= curve.detected) & (curve.detected <= curve.high)).all()


# The notebook's three stages on its text's shape (192 words): encoder scales, bottleneck, decoder, loss, rate, steps.
FIRST = ae.encoders.INITIALISATIONS["published"]
LAST = ae.encoders.INITIALISATIONS["published_last"]
PUBLISHED = {
    "categorical": (FIRST, (25, 3), ae.bottlenecks.categorical(), 1e-3, 20, 1.0, "double_softmax"),
    "categorical, loss repaired": (FIRST, (25, 3), ae.bottlenecks.categorical(), 1e-3, 200, 0.0, "no_gradient"),
    "gumbel": (FIRST, (25, 3), ae.bottlenecks.gumbel(sampled=True), 1e-3, 70, 1.0, "double_softmax"),
    "gumbel, loss repaired": (FIRST, (25, 3), ae.bottlenecks.gumbel(), 1e-3, 70, 0.0, "uninformative_start"),
    "extreme": (LAST, (64, 5), ae.bottlenecks.sigmoid(), 5e-5, 200, 0.0, "decoder_initialised_collapsed"),
    "extreme, rate repaired": (LAST, (64, 5), ae.bottlenecks.sigmoid(), 1e-3, 200, 0.0, "unknown_words_ceiling"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_at_their_size(name):
    scales, (cells, channels), bottleneck, rate, steps, twice, cause = PUBLISHED[name]
    text = words.published_shape()
    size = text.vocabulary_size
    decoder = ae.decoders.dense(vocabulary_size=size, gain=1.0)
    if name.startswith("extreme"):
        decoder = ae.decoders.extreme(vocabulary_size=size, height=8)
    encoder = ae.encoders.table(vocabulary_size=size, cells=cells, channels=channels, **scales)
    model = ae.autoencoder(encoder, bottleneck, decoder)
    loss = ae.losses.objective(words=ae.losses.cross_entropy(double_softmax=twice))
    key = jax.random.key(3)
    trained = jax.jit(
        lambda key: td.train.fit(
            model, loss, jnp.asarray(text.train), key=key, num_steps=steps, record_every=steps // 10, batch_size=120,
            hyper={"learning_rate": rate},
        )
    )(key)  # fmt: skip
    initial = model.init(keys.for_purpose(key, "init"))
    findings = diagnose.diagnose(
        model, trained.variables, text, key=key, loss=loss, history=trained.history, initial=initial, num_steps=steps
    )
    print(f"\n{name}: {diagnose.accuracy(np.asarray(predicted(model, trained.variables, size)), text.counts)}")
    print(findings)
    assert findings.cause == cause


def predicted(model, variables, size):
    return model.apply(variables, jnp.arange(size), key=jax.random.key(0))[0].logits.argmax(-1)
