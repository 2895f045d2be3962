"""``autoencoder`` and ``check_part``: a part that is not what it says gets a sentence with its name, before it runs."""

import jax
import jax.numpy as jnp
import pytest

from tokdyn import autoencoder as ae


class Encoder:
    """Written to the documented protocol, as a plain class."""

    vocabulary_size, cells, channels = 5, 4, 3

    def init(self, key):
        return {"params": jax.random.normal(key, (5, 4, 3)), "state": {}}

    def apply(self, variables, ids, *, key, train):
        return variables["params"][ids], {}


class Bottleneck:
    """The identity."""

    def init(self, key, channels):
        return {"params": {}, "state": {}}

    def apply(self, variables, inputs, *, key=None, train=False, mask=None):
        return ae.Code(inputs, None, jnp.zeros(())), {}


class Decoder:
    """A matrix."""

    vocabulary_size = 5

    def init(self, key, cells, channels):
        return {"params": jax.random.normal(key, (cells * channels, 5)), "state": {}}

    def apply(self, variables, values, *, key, train):
        return values.reshape(len(values), -1) @ variables["params"], {}


def changed(cls, **methods):
    return type(cls.__name__, (cls,), methods)()


WRONG = {
    "no state returned": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: v["params"][ids]),
        r"encoder\.apply: expected \(output, state\), got shape \[3, 4, 3\]",
    ),
    "init without state": (
        changed(Encoder, init=lambda self, key: jnp.zeros((5, 4, 3))),
        r'encoder\.init: expected a dict \{"params": \.\.\., "state": \.\.\.\}',
    ),
    "another code space": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: (v["params"][ids].reshape(-1, 12), {})),
        r"encoder\.apply: expected \[batch, cells, channels\] = \[3, 4, 3\], got shape \[3, 12\]",
    ),
    "a sum over the batch": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: (v["params"][ids].sum(0), {})),
        r"encoder\.apply: expected \[batch, cells, channels\]",
    ),
    "whole numbers": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: (v["params"][ids].astype(int), {})),
        r"encoder\.apply: expected .* of floating-point numbers",
    ),
    "another state": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: (v["params"][ids], {"seen": ids})),
        r"encoder\.apply: expected a state as init makes it",
    ),
    "an encoder that fails": (
        changed(Encoder, apply=lambda self, v, ids, *, key, train: (v["weights"][ids], {})),
        r"encoder\.apply: expected a function that JAX can trace, got KeyError: 'weights'",
    ),
    "no cells": (changed(Encoder, cells=None), r"encoder\.cells: expected a static integer of at least 1"),
    "an array instead of a code": (
        changed(Bottleneck, apply=lambda self, v, x, *, key=None, train=False, mask=None: (x, {})),
        r"bottleneck\.apply: expected \(Code, state\)",
    ),
    "a loss for each item": (
        changed(
            Bottleneck,
            apply=lambda self, v, x, *, key=None, train=False, mask=None: (ae.Code(x, None, x.sum((1, 2))), {}),
        ),
        r"bottleneck\.apply, loss: expected \[\], got shape \[3\]",
    ),
    "indices of other cells": (
        changed(
            Bottleneck,
            apply=lambda self, v, x, *, key=None, train=False, mask=None: (
                ae.Code(x, jnp.zeros((3, 2), jnp.int32), jnp.zeros(())),
                {},
            ),
        ),
        r"bottleneck\.apply, indices: expected \[batch, cells, \.\.\.\] = \[3, 4\] and more",
    ),
    "logits of cells": (
        changed(Decoder, apply=lambda self, v, x, *, key, train: (x, {})),
        r"decoder\.apply: expected \[batch, vocabulary\] = \[3, 5\], got shape \[3, 4, 3\]",
    ),
    "for another code": (
        changed(Decoder, init=lambda self, key, cells, channels: {"params": jnp.zeros((7, 5)), "state": {}}),
        r"decoder\.apply: expected a function that JAX can trace",
    ),
    "another vocabulary": (changed(Decoder, vocabulary_size=6), "decoder: expected the encoder's vocabulary of 5"),
}


def composed(part):
    parts = {"Encoder": Encoder(), "Bottleneck": Bottleneck(), "Decoder": Decoder(), type(part).__name__: part}
    return ae.autoencoder(parts["Encoder"], parts["Bottleneck"], parts["Decoder"])


@pytest.mark.parametrize("name", WRONG)
def test_compose_says_which_part_is_wrong(name):
    part, sentence = WRONG[name]
    with pytest.raises(ValueError, match=sentence):
        composed(part)


def test_plain_classes_are_parts():
    for part in (Encoder(), Bottleneck(), Decoder()):
        assert len(ae.check_part(part)) > 3
    model = composed(Encoder())
    output, _ = model.apply(model.init(jax.random.key(0)), jnp.arange(5))
    assert output.logits.shape == (5, 5)


class Centred(Encoder):
    """Knows of the other items of its batch."""

    def apply(self, variables, ids, *, key, train):
        patterns = variables["params"][ids]
        return patterns - patterns.mean(0), {}


class Steep(Decoder):
    """Has an infinite slope where it is."""

    def apply(self, variables, values, *, key, train):
        return jnp.sqrt(0 * values.reshape(len(values), -1) @ variables["params"]), {}


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Centred(), "encoder: expected an item to give the same alone and in a batch"),
        (Steep(), "decoder: expected finite gradients"),
    ],
)
def test_laws_that_shapes_do_not_show(part, sentence):
    ae.autoencoder(*(part if isinstance(part, type(own)) else own for own in (Encoder(), Bottleneck(), Decoder())))
    with pytest.raises(ValueError, match=sentence):
        ae.check_part(part)


PARTS = {
    **{f"encoder {name}": (make, (5,), {}) for name, make in ae.encoders.catalog.CATALOG.items()},
    **{f"quantizer {name}": (make, (), {"channels": 4}) for name, make in ae.quantizers.catalog.CATALOG.items()},
    "straight_through": (ae.bottlenecks.straight_through, (), {}),
    "gumbel": (lambda: ae.bottlenecks.gumbel(temperature=1.0), (), {}),
    "linear": (lambda: ae.decoders.linear(vocabulary_size=5), (), {}),
    "dense": (lambda: ae.decoders.dense(vocabulary_size=5), (), {}),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_package_keeps_its_own_contract(name):
    make, arguments, options = PARTS[name]
    assert "shapes" in ae.check_part(make(*arguments), **options)
