"""Diagnosis of what others wrote: plain classes, losses of their own, codes without probabilities, other data."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from constant_keys import constant_key

from tokdyn import autoencoder as ae
from tokdyn import cli
from tokdyn.autoencoder import diagnose, quantizers
from tokdyn.autoencoder.diagnose import held_out
from tokdyn.autoencoder.diagnose.primitives import PRIMITIVES
from tokdyn.data import words

SIZE = 8
KEY = constant_key(3)


class Encoder:
    """Written to the documented protocol, as a plain class."""

    vocabulary_size, cells, channels = SIZE, 4, 3

    def init(self, key):
        return {"params": jax.random.normal(key, (SIZE, 4, 3)), "state": {}}

    def apply(self, variables, ids, *, key, train):
        return variables["params"][ids], {}


class Bottleneck:
    """Signs, with indices and without probabilities."""

    def init(self, key, channels):
        return {"params": {}, "state": {}}

    def apply(self, variables, inputs, *, key=None, train=False, mask=None):
        return ae.Code(inputs, (inputs[..., 0] > 0).astype(jnp.int32), jnp.zeros(())), {}


class Decoder:
    """A matrix."""

    vocabulary_size = SIZE

    def init(self, key, cells, channels):
        return {"params": jax.random.normal(key, (cells * channels, SIZE)), "state": {}}

    def apply(self, variables, values, *, key, train):
        return values.reshape(len(values), -1) @ variables["params"], {}


def own(formula):
    def loss(model, variables, batch, key):
        output, state = model.apply(variables, batch, key=key, train=True)
        return formula(output.logits, batch, key), (state, {})

    return loss


def entropy(logits, ids):
    return optax.softmax_cross_entropy_with_integer_labels(logits, ids).mean()


def hits(ids):
    return jax.nn.one_hot(ids, SIZE)


# What a loss is, and what is said of it; the first five were all called a double softmax, or should not have been.
LOSSES = {
    "softmax of a softmax": (lambda z, y, key: entropy(jax.nn.softmax(z), y), "double_softmax"),
    "shuffled": (lambda z, y, key: entropy(z, jax.random.permutation(key, y)), "wrong_targets"),
    "off by one": (lambda z, y, key: entropy(z, (y + 1) % SIZE), "wrong_targets"),
    "squared error": (lambda z, y, key: jnp.mean((jax.nn.softmax(z) - hits(y)) ** 2), "healthy"),
    "smoothed": (lambda z, y, key: entropy(z, y) - 0.2 * jnp.mean(jax.nn.log_softmax(z)), "healthy"),
    "absolute error": (lambda z, y, key: jnp.mean(jnp.abs(jax.nn.softmax(z) - hits(y))), "healthy"),
    "merged": (lambda z, y, key: entropy(z, y // 2 * 2), "wrong_targets"),
    "wrong sign": (lambda z, y, key: -entropy(z, y), "inverted_loss"),
    "cross-entropy": (lambda z, y, key: entropy(z, y), "healthy"),
}


@pytest.fixture(scope="module")
def asked():
    """Every loss on the same model, in one program."""
    model = ae.autoencoder(Encoder(), Bottleneck(), Decoder())
    variables = jax.jit(model.init)(KEY)
    shares = jnp.full(SIZE, 1 / SIZE)
    formulas = [formula for formula, _ in LOSSES.values()]

    @jax.jit
    def program(kinds, scale, key):
        logits = 3.0 * jax.random.normal(key, (SIZE, SIZE))

        def one(kind):
            loss = own(lambda z, y, key: scale * jax.lax.switch(kind, formulas, z, y, key) + 7.0)
            return diagnose.probes.probe(model, loss, variables, logits, shares, key)

        return jax.lax.map(one, kinds)

    return {
        scale: {name: np.asarray(values) for name, values in program(np.arange(len(LOSSES)), scale, KEY).items()}
        for scale in (1.0, 1e-4, 50.0)
    }


@pytest.mark.parametrize("scale", [1.0, 1e-4, 50.0])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_says_what_it_rewards(asked, name, scale):
    """Whatever its weight, and whatever constant is added to it."""
    from test_diagnose_findings import SOUND

    numbers = {key: float(values[list(LOSSES).index(name)]) for key, values in asked[scale].items()}
    findings = diagnose.decide({**SOUND, "num_words": SIZE, **numbers})
    assert findings.cause == LOSSES[name][1]
    assert findings.confidence == ("none" if findings.cause == "healthy" else "certain")


def test_plain_classes_are_diagnosed_and_their_run_is_kept_with_what_the_loss_rewards(tmp_path, capsys):
    model = ae.autoencoder(Encoder(), Bottleneck(), Decoder())
    variables = jax.jit(model.init)(KEY)
    loss = own(LOSSES["softmax of a softmax"][0])
    found = diagnose.diagnose(model, variables, SimpleNamespace(counts=np.ones(SIZE)), key=KEY, loss=loss)
    assert found.ranked[0] == "double_softmax"
    # Nobody says how many choices a cell has.
    assert np.isnan(found.measurements["code.capacity_bits"])
    broken = lambda model, variables, batch, key: batch["inputs"]  # noqa: E731
    found = diagnose.diagnose(model, variables, SimpleNamespace(counts=np.ones(SIZE)), key=KEY, loss=broken)
    assert any("does not take a batch of words" in note for note in found.notes)

    text = words.corpus(["the sun warms the stone"], ["the stone"])
    size = text.vocabulary_size
    ours = ae.autoencoder(
        ae.encoders.table(vocabulary_size=size, cells=4, channels=3, embedding=4, width=4),
        ae.bottlenecks.straight_through(),
        ae.decoders.linear(vocabulary_size=size),
    )
    path = ae.save_run(tmp_path / "run", ours, jax.jit(ours.init)(KEY), text, loss=loss)
    assert ae.load_run(path).loss is None
    assert cli.main(["diagnose", str(path)]) == 0
    assert "cause: double_softmax (certain)" in capsys.readouterr().out


def test_a_quantizer_on_patches_of_an_image():
    y, x = np.mgrid[:64, :64] / 8.0
    image = np.sin(x) * np.cos(1.7 * y) + 0.3 * np.sin(3 * x * y)
    patches = np.float32(image.reshape(16, 4, 16, 4).swapaxes(1, 2).reshape(1, 256, 16))
    quantizer = quantizers.vector_quantizer(num_codes=16)
    made = jax.jit(lambda key: quantizer.init(key, 16))(KEY)

    def with_codes(rows):
        return {**made, "state": {**made["state"], "codebook": np.float32(rows)}}

    chosen = with_codes(patches[0, :: 256 // 16])
    found = diagnose.codebooks(quantizer, chosen, patches, key=KEY)
    assert found.cause == "healthy"
    assert found.cells == 256
    # Codes far from everything but one: that one gets all, and no variance is explained.
    away = np.r_[patches[0].mean(axis=0)[None], np.full((15, 16), 50.0)]
    found = diagnose.codebooks(quantizer, with_codes(away), patches, key=KEY)
    assert (found.cause, int(found.dead[0]), float(found.perplexity[0])) == ("collapsed_codebook", 15, 1.0)
    assert found.lost == pytest.approx(1.0, abs=1e-3)
    some = np.r_[patches[0, ::64], np.full((12, 16), 50.0)]
    found = diagnose.codebooks(quantizer, with_codes(some), patches, key=KEY)
    assert found.cause == "dead_codes"
    assert found.dead[0] >= 12
    assert diagnose.codebooks(quantizer, chosen, patches[:, :100], key=KEY).cause == "unknown"


def test_the_held_out_bench_keeps_its_parts_apart():
    """Split by primitive: a foreign fault, or an unseen sound choice, is in no combination for development."""
    made = held_out.combinations()
    assert len({one.names for one in made}) == len(made)
    for one in made:
        kinds = [PRIMITIVES[name] for name in one.names]
        if one.part in ("development", "unseen combination"):
            assert all(kind.seen for kind in kinds)
            assert len(one.causes) == 1
        if one.part == "foreign":
            assert one.causes == ("unexplained",)
        if one.part == "healthy":
            assert not one.causes
    parts = [one.part for one in made]
    assert parts.count("healthy") >= 200
    assert parts.count("unseen combination") >= 100
    assert {PRIMITIVES[name].axis for one in made for name in one.names} == {
        "data", "loss", "model", "optimiser", "metric"
    }  # fmt: skip
