"""The planted faults: each published condition as the numbers that it changes in a small sound autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tokdyn import keys
from tokdyn.autoencoder import bottlenecks, decoders, encoders, losses
from tokdyn.autoencoder.base import Autoencoder, Variables, autoencoder
from tokdyn.autoencoder.diagnose.measurements import Words, measure
from tokdyn.dynamics.parts import part
from tokdyn.train import fit

# 24 words after two reserved numbers, of which 1 is the unknown word, as in a corpus.
RESERVED, TYPES = 2, 24
SIZE = RESERVED + TYPES
CHANNELS, WIDTH, EMBEDDING = 3, 32, 16
RECORDS, VALIDATION = 10, 48
# What the published extreme decoder does to 320 places with weights of standard deviation 3, it does to 48 with these:
# the same standard deviation of what every word gets.
HEAD_STD = 3.0 * (320 / 48) ** 0.5

GUMBEL, STRAIGHT_THROUGH, CATEGORICAL = 0.0, 1.0, 2.0
# A sound member. ``learning_rate`` for Adam; encoder scales as in ``encoders.INITIALISATIONS["unit"]`` for this width
# (last layer 1.5 / sqrt(width)); ``zipf`` the exponent of the frequencies; ``common`` extra share of the first word;
# ``unknown`` share of unknown words in the validation text; ``offset`` how far off the codes start; ``kind``
# which bottleneck without a codebook.
SOUND: dict[str, float] = {
    "learning_rate": 1e-2, "double_softmax": 0.0, "embedding_std": 1.0, "hidden_gain": 2.0**0.5,
    "output_std": 1.5 / WIDTH**0.5, "output_bias": 0.0, "zipf": 0.0, "common": 0.0, "unknown": 0.0, "offset": 0.0,
    "kind": GUMBEL,
}  # fmt: skip
# The notebook's first initialisation; its last layer's Xavier weights at this width.
PUBLISHED = {"embedding_std": 0.02, "hidden_gain": 1.0, "output_std": (2.0 / (WIDTH + 48)) ** 0.5}
# How far Adam can move a weight at the rate that fits the published curve: 200 steps of 5e-5.
PUBLISHED_REACH = 200 * 5e-5
PUBLISHED_LAST = {"embedding_std": 0.02, "hidden_gain": 1.0, "output_std": 1.0, "output_bias": 0.5}


class Fault(NamedTuple):
    """One planted condition.

    Attributes:
        cause: what the diagnosis should say; "healthy" for a control.
        numbers: what it changes in ``SOUND``.
        program: which of ``PROGRAMS``.
        dial: the number that sets its strength, for ``sensitivity_curve``.
    """

    cause: str
    numbers: dict[str, float]
    program: str = "discrete"
    dial: str | None = None


FAULTS: dict[str, Fault] = {
    "double_softmax": Fault("double_softmax", {"double_softmax": 1.0}, dial="double_softmax"),
    "double_softmax_published": Fault("double_softmax", {"double_softmax": 1.0, "zipf": 1.0, **PUBLISHED}),
    "no_gradient": Fault("no_gradient", {"kind": CATEGORICAL}),
    "no_gradient_published": Fault("no_gradient", {"kind": CATEGORICAL, "zipf": 1.0, **PUBLISHED}),
    "uninformative_start": Fault("uninformative_start", {"learning_rate": 1e-3, **PUBLISHED}, dial="embedding_std"),
    "learning_rate_too_low": Fault("learning_rate_too_low", {"learning_rate": 1e-4}, dial="learning_rate"),
    "learning_rate_too_low_sigmoid": Fault("learning_rate_too_low", {"learning_rate": 1e-4}, "sigmoid"),
    "decoder_initialised_collapsed": Fault(
        "decoder_initialised_collapsed",
        {"learning_rate": PUBLISHED_REACH / 40, **PUBLISHED_LAST},
        "extreme",
        "learning_rate",
    ),
    "constant_predictor": Fault("constant_predictor", {"common": 0.998}, dial="common"),
    "rare_words_lost": Fault("rare_words_lost", {"zipf": 2.0}, dial="zipf"),
    "unknown_words_ceiling": Fault("unknown_words_ceiling", {"unknown": 0.5}, dial="unknown"),
    "dead_codes": Fault("dead_codes", {"offset": 100.0}, "vector", "offset"),
    "code_space_too_small": Fault("code_space_too_small", {}, "small"),
    "healthy_straight_through": Fault("healthy", {"kind": STRAIGHT_THROUGH}),
    "healthy_straight_through_zipf": Fault("healthy", {"kind": STRAIGHT_THROUGH, "zipf": 1.0, "learning_rate": 5e-3}),
    "healthy_gumbel": Fault("healthy", {}),
    "healthy_gumbel_zipf": Fault("healthy", {"zipf": 1.0}),
    "healthy_gumbel_fast": Fault("healthy", {"learning_rate": 1.5e-2}),
    "healthy_sigmoid": Fault("healthy", {}, "sigmoid"),
    "healthy_sigmoid_zipf": Fault("healthy", {"zipf": 1.0, "learning_rate": 5e-3}, "sigmoid"),
    "healthy_vector": Fault("healthy", {}, "vector"),
}


@part
class _Chosen:
    """One of several bottlenecks without weights, by number: they share a program."""

    kind: jax.Array
    choices: tuple[Any, ...]

    def init(self, key: jax.Array, channels: int) -> Variables:
        return self.choices[0].init(key, channels)

    def apply(self, variables: Variables, inputs: jax.Array, **named: Any) -> Any:
        codes = [choice.apply(variables, inputs, **named)[0] for choice in self.choices]
        # A branch that is not taken passes a gradient of exactly 0.
        return jax.tree.map(lambda *leaves: jnp.stack(leaves)[self.kind], *codes), variables["state"]


@part
class _Outlying:
    """A quantizer all of whose codes but the first start that far away: no cell is near them."""

    inner: Any
    offset: jax.Array

    def init(self, key: jax.Array, channels: int) -> Variables:
        made = self.inner.init(key, channels)
        moved = {name: made["state"][name].at[1:].add(self.offset) for name in ("codebook", "code_sum")}
        return {"params": made["params"], "state": {**made["state"], **moved}}

    def apply(self, variables: Variables, inputs: jax.Array, **named: Any) -> Any:
        return self.inner.apply(variables, inputs, **named)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        return self.inner.codebook_sizes


def _discrete(numbers: dict[str, Any]) -> Any:
    choices = (bottlenecks.gumbel(), bottlenecks.straight_through(), bottlenecks.categorical())
    return _Chosen(jnp.asarray(numbers["kind"], jnp.int32), choices)


def _vector(numbers: dict[str, Any]) -> Any:
    from tokdyn.autoencoder import quantizers

    inner = quantizers.vector_quantizer(num_codes=16, decay=0.9, commitment=0.25)
    return _Outlying(inner, numbers["offset"])


class Program(NamedTuple):
    """What differs between compiled programs.

    Attributes:
        bottleneck: from a member's numbers.
        cells: of the pattern.
        extreme: whether the decoder is the published extreme one.
        steps: of training.
        batch: words of a step.
        block: members that are computed side by side.
    """

    bottleneck: Callable[[dict[str, Any]], Any]
    cells: int = 16
    extreme: bool = False
    steps: int = 120
    batch: int = 48
    block: int = 20


PROGRAMS: dict[str, Program] = {
    "discrete": Program(_discrete),
    "sigmoid": Program(lambda numbers: bottlenecks.sigmoid()),
    # Convolutions take most of the bench's time; members one by one, since a mapped convolution is a slow one on CPU.
    "extreme": Program(lambda numbers: bottlenecks.sigmoid(), extreme=True, steps=40, batch=24, block=1),
    "vector": Program(_vector),
    "small": Program(_discrete, cells=2),
}


def frequencies_of(zipf: float | jax.Array, common: float | jax.Array) -> jax.Array:
    """Shares `[SIZE]`: 0 for the reserved numbers, `1 / rank^zipf` for the words, the rest of ``common`` for the first.

    ``common = c`` gives the first word the share c and leaves 1 - c to all by their ranks.
    """
    ranks = jnp.arange(1.0, TYPES + 1.0)
    shares = ranks**-zipf
    shares = (1.0 - common) * shares / jnp.sum(shares)
    return jnp.concatenate([jnp.zeros(RESERVED), shares.at[0].add(common)])


def member(program: str, numbers: dict[str, Any], key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
    """Train one model with these numbers, and measure it: ``(measurements, losses [records])``; pure."""
    chosen = PROGRAMS[program]
    model = _model(chosen, numbers)
    shares = frequencies_of(numbers["zipf"], numbers["common"])
    cumulated = jnp.cumsum(shares)

    def drawn(key: jax.Array, count: int) -> jax.Array:
        places = jnp.searchsorted(cumulated, jax.random.uniform(key, (count,)), side="right")
        return jnp.clip(places, RESERVED, SIZE - 1).astype(jnp.int32)

    loss = losses.objective(words=losses.cross_entropy(double_softmax=numbers["double_softmax"]))
    trained = fit(
        model,
        loss,
        lambda key, step: drawn(key, chosen.batch),
        key=key,
        num_steps=chosen.steps,
        record_every=chosen.steps // RECORDS,
        hyper={"learning_rate": numbers["learning_rate"]},
    )
    text = drawn(keys.for_purpose(key, "validation"), VALIDATION)
    text = jnp.where(jnp.arange(VALIDATION) < jnp.round(numbers["unknown"] * VALIDATION), 1, text)
    initial = model.init(keys.for_purpose(key, "init"))  # the one that fit began with
    found = measure(
        model, trained.variables, initial, Words(shares, text), key=keys.for_purpose(key, "diagnosis"), loss=loss,
        num_steps=chosen.steps,
    )  # fmt: skip
    return found, trained.history["loss"]


def _model(program: Program, numbers: dict[str, Any]) -> Autoencoder:
    scales = {name: numbers[name] for name in ("embedding_std", "hidden_gain", "output_std", "output_bias")}
    encoder = encoders.table(
        vocabulary_size=SIZE, cells=program.cells, channels=CHANNELS, embedding=EMBEDDING, width=WIDTH, **scales
    )
    decoder: Any = decoders.dense(vocabulary_size=SIZE, width=WIDTH)
    if program.extreme:
        decoder = decoders.extreme(vocabulary_size=SIZE, height=4, width=WIDTH, head_std=HEAD_STD)
    return autoencoder(encoder, program.bottleneck(numbers), decoder)
