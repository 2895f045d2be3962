"""Known systems as compositions, by name. The contract tests run on every entry of this registry.

A name maps to a function without arguments that builds the dynamics; ``register`` adds an entry.
"""

from __future__ import annotations

from collections.abc import Callable

from tokdyn import checks
from tokdyn.dynamics.attention import attention
from tokdyn.dynamics.attraction import attraction
from tokdyn.dynamics.base import Dynamics, compose
from tokdyn.dynamics.inertia import inertia
from tokdyn.dynamics.noise import noise
from tokdyn.dynamics.repulsion import repulsion
from tokdyn.dynamics.schedules import annealing
from tokdyn.dynamics.slot_attention import slot_attention
from tokdyn.dynamics.transport import transport

# The published study's four methods: (momentum, repulsion).
PUBLISHED_METHODS = {
    "baseline": (0.0, 0.0),
    "inertia": (0.5, 0.0),
    "repulsion": (0.0, 0.05),
    "inertia_repulsion": (0.5, 0.05),
}

CATALOG: dict[str, Callable[[], Dynamics]] = {}


def published(method: str = "baseline", *, temperature: float = 1.0, rate: float = 1.0) -> Dynamics:
    """The token-dynamics study's rule, number for number.

    All four methods are the same composition with different numbers, hence one compiled program. The floors of 1e-9 on
    the mass and 1e-6 on the temperature, and the softening length of 1e-3, are those of the study.

    Args:
        method: ``"baseline"``, ``"inertia"``, ``"repulsion"`` or ``"inertia_repulsion"``.
        temperature: temperature of the softmax `[]`.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the parts ``attract``, ``repel`` and ``inertia``.

    Raises:
        ValueError: an unknown method.

    References:
        Formalizing Latent Visual Reasoning, github.com/Hypogenic-AI/latent-visual-reasoning-codex, commit a21526d.

    Example:
        >>> import tokdyn as td
        >>> float(td.catalog.published("inertia")["inertia"].momentum)
        0.5
    """
    momentum, strength = PUBLISHED_METHODS[checks.choice("method", method, tuple(PUBLISHED_METHODS))]
    return compose(
        attract=attraction(temperature=temperature, rate=rate, mass_floor=1e-9, temperature_floor=1e-6),
        repel=repulsion(strength=strength, eps=1e-3),
        inertia=inertia(momentum=momentum),
    )


def soft_kmeans(*, temperature: float = 1.0, rate: float = 1.0) -> Dynamics:
    """Attraction alone, translation equivariant: expectation-maximisation of an isotropic mixture.

    Args:
        temperature: twice the mixture's variance `[]`.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=attraction(temperature=temperature, rate=rate))


def annealed(*, start: float = 60.0, end: float = 1.0, num_steps: int = 20) -> Dynamics:
    """Soft k-means whose temperature falls geometrically: Rose's deterministic annealing.

    Args:
        start: first temperature `[]`; above `2 lambda_max` of the features' covariance all tokens begin merged.
        end: last temperature `[]`.
        num_steps: number of steps over which the temperature falls.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=attraction(temperature=annealing(start=start, end=end, num_steps=num_steps)))


def repelled(*, temperature: float = 1.0, strength: float = 0.05, eps: float = 0.1, rate: float = 0.5) -> Dynamics:
    """Soft k-means with a Plummer repulsion, damped so that a repelled pair comes to rest.

    At rate 1 a pair inside one cluster oscillates with period two for temperatures above `6 lambda_max`.

    Args:
        temperature: temperature of the softmax `[]`.
        strength: strength of the repulsion `[]`.
        eps: softening length `[]`.
        rate: rate of the attraction `[]`; below 2/3 the pair is stable at every temperature.

    Returns:
        A dynamics with the parts ``attract`` and ``repel``.
    """
    return compose(
        attract=attraction(temperature=temperature, rate=rate),
        repel=repulsion(strength=strength, eps=eps, kernel="plummer"),
    )


def langevin(*, temperature: float = 1.0, scale: float = 0.05) -> Dynamics:
    """Soft k-means with noise at every step.

    Args:
        temperature: temperature of the softmax `[]`.
        scale: standard deviation of the noise `[]`.

    Returns:
        A dynamics with the parts ``attract`` and ``noise``.
    """
    return compose(attract=attraction(temperature=temperature), noise=noise(scale=scale))


def balanced(*, temperature: float = 1.0, rate: float = 1.0) -> Dynamics:
    """Attraction under a balanced assignment: every token gets an equal share of the features.

    Args:
        temperature: of the plan's entropy `[]`.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=transport(temperature=temperature, rate=rate))


def dot_product(*, temperature: float = 1.0, rate: float = 0.5) -> Dynamics:
    """Competition by dot products.

    Args:
        temperature: temperature of the softmax `[]`, in squared units of the features.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=attention(temperature=temperature, rate=rate, score="dot"))


def cosine(*, temperature: float = 0.1, rate: float = 0.5) -> Dynamics:
    """Competition by cosines.

    Args:
        temperature: temperature of the softmax `[]`, without unit.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=attention(temperature=temperature, rate=rate, score="cosine"))


def mean_shift(*, temperature: float = 1.0, rate: float = 1.0) -> Dynamics:
    """Every token climbs the smoothed density of the features by itself: a softmax over features.

    Args:
        temperature: twice the variance of the smoothing kernel `[]`.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=attention(temperature=temperature, rate=rate, over="features"))


def slots(*, temperature: float = 0.25, rate: float = 1.0) -> Dynamics:
    """The weighted mean of Slot Attention, with the identity for its matrices.

    Args:
        temperature: in units of the published `1 / sqrt(D)` `[]`.
        rate: rate of the attraction `[]`.

    Returns:
        A dynamics with the part ``attract``.
    """
    return compose(attract=slot_attention(temperature=temperature, rate=rate))


def register(name: str, build: Callable[[], Dynamics]) -> None:
    """Add a system to the registry.

    Args:
        name: name of the system.
        build: a function without arguments that returns the dynamics.

    Raises:
        ValueError: the name is already taken.
    """
    if name in CATALOG:
        raise checks.bad("name", "a name that is not taken", repr(name))
    CATALOG[name] = build


def names() -> tuple[str, ...]:
    """The names of the registered systems."""
    return tuple(CATALOG)


def build(name: str) -> Dynamics:
    """The registered system of that name.

    Raises:
        ValueError: no such system.
    """
    return CATALOG[checks.choice("name", name, names())]()


for _method in PUBLISHED_METHODS:
    register(f"published/{_method}", lambda method=_method: published(method))  # type: ignore[misc]
for _system in (soft_kmeans, annealed, repelled, langevin, balanced, dot_product, cosine, mean_shift, slots):
    register(_system.__name__, _system)
