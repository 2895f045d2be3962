"""Everything a diagnosis measures, as one pure function of arrays: many models are measured in one compiled program."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from tokdyn import keys
from tokdyn.autoencoder.base import Code, Pass, Variables
from tokdyn.autoencoder.diagnose import information, predictions, variance
from tokdyn.autoencoder.diagnose.gradients import encoder_gradient
from tokdyn.autoencoder.diagnose.inputs import word_frequencies, word_ids
from tokdyn.autoencoder.losses import twice_softmaxed
from tokdyn.autoencoder.quantizers.usage import active_share, perplexity, usage
from tokdyn.checks import bad
from tokdyn.dynamics.schedules import resolved
from tokdyn.typing import PyTree

# Logits that a loss is asked about: 30 for one word and 0 for the others is a sure answer in any vocabulary.
SURE = 30.0


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
    # One program for both, run twice: half to compile.
    stages = jax.tree.map(lambda *pair: jnp.stack(pair), (start, initial), (end, variables))

    def staged(stage: tuple[Any, Variables]) -> tuple[dict[str, jax.Array], Pass]:
        return _stage(*stage, words, keys.for_purpose(key, "stage"), samples)

    both, outputs = jax.lax.map(staged, stages)
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
        "code.capacity_bits": _capacity(model, after.code),
        **_answers(end, loss, variables, ids, keys.for_purpose(key, "loss")),
    }
    for name, values in both.items():
        found |= {f"start.{name}": values[0], f"end.{name}": values[1]}
    return {name: jnp.asarray(value, jnp.result_type(float)) for name, value in found.items()}


def relative_movement(params: PyTree, initial: PyTree) -> jax.Array:
    r"""How far training moved the weights, `|w - w_0| / |w_0|` over all of them `[]`."""
    moved = sum(jnp.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(initial), strict=True))
    length = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(initial))
    return jnp.sqrt(moved / length)


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
    if codes.probabilities is None:
        return exact.bits, exact.standard_error
    # Whether the choice is drawn is the bottleneck's own affair: two passes with different keys show it.
    is_drawn = jnp.any(codes.indices[0] != codes.indices[1])
    drawn = information.stochastic_information(
        codes.probabilities[0], key=keys.for_purpose(key, "code"), samples=samples, mask=known
    )
    return jnp.where(is_drawn, drawn.bits, exact.bits), jnp.where(is_drawn, drawn.standard_error, exact.standard_error)


def _capacity(model: Any, code: Code) -> float:
    """Bits that the code could hold: infinite for numbers."""
    if code.indices is None:
        return math.inf
    sizes = getattr(model.bottleneck, "codebook_sizes", None)
    if sizes is None:
        assert code.probabilities is not None
        sizes = (code.probabilities.shape[-1],)
    return code.indices.shape[1] * sum(math.log2(size) for size in sizes)


def _use(model: Any, code: Code, known: jax.Array) -> dict[str, jax.Array]:
    """What of a codebook is used for the words; NaN without a codebook."""
    sizes = getattr(model.bottleneck, "codebook_sizes", None)
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


class _Answering(NamedTuple):
    """A model whose logits are replaced: what does the loss make of them?"""

    model: Any
    logits: jax.Array

    def apply(self, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        output, state = self.model.apply(*arguments, **named)
        return output._replace(logits=self.logits.astype(output.logits.dtype)), state

    def decode(self, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        return self.model.decode(*arguments, **named)

    def encode(self, *arguments: Any, **named: Any) -> tuple[Any, Any]:
        return self.model.encode(*arguments, **named)


def _answers(model: Any, loss: Any, variables: Variables, ids: jax.Array, key: jax.Array) -> dict[str, Any]:
    """What the loss charges for no answer, the right and a wrong one, all words once."""
    if loss is None:
        return dict.fromkeys(("loss.undecided", "loss.right", "loss.wrong"), jnp.nan)
    right = SURE * jax.nn.one_hot(ids, len(ids))
    asked = jnp.stack([jnp.zeros_like(right), right, jnp.roll(right, 1, axis=1)])
    charged = jax.lax.map(lambda logits: loss(_Answering(model, logits), variables, ids, key)[0], asked)
    return dict(zip(("loss.undecided", "loss.right", "loss.wrong"), charged, strict=True))


def _cross_entropy(logits: jax.Array, shares: jax.Array, double_softmax: float) -> jax.Array:
    scores = twice_softmaxed(logits, double_softmax)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, jnp.arange(len(shares)))
    return jnp.sum(jnp.where(shares > 0, shares * losses, 0.0))


def _is_finite(values: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(values)]))
