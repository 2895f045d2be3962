"""Langevin sampling of tokens: the exact law of one token, and the coverage of the posterior of a mixture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import tokdyn as td


def kept(state, info):
    return state.tokens


@functools.partial(jax.jit, static_argnames=("steps", "every"))
def chains(sample, seed, features, tokens, *, steps, every):
    """Tokens `[C, steps / every, K, D]` of parallel chains on features `[C, N, D]`, from tokens `[C, K, D]`."""

    def one(number, features, tokens):
        key = jax.random.fold_in(jax.random.key(seed), number)
        options = {"tokens": tokens, "max_steps": steps, "tol": 0.0, "assignment": "none"}
        return td.run(td.compose(sample=sample), key, features, keep=kept, every=every, **options).kept

    return jax.vmap(one)(jnp.arange(len(features)), features, tokens)


def test_one_token_has_the_stationary_law_of_its_step_size():
    """Normal, with the posterior's mean and variance ``c / (1 - rate / 2)``: 4,000 independent chains at their 50th
    step (the memory of the start is 0.4^50). Kolmogorov-Smirnov at level 1e-4, and the posterior itself is refused.
    """
    generator = np.random.default_rng(0)
    features = generator.normal(1.0, 1.0, (1, 12, 1)).astype(np.float32)
    temperature, prior_mean, prior_variance, rate = 2.0, -1.0, 0.5, 0.6
    precision = 2 * 12 / temperature + 1 / prior_variance
    mean = (2 * features.sum() / temperature + prior_mean / prior_variance) / precision
    part = td.sampling(temperature=temperature, rate=rate, prior_mean=prior_mean, prior_variance=prior_variance)
    many = np.repeat(features, 4000, axis=0)
    ends = np.asarray(chains(part, 1, many, np.zeros((4000, 1, 1), np.float32), steps=50, every=50)).ravel()
    assert stats.kstest(ends, stats.norm(mean, np.sqrt(1 / precision / (1 - rate / 2))).cdf).pvalue > 1e-4
    assert stats.kstest(ends, stats.norm(mean, np.sqrt(1 / precision)).cdf).pvalue < 1e-4


def drawn(generator, number, count, num_features, temperature, variance):
    """Tokens from the prior, and features and true owners from the mixture."""
    tokens = generator.normal(0, variance**0.5, (number, count, 1))
    owners = generator.integers(count, size=(number, num_features))
    centres = np.take_along_axis(tokens[..., 0], owners, axis=1)[..., None]
    return tokens, owners, centres + generator.normal(0, (temperature / 2) ** 0.5, centres.shape)


def test_credible_intervals_cover_and_assignments_are_calibrated():
    """Two tokens on a line, drawn from the prior with their features 300 times over. Intervals of the lower and of the
    upper token at 50 and 90 % must cover as often as they say: within 3.9 binomial standard errors (level 1e-4), plus
    what a variance too large by ``1 / (1 - rate / 2)`` adds. The posterior chance that two features share a token must
    be right on average, by a z-test over scenes.
    """
    temperature, variance, rate, number, num_features = 1.0, 4.0, 0.1, 300, 16
    generator = np.random.default_rng(2)
    truth, owners, features = drawn(generator, number, 2, num_features, temperature, variance)
    part = td.sampling(temperature=temperature, rate=rate, prior_variance=variance)
    starts = features[:, :2]  # two features
    samples = np.asarray(chains(part, 3, features.astype("f4"), starts.astype("f4"), steps=3000, every=20))[:, 25:]
    ordered, true = np.sort(samples[..., 0], axis=-1), np.sort(truth[..., 0], axis=-1)
    below = (ordered < true[:, None]).mean(axis=1)  # the rank of the truth among the samples
    for level in (0.5, 0.9):
        covered = (np.abs(below - 0.5) < level / 2).mean(axis=0)
        quantile = stats.norm.ppf(0.5 + level / 2)
        wider = 2 * stats.norm.cdf(quantile / np.sqrt(1 - rate / 2)) - 1 - level
        margin = 3.9 * np.sqrt(level * (1 - level) / number)
        assert np.all(covered > level - margin)
        assert np.all(covered < level + margin + wider)
    weights = np.exp(-((features[:, None] - samples[:, :, None, :, 0]) ** 2) / temperature)
    weights /= weights.sum(axis=-1, keepdims=True)
    first, others = weights[:, :, :1], weights[:, :, 1:]
    predicted = (first * others).sum(axis=-1).mean(axis=(1, 2))
    happened = (owners[:, :1] == owners[:, 1:]).mean(axis=1)
    difference = happened - predicted
    assert abs(difference.mean()) < 3.9 * difference.std() / np.sqrt(number)
    assert difference.std() < 0.8 * happened.std()  # and the chances say something


def test_a_chain_that_is_too_cold_does_not_cover():
    """The same intervals when the chain believes the features ten times as precise: the check can fail."""
    generator = np.random.default_rng(2)
    truth, _, features = drawn(generator, 300, 2, 16, 1.0, 4.0)
    part = td.sampling(temperature=0.1, rate=0.1, prior_variance=4.0)
    samples = np.asarray(chains(part, 3, features.astype("f4"), features[:, :2].astype("f4"), steps=3000, every=20))
    ordered, true = np.sort(samples[:, 25:, :, 0], axis=-1), np.sort(truth[..., 0], axis=-1)
    below = (ordered < true[:, None]).mean(axis=1)
    assert np.all((np.abs(below - 0.5) < 0.45).mean(axis=0) < 0.75)


def test_drift_is_the_gradient_of_the_log_posterior():
    generator = np.random.default_rng(5)
    features, tokens = generator.normal(size=(20, 2)) + 3.0, generator.normal(size=(3, 2)) + 3.0
    part = td.sampling(temperature=0.8, rate=0.2, prior_mean=1.0, prior_variance=2.0)

    def log_posterior(tokens):
        each = td.theory.mixture_energy(features, tokens, jnp.full(3, 1 / 3), temperature=0.8)
        return -each / 0.8 - jnp.sum((tokens - 1.0) ** 2) / 4.0

    with jax.enable_x64(True):
        dynamics = td.compose(sample=part)
        begun = td.init(dynamics, jax.random.key(0), features, tokens=tokens)
        _, info = td.step(dynamics, jax.random.key(0), begun, features)
        scale = 1 / (2 * 20 / (3 * 0.8) + 1 / 2.0)
        np.testing.assert_allclose(info.force, 0.2 * scale * jax.grad(log_posterior)(tokens), rtol=1e-10)
