"""What DMLR's reasons rest on, measured before any step: its estimate of a gradient, and words that need the image."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from tokdyn import keys
from tokdyn.numerics import safe_norm
from tokdyn.reasoning.diagnose import visual_dependence
from tokdyn.reasoning.items import PAD, Item
from tokdyn.reasoning.latent_optimisation import CONFIDENCES, CONFIGURATIONS
from tokdyn.reasoning.latent_optimisation.gradient import scale
from tokdyn.reasoning.latent_optimisation.injection import Handed, handed
from tokdyn.reasoning.model import Output, Reasoner, Variables
from tokdyn.studies.latent_optimisation.design import DMLR

PAIRS = 256  # of opposite perturbations
FOG = 1.0  # standard deviation of the noise that hides a picture with pixels in [0, 1]
HALVED = math.log(2)  # nats: without the picture the word's probability falls by more than half


def premises(model: Reasoner, chain: bool) -> Callable[[Variables, Item, jax.Array], dict[str, jax.Array]]:
    """Of every item at its clean run's latents.

    Args:
        model: a reasoner with slots.
        chain: whether the words after the slots were trained to say the steps.

    Returns:
        ``(variables, items, key) -> found``, jitted. Leaves `[items]`: what ``along_the_gradient`` says, with
        "gradient_" before its names; "dependence", the mean of S over the words said (steps and answer), nats; and
        "dependent_steps", the share of the steps said whose S is above log 2; NaN without a chain.
    """
    reward_of = CONFIGURATIONS[DMLR]

    def one(variables: Variables, item: Item, key: jax.Array) -> dict[str, jax.Array]:
        clean_prompt = model.prompt(variables, item)
        clean = model.continued(variables, clean_prompt, item, teacher=False)
        fog = FOG * jax.random.normal(keys.for_purpose(key, "fog"), item.image.shape, item.image.dtype)
        prompts = {"clear": clean_prompt, "hidden": model.prompt(variables, item._replace(image=item.image + fog))}
        ways = {name: handed(model, variables, prompt, item, inject=False) for name, prompt in prompts.items()}

        def reward(latents: jax.Array) -> jax.Array:
            read = _passed(ways["clear"], latents).slot_logits[1:]
            return jnp.asarray(CONFIDENCES[reward_of.reward](read, k=reward_of.k), latents.dtype)

        sigma = reward_of.sigma * scale(clean.latents, reward_of.unit)
        found = along_the_gradient(reward, clean.latents, keys.for_purpose(key, "perturbations"), sigma)
        return {f"gradient_{name}": of for name, of in found.items()} | _dependence(ways, clean, item, chain)

    def every(variables: Variables, items: Item, key: jax.Array) -> dict[str, jax.Array]:
        of_items = jax.vmap(lambda number: keys.for_seed(key, number))(jnp.arange(items.answer.shape[0]))
        return jax.vmap(one, in_axes=(None, 0, 0))(variables, items, of_items)

    return jax.jit(every)


def along_the_gradient(
    reward: Callable[[jax.Array], jax.Array], latent: jax.Array, key: jax.Array, sigma: ArrayLike, *, pairs: int = PAIRS
) -> dict[str, jax.Array]:
    r"""The mean of :math:`R(z+\epsilon)\,\epsilon/\sigma^2` beside two gradients, all along the reward's own, u.

    "estimated": over pairs :math:`\pm\epsilon`, :math:`(R_+ - R_-)\,(u\cdot\epsilon)/(2\sigma^2)`. "smoothed": the mean
    of :math:`u\cdot\nabla R(z\pm\epsilon)` over the same perturbations. "exact": :math:`|\nabla R(z)|`. Where the
    reward is flat all are 0.

    Args:
        reward: ``reward(latent) -> []``, differentiable.
        latent: of any shape.
        key: of the perturbations.
        sigma: their standard deviation `[]`.
        pairs: how many.

    Returns:
        Three numbers `[]`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from tokdyn.studies.latent_optimisation.premises import along_the_gradient
        >>> found = along_the_gradient(lambda z: 3 * z.sum(), jnp.ones(4), jax.random.key(0), 0.1, pairs=10_000)
        >>> sorted((name, round(float(of), 1)) for name, of in found.items())
        [('estimated', 6.0), ('exact', 6.0), ('smoothed', 6.0)]
    """
    gradient = jax.grad(reward)(latent)
    length = safe_norm(gradient.reshape(-1))
    along = gradient / jnp.where(length > 0, length, 1)

    def pair(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        change = sigma * jax.random.normal(key, latent.shape, latent.dtype)
        (above, up), (below, down) = (jax.jvp(reward, (latent + sign * change,), (along,)) for sign in (1.0, -1.0))
        return (above - below) / 2 * (along * change).sum() / sigma**2, (up + down) / 2

    estimated, smoothed = jax.lax.map(pair, jax.random.split(key, pairs))
    return {"estimated": estimated.mean(), "smoothed": smoothed.mean(), "exact": length}


def _passed(way: Handed, latents: jax.Array) -> Output:
    return way.run(latents, jnp.zeros(way.patches, bool))


def _dependence(ways: dict[str, Handed], clean: Output, item: Item, chain: bool) -> dict[str, jax.Array]:
    """S of the words that the clean run said, the latents held as they were there."""
    runs = {name: _passed(way, clean.latents) for name, way in ways.items()}
    steps = min(item.steps.shape[0], clean.slot_logits.shape[0]) if chain else 0
    said = jnp.concatenate([clean.slot_logits[:steps].argmax(axis=-1), clean.answer])
    counts = jnp.concatenate([item.steps[:steps] != PAD, item.answer != PAD])
    logs = {}
    for name, run in runs.items():
        logits = jnp.concatenate([run.slot_logits[:steps], run.logits])
        logs[name] = jnp.take_along_axis(jax.nn.log_softmax(logits), said[:, None], axis=1)[:, 0]
    found = visual_dependence(logs["clear"][None], logs["hidden"][None], mask=counts[None], threshold=HALVED)
    of_steps = found.score[0, :steps] > HALVED
    return {
        "dependence": found.mean[0],
        "dependent_steps": of_steps.sum() / counts[:steps].sum() if chain else jnp.full((), jnp.nan),
    }
