"""Values, indices, losses, gradients and codebooks against vector-quantize-pytorch (make_quantizer_goldens.py).

The tolerance is 1e-5: float32 has 6e-8, sums here have about 100 terms, and two libraries order them differently.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.autoencoder import quantizers
from tokdyn.autoencoder.quantizers import codebook as books

GOLDENS = dict(np.load(Path(__file__).parent / "goldens" / "quantizers.npz"))
KEY = constant_key(0)
CODES = 8


# Variants that only join what others test apart.
SLOW = ["cosine_rotation", "residual_rotation", "scalar_37", "scalar_444"]


def variants(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def golden(variant):
    return {name.split("/", 1)[1]: value for name, value in GOLDENS.items() if name.startswith(variant + "/")}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def projections(arrays):
    found = {}
    for place in ("project_in", "project_out"):
        if f"{place}/kernel" in arrays:
            found[place] = {name: arrays[f"{place}/{name}"] for name in ("kernel", "bias")}
    return found


init = compiled(lambda quantizer, channels: quantizer.init(KEY, channels), static_argnums=1)


@compiled
def passed(quantizer, variables, inputs, weights, mask):
    """Code, state, gradients of the weighted values by the inputs, of the loss by inputs and by params."""

    def outputs(params, inputs):
        code, state = quantizer.apply({**variables, "params": params}, inputs, key=KEY, train=True, mask=mask)
        return (code.values, code.loss), (code, state)

    (_, loss), back, (code, state) = jax.vjp(outputs, variables["params"], inputs, has_aux=True)
    _, by_values = back((weights, jnp.zeros_like(loss)))
    by_params, by_loss = back((jnp.zeros_like(weights), jnp.ones_like(loss)))
    return code, state, {"by_values": by_values, "by_loss": by_loss, "params": by_params}


def follow(quantizer, variables, arrays, state_of):
    """All steps of a golden training run."""
    for step in range(len(arrays["inputs"])):
        mask = arrays["mask"][step] if "mask" in arrays else None
        code, state, gradients = passed(quantizer, variables, arrays["inputs"][step], arrays["weights"], mask)
        indices = code.indices
        if arrays["indices"][step].ndim == 4:  # groups first, over there
            indices = np.moveaxis(indices.reshape(*indices.shape[:-1], 2, -1), -2, 0)
        np.testing.assert_array_equal(indices, arrays["indices"][step])
        close(code.values, arrays["values"][step])
        close(code.loss, arrays["loss"][step])
        close(gradients["by_values"], arrays["by_values"][step])
        close(gradients["by_loss"], arrays["by_loss"][step])
        if "by_codebook" in arrays:
            close(gradients["params"]["codebook"], arrays["by_codebook"][step])
        for name, value in state_of(variables, state).items():
            close(np.reshape(value, arrays[name][step].shape), arrays[name][step])
        variables = {**variables, "state": state}


def of_vector(variables, state):
    return {name: state[name] for name in ("codebook", "code_sum", "cluster_size")}


def of_learned(variables, state):
    return {"codebook": variables["params"]["codebook"] + state["shift"]}


def first_cells(key, cells, mask, count):
    return cells[:count]


def first_revival(key, cells, mask, dead):
    rank = jnp.maximum(jnp.cumsum(dead) - 1, 0)
    return cells[rank], dead & (rank < len(cells))


def vector_variables(quantizer, arrays):
    variables = init(quantizer, 4)
    start = {name: arrays["start_" + name][0] for name in ("codebook", "code_sum", "cluster_size")}
    state = {**variables["state"], **start}
    params = projections(arrays)
    if quantizer.learned:
        del state["code_sum"]
        params["codebook"] = state.pop("codebook")
    return {"params": params, "state": state}


VECTOR = {
    "euclidean": {},
    "cosine": {"cosine": True},
    "rotation": {"gradient": "rotation"},
    "cosine_rotation": {"cosine": True, "gradient": "rotation"},
    "learned": {"learned": True},
    "masked": {},
    "projected": {"codebook_dim": 3},
    "kmeans": {"start": "kmeans", "start_steps": 4},
    "cosine_kmeans": {"cosine": True, "start": "kmeans", "start_steps": 4},
    "expired": {"revive_below": 0.85},
    "expired_learned": {"revive_below": 0.85, "learned": True},
    "frozen": {"frozen": True},
}


@pytest.mark.parametrize("variant", variants(VECTOR))
def test_vector_quantizer(variant, monkeypatch):
    # Where chance comes in, both libraries are given the same rule instead.
    monkeypatch.setattr(books, "random_cells", first_cells)
    monkeypatch.setattr(books, "revival", first_revival)
    passed.program.clear_cache()
    options, arrays = VECTOR[variant], golden(variant)
    quantizer = quantizers.vector_quantizer(num_codes=CODES, decay=0.8, commitment=0.7, **options)
    variables = vector_variables(quantizer, arrays)
    follow(quantizer, variables, arrays, of_learned if quantizer.learned else of_vector)


def test_goldens_exercise_revival():
    for variant in ("expired", "expired_learned"):
        arrays = golden(variant)
        before = np.concatenate([arrays["start_codebook"][None], arrays["codebook"][:-1]])
        jumped = np.abs(arrays["codebook"] - before).max(axis=-1) > 50.0
        assert jumped[:, 0, 2:4].any(axis=0).all()
        assert (arrays["cluster_size"] == np.float32(0.85)).any()


STACKED = {
    "residual": {},
    "residual_rotation": {"gradient": "rotation"},
    "residual_share": {"share": 1.0},
    "grouped_residual": {"groups": 2},
}


@pytest.mark.parametrize("variant", variants(STACKED))
def test_stacked_quantizers(variant):
    passed.program.clear_cache()
    arrays, options = golden(variant), STACKED[variant]
    inner = quantizers.vector_quantizer(
        num_codes=CODES, decay=0.8, commitment=0.7, gradient=options.get("gradient", "straight_through")
    )
    groups = options.get("groups")
    depth = arrays["indices"].shape[-1]
    quantizer = quantizers.residual_quantizer(inner, depth=depth, gradient_share=options.get("share", 0.0))
    quantizer = quantizers.grouped_quantizer(quantizer, groups=groups) if groups else quantizer

    def books_in(state):
        return state["copies"]["copies"] if groups else state["copies"]

    variables = init(quantizer, 4)
    for name in ("codebook", "code_sum", "cluster_size"):
        inside = books_in(variables["state"])
        inside[name] = arrays["start_" + name].reshape(inside[name].shape)
    follow(quantizer, variables, arrays, lambda variables, state: of_vector(variables, books_in(state)))


@pytest.mark.parametrize(
    "variant", variants(sorted({name.split("/")[0] for name in GOLDENS if name.startswith("scalar_")}))
)
def test_finite_scalar_quantizer(variant):
    arrays = golden(variant)
    levels = tuple(int(size) for size in arrays["levels"])
    quantizer = quantizers.finite_scalar_quantizer(levels=levels, symmetric=variant == "scalar_symmetric")
    variables = init(quantizer, arrays["inputs"].shape[-1])
    variables["params"] = projections(arrays)
    code, _, gradients = passed(quantizer, variables, arrays["inputs"], arrays["weights"], None)
    close(code.values, arrays["values"])
    np.testing.assert_array_equal(code.indices, arrays["indices"])
    close(gradients["by_values"], arrays["by_values"])
    every = np.arange(len(arrays["every_code"]))
    codes, back = there_and_back(quantizer, variables, every)
    close(codes, arrays["every_code"])
    np.testing.assert_array_equal(back, every)


@compiled
def there_and_back(quantizer, variables, indices):
    codes = quantizers.indices_to_codes(quantizer, variables, indices)
    return codes, quantizers.codes_to_indices(quantizer, variables, codes)


@compiled
@jax.value_and_grad
def enumerated(inputs, temperature, params, floor):
    """The loss of lookup-free quantisation over all codes, with logarithms cut at a floor."""
    projected = inputs @ params["project_in"]["kernel"] + params["project_in"]["bias"] if params else inputs
    flat = projected.reshape(-1, projected.shape[-1])
    codes = jnp.asarray([[2.0 * (n >> b & 1) - 1.0 for b in range(flat.shape[1])] for n in range(2 ** flat.shape[1])])
    shares = jax.nn.softmax(2.0 * temperature * flat @ codes.T)

    def entropy(shares):
        return -jnp.sum(shares * jnp.log(jnp.maximum(shares, floor)), axis=-1)

    own, together = jnp.mean(entropy(shares)), entropy(jnp.mean(shares, axis=0))
    distance = jnp.mean((flat - jnp.where(flat > 0, 1.0, -1.0)) ** 2)
    return 0.3 * (own - 1.5 * together) + 0.4 * distance


@pytest.mark.parametrize("variant", ["lookup_sharp", "lookup_soft", "lookup_masked", "lookup_projected"])
def test_lookup_free_quantizer(variant):
    arrays = golden(variant)
    temperature = float(arrays["temperature"])
    quantizer = quantizers.lookup_free_quantizer(
        bits=int(arrays["bits"]), entropy_weight=0.3, commitment=0.4, diversity=1.5, inverse_temperature=temperature
    )
    variables = init(quantizer, 4)
    params = variables["params"] = projections(arrays)
    mask = arrays.get("mask")
    inputs = arrays["inputs" if mask is None else "whole_inputs"]
    weights = arrays["weights" if mask is None else "whole_weights"]
    code, _, gradients = passed(quantizer, variables, inputs, weights, mask)

    def kept(array):
        return array if mask is None else array[mask][None]

    close(kept(code.values), arrays["values"])
    np.testing.assert_array_equal(kept(code.indices), arrays["indices"])
    close(kept(gradients["by_values"]), arrays["by_values"])
    # That library cuts logarithms at 1e-5, which moves the gradient of rare codes; here nothing is cut.
    assert float(code.loss) == pytest.approx(float(arrays["loss"]), abs=3e-5)
    for floor, expected in ((1e-5, arrays["by_loss"]), (1e-30, kept(gradients["by_loss"]))):
        loss, by_loss = enumerated(arrays["inputs"], temperature, params, floor)
        close(by_loss, expected)
        assert float(loss) == pytest.approx(float(arrays["loss"] if floor == 1e-5 else code.loss), abs=1e-5)
    projected = inputs @ params["project_in"]["kernel"] + params["project_in"]["bias"] if params else inputs
    own, together = compiled(quantizer.entropies)(projected, mask)
    assert float(own) == pytest.approx(float(arrays["cell_entropy"]), abs=3e-5)
    assert float(together) == pytest.approx(float(arrays["codebook_entropy"]), abs=3e-5)


def test_why_the_masked_entropies_are_taken_of_the_cells_that_exist():
    arrays = golden("lookup_masked")
    close(arrays["fault_cell_entropy"], arrays["fault_codebook_entropy"])
    assert arrays["codebook_entropy"] > arrays["cell_entropy"] + 0.1
