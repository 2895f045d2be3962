"""A critic beside an autoencoder: each part of the loss moves what it should, and a critic learns."""

import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn import autoencoder as ae
from tokdyn.autoencoder import critics, losses

WORDS, KEY = 6, constant_key(0)
IDS = np.arange(WORDS)


def model(bottleneck=None):
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=WORDS, cells=4, channels=3, embedding=4, width=8),
        bottleneck or ae.bottlenecks.sigmoid(),
        ae.decoders.linear(vocabulary_size=WORDS),
    )


@compiled
def gradients(weight):
    beside = critics.judged(model(), width=8)
    variables = beside.init(KEY)

    def loss(params, term):
        return losses.objective(term=term)(beside, {**variables, "params": params}, IDS, KEY)[0]

    of = jax.grad(loss)
    plain = jax.tree.map(lambda leaf: 0 * leaf, variables["params"])
    return {
        "critic": of(variables["params"], losses.against_critic(weight=0.0)),
        "both": of(variables["params"], losses.against_critic(weight=weight)),
        "none": plain,
    }


@pytest.fixture(scope="module")
def made():
    return gradients(np.float32(2.0))


def largest(tree):
    return max((float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree)), default=0.0)


def test_the_critic_s_part_moves_the_critic_alone(made):
    assert largest(made["critic"]["critic"]) > 0
    assert largest({name: made["critic"][name] for name in ("encoder", "decoder")}) == 0


def test_the_encoder_s_part_moves_the_encoder_alone(made):
    jax.tree.map(np.testing.assert_array_equal, made["both"]["critic"], made["critic"]["critic"])
    assert largest(made["both"]["encoder"]) > 0
    assert largest(made["both"]["decoder"]) == 0


def test_draws_of_the_prior_are_as_wide_as_codes_can_be():
    like = np.zeros((4000, 2, 3), np.float32)
    uniform, chosen = compiled(lambda: [critics.prior(KEY, like, discrete=which) for which in (False, True)])()
    # 24,000 draws: five standard errors of a uniform's mean and of its variance 1/12.
    assert abs(uniform.mean() - 0.5) < 5 / np.sqrt(12 * 24_000)
    assert abs(uniform.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / 24_000)
    assert (chosen.sum(-1) == 1).all()
    assert np.abs(chosen.mean((0, 1)) - 1 / 3).max() < 5 * np.sqrt(2 / 9 / 8000)


def test_bad_input():
    with pytest.raises(ValueError, match="model: expected an autoencoder, got a str"):
        critics.judged("x")
    with pytest.raises(ValueError, match="width"):
        critics.judged(model(), width=0)
    with pytest.raises(ValueError, match="weight"):
        losses.against_critic(weight=-1.0)
    with pytest.raises(ValueError, match="model: expected one with a critic"):
        jax.eval_shape(lambda: losses.objective(term=losses.against_critic())(model(), model().init(KEY), IDS, KEY)[0])


@pytest.mark.slow
def test_a_critic_that_is_trained_tells_narrow_codes_from_draws():
    """All codes near 1/2: a critic is soon sure, its loss far below the log 4 of a guess."""
    from tokdyn.train import fit

    beside = critics.judged(model(), width=32)
    loss = losses.objective(critic=losses.against_critic(weight=0.0))
    result = jax.jit(
        lambda key: fit(beside, loss, IDS, key=key, num_steps=400, hyper={"learning_rate": 1e-2}, record_every=100)
    )(jax.random.key(0))
    history = np.asarray(result.history["loss"])
    assert history[-1] < 0.5 * history[0] < 0.5 * np.log(4) * 1.2
