"""Operators in a world with exact truth: parts are learned as codes, and combinations that were never seen are read."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import draws, geometry, keys
from tokdyn.autoencoder import layers
from tokdyn.data import combinations
from tokdyn.geometry import composers
from tokdyn.numerics import squared_distances
from tokdyn.studies.composition.design import BATCH, CHANNELS, EMBEDDING, SIDE, WORLDS
from tokdyn.studies.composition.published import as_pytorch
from tokdyn.train.fit import fit

SHAPE = (SIDE, SIDE, CHANNELS)
NUMBERS = math.prod(SHAPE)
# Operators that are one program: numbers tell them apart. All of "linear" are linear in the parts.
SUMMED, CONVOLVED, FRAMED = 0.0, 1.0, 2.0
BASE = {"kind": SUMMED, "width": float(NUMBERS), "averaged": 0.0, "trained": 1.0, "straight": 0.0}
PROGRAMS: dict[str, dict[str, dict[str, float]]] = {
    "linear": {
        "embedding sum": {"width": float(EMBEDDING)},
        "pattern sum": {},
        "pattern mean": {"averaged": 1.0},
        "untrained convolution": {"kind": CONVOLVED, "trained": 0.0},
        "convolution": {"kind": CONVOLVED},
        "roles": {"kind": FRAMED},
        "embedding sum, linear reader": {"width": float(EMBEDDING), "straight": 1.0},
        "convolution, linear reader": {"kind": CONVOLVED, "straight": 1.0},
    },
    "attended": {"attention": {}},
    "bound": {"binding": {}},
}
Params = dict[str, Any]


@functools.cache
def world(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(labels [N, F], tokens [N, F], pictures [N, 4 4 3])``: tokens number the parts of all factors, once each.

    Pictures are averaged over 2 x 2 points: to be drawn by a small network. To be called once before anything that
    needs it is traced.

    The two objects of a relation are of one vocabulary: the same token stands for an object in either place.
    """
    found = combinations.combinations() if name == "factors" else combinations.relations()
    fine = np.asarray(found.pictures, np.float32).reshape(len(found.labels), SIDE // 2, 2, SIDE // 2, 2, 3)
    pictures = fine.mean(axis=(2, 4)).reshape(len(fine), -1)
    counts = found.labels.max(axis=0) + 1
    starts = np.cumsum([0, *counts[:-1]]) if name == "factors" else np.array([0, 0, counts[0]])
    return found.labels, found.labels + starts, pictures


def sizes(name: str) -> tuple[int, ...]:
    """Values of each factor."""
    labels, _, _ = world(name)
    return tuple(int(count) for count in labels.max(axis=0) + 1)


@functools.cache
def placed(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every part in every place where it occurs: ``(place [P], token [P], there [F, N, P])``.

    ``there`` is 1 where a combination has that part in that place. What an operator does to a part in a place it does
    once, rather than once for every combination.
    """
    _, tokens, _ = world(name)
    each = [(place, token) for place in range(tokens.shape[1]) for token in np.unique(tokens[:, place])]
    place, token = np.array(each).T
    own = tokens.T[:, :, None] == token
    return place, token, (own & (np.arange(tokens.shape[1])[:, None, None] == place)).astype(np.float32)


@functools.cache
def questions() -> np.ndarray:
    """Analogies of shape and colour in the world of factors, small ones in the first position `[Q, 4]`.

    A shape in a colour is to it in another colour as another shape in the first colour is to which?
    """
    labels, _, _ = world("factors")
    number = {tuple(row): at for at, row in enumerate(labels.tolist())}
    kinds, colours = sizes("factors")[:2]
    return np.array([
        [number[shape, colour, 0, 0] for shape, colour in ((a, c), (a, d), (b, c), (b, d))]
        for a in range(kinds) for b in range(kinds) for c in range(colours) for d in range(colours) if a != b and c != d
    ])  # fmt: skip


# Of how many values of the sum of two, both permuted, one is held out: a third, a quarter of the pairs.
MODULI = {"factors": 3, "relations": 4}


def held_out(name: str, key: jax.Array) -> jax.Array:
    """Which combinations are held out, bool `[N]`, by pairs of shape and colour, or of objects in both orders."""
    labels, _, _ = world(name)
    return combinations.hold_out(key, labels, alike=name == "relations", modulus=MODULI[name])


@functools.cache
def count_held_out(name: str) -> int:
    """How many are held out, whatever the key: as many as without any permutation."""
    labels, _, _ = world(name)
    return int(np.sum((labels[:, 0] + labels[:, 1]) % MODULI[name] == 0))


class _Reader(layers.Module):
    """A dense layer, ReLU or (``straight``) nothing, and a dense layer."""

    width: int
    features: int

    @layers.compact
    def __call__(self, values: jax.Array, straight: jax.Array, *, train: bool) -> jax.Array:
        hidden = layers.dense(self.width)(values)
        return layers.dense(self.features)(jnp.where(straight > 0, hidden, jax.nn.relu(hidden)))


class Parts:
    """Codes of parts, an operator, and a network that reads all factors and draws the picture from the whole."""

    def __init__(self, name: str, program: str, hidden: int, config: dict[str, Any]) -> None:
        _, tokens, pictures = world(name)
        self.factors, self.vocabulary = len(WORLDS[name]), int(tokens.max()) + 1
        self.place, self.token, self.there = placed(name)
        self.sizes, self.program, self.config = sizes(name), program, config
        self.reader = _Reader(hidden, sum(self.sizes) + pictures.shape[1])
        self.convolution = composers.convolution(num_parts=self.factors, channels=CHANNELS)
        self.attention = composers.attention(num_parts=self.factors, shape=SHAPE)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Standard normal codes, a reader as PyTorch has it, and what the operator has."""
        own = {name: keys.for_purpose(key, name) for name in ("parts", "reader", "composer", "roles")}
        shapes = jax.eval_shape(
            lambda key: layers.initial(self.reader, key, jnp.zeros((1, NUMBERS)), jnp.zeros(()))["params"],
            own["reader"],
        )
        reader = as_pytorch(own["reader"], shapes)
        params = {"parts": draws.normal(own["parts"], (self.vocabulary, NUMBERS), jnp.result_type(float))}
        state: dict[str, Any] = {}
        if self.program == "linear":
            # Numbers that are not there are no inputs.
            first = reader["Dense_0"]
            reader["Dense_0"] = {**first, "kernel": first["kernel"] * jnp.sqrt(NUMBERS / self.config["width"])}
            params["composer"] = self.convolution.init(own["composer"])["params"]
            state["roles"] = geometry.unitary_codes(own["roles"], self.factors, SHAPE)
        if self.program == "attended":
            params["composer"] = self.attention.init(own["composer"])["params"]
        return {"params": {**params, "reader": reader}, "state": state}

    def compose(self, variables: dict[str, Any], there: jax.Array) -> jax.Array:
        """The codes of combinations `[B, H W C]`, from where their parts are: rows of ``placed`` `[B, F, P]`."""
        params = variables["params"]
        codes = params["parts"][self.token]
        patterns = codes.reshape(-1, *SHAPE)
        every = there.sum(axis=1)
        if self.program == "linear":
            return self._linear(variables, codes, patterns, every)
        if self.program == "attended":
            own = {"params": params["composer"], "state": {}}
            scores, values = self.attention.weighed(own, patterns[:, None], jnp.asarray(self.place))
            # The softmax over the parts of each combination: what all weights of a cell share drops out.
            weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=0)))[:, 0]
            blended = every @ (weights * values[:, 0]).reshape(len(codes), NUMBERS)
            total = (every @ weights.reshape(len(codes), -1)).reshape(-1, SIDE * SIDE, 1)
            return (blended.reshape(-1, SIDE * SIDE, CHANNELS) / total).reshape(-1, NUMBERS)
        # Unitary codes have length 1; standard normal ones, the root of the number of their entries.
        units = geometry.unitary(patterns, axes=3).reshape(-1, NUMBERS)
        parts = jnp.einsum("bfp,pn->fbn", there, units).reshape(self.factors, -1, *SHAPE)
        return geometry.compose(parts, "binding", axes=3).reshape(-1, NUMBERS) * math.sqrt(NUMBERS)

    def _linear(self, variables: dict[str, Any], codes: jax.Array, patterns: jax.Array, every: jax.Array) -> jax.Array:
        """Sums of what each part is in its place."""
        config = self.config
        there = jnp.arange(NUMBERS) < config["width"]
        added = jnp.where(there, codes, 0) * jnp.where(config["averaged"] > 0, 1 / self.factors, 1.0)
        layer = variables["params"]["composer"]["Convolution_0"]
        layer = jax.tree.map(lambda of: jnp.where(config["trained"] > 0, of, jax.lax.stop_gradient(of)), layer)
        width = self.convolution.width
        kernel = layer["kernel"].reshape(width**2, self.factors, CHANNELS, CHANNELS)[:, self.place]
        near = layers.patches(patterns, width).reshape(len(codes), SIDE**2, width**2, CHANNELS)
        convolved = jnp.einsum("pskc,kpcd->psd", near, kernel).reshape(-1, NUMBERS)
        framed = geometry.bind(variables["state"]["roles"][self.place], patterns, axes=3).reshape(-1, NUMBERS)
        kinds = jnp.stack([added, convolved, framed])
        own = jnp.sum(jnp.where((jnp.arange(3.0) == config["kind"])[:, None, None], kinds, 0), axis=0)
        bias = jnp.where(config["kind"] == CONVOLVED, jnp.tile(layer["bias"], SIDE**2), 0)
        return every @ own + bias

    def read(self, variables: dict[str, Any], codes: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        """Logits of every factor `[B, values]`, and pictures `[B, 4 4 3]`."""
        own = {"params": variables["params"]["reader"], "state": {}}
        out = layers.applied(self.reader, own, codes, self.config["straight"], key=None, train=False)[0]
        *logits, pictures = jnp.split(jnp.asarray(out), np.cumsum(self.sizes), axis=1)
        return logits, pictures


def in_world(
    config: dict[str, Any], key: jax.Array, *, name: str, program: str, num_steps: int, hidden: int
) -> dict[str, jax.Array]:
    """One training on the seen combinations, judged on those held out.

    Args:
        config: ``learning_rate``, and the numbers of ``BASE``.
        key: of the split and of the initial weights.
        name: "factors" or "relations" (static).
        program: of ``PROGRAMS`` (static).
        num_steps: on a batch of seen combinations each (static).
        hidden: width of the reader (static).

    Returns:
        Shares of the held-out combinations: ``exact`` (every factor read right), ``unordered`` (all right but for an
        exchange of the two objects), ``drawn`` (the picture nearest to the drawn one is the true one, among all);
        ``seen`` is ``exact`` of the combinations trained on, ``by_factor`` `[F]` the share of each, ``analogy`` the
        share of analogies of shape and colour that the codes' differences solve (0 where there are none).
    """
    labels, _, pictures = (jnp.asarray(of) for of in world(name))
    there = jnp.asarray(placed(name)[2]).swapaxes(0, 1)
    number = count_held_out(name)
    order = jnp.argsort(held_out(name, keys.for_purpose(key, "split")), stable=True)
    seen, held = order[: len(order) - number], order[len(order) - number :]
    model = Parts(name, program, hidden, config)
    middle = pictures.mean(axis=0)
    spread = jnp.mean((pictures - middle) ** 2)

    def objective(model: Parts, variables: Any, batch: dict[str, jax.Array], key: jax.Array) -> Any:
        logits, drawn = model.read(variables, model.compose(variables, batch["there"]))
        told = [
            -jnp.mean(jnp.sum(jax.nn.log_softmax(of) * jax.nn.one_hot(batch["labels"][:, factor], of.shape[1]), axis=1))
            for factor, of in enumerate(logits)
        ]
        missed = jnp.mean((drawn - (batch["pictures"] - middle)) ** 2) / spread
        return sum(told) + missed, (variables["state"], {})

    data = {"labels": labels[seen], "there": there[seen], "pictures": pictures[seen]}
    made = fit(
        model, objective, data, key=keys.for_purpose(key, "training"), num_steps=num_steps, batch_size=BATCH,
        hyper={"learning_rate": config["learning_rate"]},
    )  # fmt: skip

    codes = model.compose(made.variables, there)
    logits, drawn = model.read(made.variables, codes)
    told = jnp.stack([jnp.argmax(of, axis=1) for of in logits], axis=1)
    right = told == labels
    exact = jnp.all(right, axis=1)
    either = exact
    if name == "relations":
        either |= jnp.all(told[:, jnp.array([1, 0, 2])] == labels, axis=1)
    nearest = jnp.argmin(squared_distances(drawn, pictures - middle), axis=1)
    share = {"exact": exact, "unordered": either, "drawn": nearest == jnp.arange(len(labels))}
    solved = geometry.analogies(codes, questions()).accuracy if name == "factors" else jnp.zeros(())
    return {
        **{name: of[held].mean() for name, of in share.items()},
        "seen": exact[seen].mean(),
        "by_factor": right[held].mean(axis=0),
        "analogy": solved,
    }
