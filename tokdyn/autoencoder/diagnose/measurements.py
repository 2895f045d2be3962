"""Everything a diagnosis measures, as one pure function of arrays: many models are measured in one compiled program."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tokdyn import keys
from tokdyn.autoencoder.base import Code, Pass, Variables
from tokdyn.autoencoder.diagnose import information, predictions, probes, variance
from tokdyn.autoencoder.diagnose.gradients import encoder_gradient
from tokdyn.autoencoder.diagnose.inputs import word_frequencies, word_ids
from tokdyn.autoencoder.losses import twice_softmaxed
from tokdyn.autoencoder.quantizers.usage import active_share, perplexity, usage
from tokdyn.checks import bad
from tokdyn.dynamics.schedules import resolved
from tokdyn.typing import PyTree

# Tokens that stand for the stated text where the loss is computed on it.
STATED = 256


class Words(NamedTuple):
    """What a diagnosis needs of a text.

    Attributes:
        frequencies: of the words in training `[words]`, summing to one; 0 for those that never occur.
        validation: numbers of the words of a validation text `[items]`, or None.
    """

    frequencies: jax.Array
    validation: jax.Array | None = None


def words_of(data: object) -> Words:
    """The ``Words`` of a corpus, or of anything with its attributes.

    Args:
        data: with ``frequencies`` or ``counts`` `[words]`, and perhaps ``validation`` `[items]`.

    Returns:
        ``Words``.

    Raises:
        ValueError: neither frequencies nor counts, or numbers outside the words.

    Example:
        >>> from types import SimpleNamespace
        >>> from tokdyn.autoencoder.diagnose import words_of
        >>> words_of(SimpleNamespace(counts=[0, 1, 3])).frequencies.tolist()
        [0.0, 0.25, 0.75]
    """
    found = getattr(data, "frequencies", None)
    found = getattr(data, "counts", None) if found is None else found
    if found is None:
        raise bad("data", "a corpus with frequencies or counts", f"a {type(data).__name__}")
    shares = word_frequencies("frequencies", found)
    items = getattr(data, "validation", None)
    has_items = items is not None and len(items) > 0
    return Words(shares, word_ids("validation", items, len(shares)) if has_items else None)


def measure(
    model: Any,
    variables: Variables,
    initial: Variables,
    words: Words,
    *,
    key: jax.Array,
    loss: Any = None,
    num_steps: int | jax.Array = 0,
    samples: int = 16,
) -> dict[str, jax.Array]:
    """All numbers that ``decide`` judges; pure, to be jitted and vmapped.

    Args:
        model: an autoencoder; its schedules are taken at step 0 for the start and at num_steps for the end.
        variables: after training.
        initial: before training.
        words: frequencies and validation text.
        key: of everything drawn.
        loss: ``(model, variables, batch, key) -> (loss, (state, metrics))``, or None.
        num_steps: steps of the training `[]`.
        samples: of each word, for estimates of information; static.

    Returns:
        Numbers `[]` by name. NaN stands for what does not apply (a code without indices, no loss).

    Raises:
        ValueError: a model of another vocabulary than the words.
    """
    shares = words.frequencies
    number = len(shares)
    size = getattr(getattr(model, "decoder", None), "vocabulary_size", number)
    if size != number:
        raise bad("data", f"one frequency for each of the model's {size} words", number)
    known, ids = shares > 0, jnp.arange(number)
    start, end = resolved(model, 0), resolved(model, num_steps)
    # One program for both, run twice: half to compile. What is no array (an object of a plain class) is in both.
    opened = [jax.tree.flatten(stage) for stage in ((start, initial), (end, variables))]
    numeric = [is_numeric(leaf) for leaf in opened[0][0]]

    def staged(arrays: list[jax.Array]) -> tuple[dict[str, jax.Array], Pass]:
        rest = iter(arrays)
        leaves = [next(rest) if is_array else leaf for is_array, leaf in zip(numeric, opened[0][0], strict=True)]
        model, weights = jax.tree.unflatten(opened[0][1], leaves)
        return _stage(model, weights, words, keys.for_purpose(key, "stage"), samples)

    chosen = [[leaf for leaf, kept in zip(leaves, numeric, strict=True) if kept] for leaves, _ in opened]
    both, outputs = jax.lax.map(staged, [jnp.stack(pair) for pair in zip(*chosen, strict=True)])
    after = jax.tree.map(lambda values: values[1], outputs)
    predicted = jnp.argmax(after.logits, axis=-1)
    scored = predictions.accuracy(predicted, shares, words.validation)
    found: dict[str, Any] = {
        "num_words": number,
        "num_types": jnp.sum(known),
        "finite": _is_finite((variables["params"], after.logits)),
        **{f"accuracy.{name}": value for name, value in scored._asdict().items()},
        "prediction.dominant_share": predictions.dominant_share(predicted, number, mask=known),
        "prediction.bits": predictions.prediction_entropy(predicted, number, mask=known),
        "prediction.distinct": predictions.distinct_predictions(predicted, number, mask=known),
        "frequency.entropy": predictions.unigram_entropy(shares),
        "end.double_cross_entropy": _cross_entropy(after.logits, shares, 1.0),
        "start.encoder_gradient": encoder_gradient(start, initial, ids, key=keys.for_purpose(key, "gradient")),
        "moved": relative_movement(variables["params"], initial["params"]),
        "weights.ratio": _length(variables["params"]) / jnp.maximum(_length(initial["params"]), 1e-30),
        **{f"moved.{name}": _moved_part(variables, initial, name) for name in ("encoder", "decoder")},
        "code.capacity_bits": _capacity(model, after.code),
        **_charges(end, loss, variables, after.logits, shares, keys.for_purpose(key, "loss")),
    }
    for name, values in both.items():
        found |= {f"start.{name}": values[0], f"end.{name}": values[1]}
    return {name: jnp.asarray(value, jnp.result_type(float)) for name, value in found.items()}


def relative_movement(params: PyTree, initial: PyTree) -> jax.Array:
    r"""How far training moved the weights, `|w - w_0| / |w_0|` over all of them `[]`."""
    moved = _length(jax.tree.map(jnp.subtract, params, initial))
    return moved / jnp.maximum(_length(initial), jnp.finfo(moved.dtype).tiny)


def is_numeric(leaf: object) -> bool:
    """Whether a leaf is a number or an array of numbers, and not an object of somebody's class."""
    return isinstance(leaf, (bool, int, float, complex, np.generic, np.ndarray, jax.Array))


def _length(params: PyTree) -> jax.Array:
    return jnp.sqrt(sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)), jnp.zeros(())))


def _moved_part(variables: Variables, initial: Variables, name: str) -> jax.Array:
    """The movement of one part's weights; NaN where it has none, or the model no part of that name."""
    pair = [weights["params"].get(name) if isinstance(weights["params"], dict) else None
            for weights in (variables, initial)]  # fmt: skip
    return relative_movement(*pair) if jax.tree.leaves(pair[0]) else jnp.full((), jnp.nan)


def _stage(
    model: Any, variables: Variables, words: Words, key: jax.Array, samples: int
) -> tuple[dict[str, jax.Array], Pass]:
    """What is measured before and after training, and the output on every word."""
    ids, known = jnp.arange(len(words.frequencies)), words.frequencies > 0
    output = model.apply(variables, ids, key=keys.for_purpose(key, "pass"))[0]
    # At a resolution of one nat: a difference of logits below it does not change an answer much.
    read = information.gaussian_information(
        output.logits, 1.0, key=keys.for_purpose(key, "nat"), samples=samples, mask=known
    )
    bits, error = _code_information(model, variables, ids, known, key, samples)
    found = {
        "cross_entropy": _cross_entropy(output.logits, words.frequencies, 0.0),
        "input_share": variance.input_share(output.logits, mask=known),
        "word_variance_share": variance.variance_split(output.pattern, mask=known).share,
        "pattern_rank": variance.pattern_rank(output.pattern, mask=known),
        "logit_bits": read.bits,
        "code_bits": bits,
        "code_bits_error": error,
        **_use(model, output.code, known),
        **_heard(model, variables, output, known, keys.for_purpose(key, "heard")),
    }
    return found, output


def _code_information(
    model: Any, variables: Variables, ids: jax.Array, known: jax.Array, key: jax.Array, samples: int
) -> tuple[jax.Array, jax.Array]:
    """Bits about the word in the code as training sees it, and their standard error; NaN without indices."""

    def code(key: jax.Array) -> Code:
        return model.apply(variables, ids, key=key, train=True)[0].code

    codes = jax.lax.map(code, jax.random.split(keys.for_purpose(key, "codes"), 2))
    if codes.indices is None:
        return jnp.full((), jnp.nan), jnp.full((), jnp.nan)
    exact = information.deterministic_information(codes.indices[0], mask=known)
    # Whether the choice is drawn is the bottleneck's own affair: two passes with different keys show it.
    is_drawn = jnp.any(codes.indices[0] != codes.indices[1])
    if codes.probabilities is None:  # of a drawn choice without its probabilities nothing is known
        return jnp.where(is_drawn, jnp.nan, exact.bits), jnp.where(is_drawn, jnp.nan, exact.standard_error)
    drawn = information.stochastic_information(
        codes.probabilities[0], key=keys.for_purpose(key, "code"), samples=samples, mask=known
    )
    return jnp.where(is_drawn, drawn.bits, exact.bits), jnp.where(is_drawn, drawn.standard_error, exact.standard_error)


def _sizes(model: Any, code: Code) -> tuple[int, ...] | None:
    """Choices of each codebook in a cell; None where nothing says how many there are."""
    sizes = getattr(getattr(model, "bottleneck", None), "codebook_sizes", None)
    if sizes is None and code.probabilities is not None:
        sizes = (code.probabilities.shape[-1],)
    return sizes


def _capacity(model: Any, code: Code) -> float:
    """Bits that the code could hold: infinite for numbers, NaN for choices of which nobody knows the number."""
    if code.indices is None:
        return math.inf
    sizes = _sizes(model, code)
    return math.nan if sizes is None else code.indices.shape[1] * sum(math.log2(size) for size in sizes)


def _use(model: Any, code: Code, known: jax.Array) -> dict[str, jax.Array]:
    """What of a codebook is used for the words; NaN without a codebook."""
    sizes = getattr(getattr(model, "bottleneck", None), "codebook_sizes", None)
    if sizes is None or code.indices is None:
        return dict.fromkeys(("usage_bits", "perplexity", "active_share"), jnp.full((), jnp.nan))
    columns = code.indices.shape[2] if code.indices.ndim == 3 else None
    kept = jnp.broadcast_to(known[:, None], code.indices.shape[:2])
    counts = usage(code.indices, max(sizes), kept, codebooks=columns)
    effective = perplexity(counts)
    return {
        # Entropy is concave: on average no cell says more than the entropy of the mean usage, no pattern more than
        # all its cells.
        "usage_bits": code.indices.shape[1] * jnp.sum(jnp.log2(jnp.maximum(effective, 1.0))),
        "perplexity": jnp.min(effective),
        "active_share": jnp.min(active_share(counts, sizes=tuple(sizes) if len(sizes) == len(counts) else None)),
    }


def _charges(
    model: Any, loss: Any, variables: Variables, logits: jax.Array, shares: jax.Array, key: jax.Array
) -> dict[str, Any]:
    """What the loss rewards, what it is on the stated words, and whether the rest of it holds the weights back."""
    if loss is None:
        own_names = ("stated", "stated_error", "opposition", "rest_share", "slope")
        return dict.fromkeys((*probes.NUMBERS, *(f"loss.{name}" for name in own_names)), jnp.nan)
    # Every word as often as stated, to one in STATED: no draw, whose error would have to be allowed for.
    places = (jnp.arange(STATED) + 0.5) / STATED
    cumulated = jnp.cumsum(shares)
    stated = jnp.searchsorted(cumulated / cumulated[-1], places, side="right").astype(jnp.int32)
    own = jax.random.split(keys.for_purpose(key, "stated"), 4)
    costs = jax.lax.map(lambda key: loss(model, variables, stated, key)[0], own)

    def total(params: Any, model: Any) -> jax.Array:
        return loss(model, {**variables, "params": params}, stated, own[0])[0]

    def pulls(blind: jax.Array) -> PyTree:
        # One program for both: with ``blind`` the logits are numbers to the gradient.
        seen = probes.Answering(model, lambda made: jnp.where(blind, jax.lax.stop_gradient(made), made))
        return jax.grad(total)(variables["params"], seen)

    both = jax.lax.map(pulls, jnp.array([False, True]))
    whole, rest = (jax.tree.map(lambda leaf, at=at: leaf[at], both) for at in (0, 1))
    task = jax.tree.map(jnp.subtract, whole, rest)
    lengths = [jnp.sqrt(_dot(pull, pull)) for pull in (task, rest)]
    return {
        **probes.probe(model, loss, variables, logits, shares, key),
        "loss.stated": jnp.mean(costs),
        "loss.stated_error": jnp.std(costs) / 2.0,
        "loss.opposition": -_dot(task, rest) / jnp.maximum(lengths[0] * lengths[1], 1e-30),
        "loss.rest_share": lengths[1] / jnp.maximum(lengths[0] + lengths[1], 1e-30),
        "loss.slope": jnp.sqrt(_dot(whole, whole)),
    }


def _dot(left: PyTree, right: PyTree) -> jax.Array:
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return sum((jnp.vdot(a, b) for a, b in pairs), jnp.zeros(()))


def _heard(model: Any, variables: Variables, output: Pass, known: jax.Array, key: jax.Array) -> dict[str, Any]:
    """What the decoder makes of a code: of another word's, and of the same one twice in training."""
    nothing = dict.fromkeys(("code_differs", "hears", "noise_share", "quiet_share"), jnp.nan)
    if not hasattr(model, "decode") or len(known) < 2:
        return nothing
    values = output.code.values
    kept = known.astype(values.dtype)

    def variance(rows: jax.Array) -> jax.Array:
        flat = rows.reshape(len(rows), -1)
        mean = jnp.average(flat, axis=0, weights=kept)
        return jnp.average(jnp.mean((flat - mean) ** 2, axis=1), weights=kept)

    centred = output.logits - output.logits.mean(axis=1, keepdims=True)
    size = jnp.average(jnp.mean(centred**2, axis=1), weights=kept)
    # At evaluation a decoder is to be quiet: noise that stays there is no dropout.
    quiet = jax.lax.map(lambda key: model.decode(variables, values, key=key)[0], jax.random.split(key, 4))
    still = jnp.average(jnp.var(quiet, axis=0, ddof=1).mean(axis=1), weights=kept)
    twice = jax.lax.map(lambda key: model.decode(variables, values, key=key, train=True)[0], jax.random.split(key, 4))
    noise = jnp.average(jnp.var(twice, axis=0, ddof=1).mean(axis=1), weights=kept)
    # The mean of four draws still has a quarter of their noise.
    signal = jnp.maximum(variance(twice.mean(axis=0)) - noise / 4.0, 0.0)
    mean = jnp.average(jnp.mean(values.reshape(len(values), -1) ** 2, axis=1), weights=kept)
    return {
        "code_differs": variance(values) / jnp.maximum(mean, 1e-30),
        "hears": variance(centred) / jnp.maximum(size, 1e-30),
        "quiet_share": still / jnp.maximum(noise, 1e-30),
        "noise_share": noise / jnp.maximum(noise + signal, 1e-30),
    }


def _cross_entropy(logits: jax.Array, shares: jax.Array, double_softmax: float) -> jax.Array:
    scores = twice_softmaxed(logits, double_softmax)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.arange(len(shares)))
    return jnp.sum(jnp.where(shares > 0, shares * losses, 0.0))


def _is_finite(values: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(values)]))
