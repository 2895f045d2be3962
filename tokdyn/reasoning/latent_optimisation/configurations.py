"""Published optimisations of latent tokens, as values, and the controls that each should stand beside.

What is known of them, and where text and code differ (papers, and the released code of DMLR and LTPO, were read):

| | DMLR, paper | DMLR, code | LTPO, code | LatentSeek |
|---|---|---|---|---|
| latent tokens | 4 | 8 (script: 2) | 10 (script: 8) | the first tenth of a greedy answer, at most 300 |
| iterations | 15 | 20 (script: 15) | 10 | at most 10 |
| learning rate | 1e-3, gradient ascent | 5e-3 (script: 1e-2) | 0.03 (script: 0.04) | 0.03, Adam |
| sigma | 10 % | 20 (script: 25), times 0.95 an iteration | 0.1 (script: 4), times 0.99 (0.9) | none |
| gradient | R eps / sigma^2 | the same, one sample, no baseline | the same | R times that of log pi(x given z) |
| reward | 1 - truncated entropy | minus mean top-10 log-probability | the same | verifier's, stop above -0.2 |
| read at | L latent positions | L + 1 positions | L + 1 positions | the whole answer |
| remembered | the best candidate | the step after the best sample | the same | - |
| patches | 2 for each latent token | up to 16, start 1, one more with each new best | - | - |
| last pass | with the patches | without any | - | the tokens argmax(z), then decoding |

Numbers below are the released defaults (LTPO: those of its script). An absolute sigma is in units of another model's
embeddings: for a model of your own choose anew, or use ``unit="relative"``. "dmlr, code" has the released reward,
update and memory, with our injection: there, sample and patches are tested together in one pass, each latent token has
a budget of its own, and what is injected are the vectors of placeholder tokens, since reward passes see no picture.

References:
    DMLR: arXiv 2512.12623, code eric-ai-lab/DMLR (881c21a). LTPO: arXiv 2510.04182, code ltpo2025/LTPO (4fa1be3).
    LatentSeek: arXiv 2505.13308, code bigai-nlco/LatentSeek (9f42eab).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import optax

from tokdyn import checks
from tokdyn.dynamics.parts import part, static
from tokdyn.reasoning.latent_optimisation.ascent import ACCEPTS, DIRECTIONS

OPTIMISERS = {"sgd": optax.sgd, "adam": optax.adam}
READS = ("slots", "slots, inclusive", "answer")


@part
class Configuration:
    """How latent tokens are optimised; change fields with ``dataclasses.replace``.

    Four numbers and two flags are leaves of a pytree, traced and mapped over by vmap; all else chooses the program.

    Attributes:
        sigma: standard deviation of perturbations, at the first iteration.
        sigma_decay: factor of sigma at each iteration.
        learning_rate: of the optimiser.
        enough: stop where the best reward exceeds it; None never stops.
        num_steps: iterations.
        num_samples: perturbed rewards of an iteration.
        baseline: as in ``optimise``.
        antithetic: as in ``optimise``.
        unit: of sigma, as in ``optimise``.
        optimiser: "sgd" or "adam".
        estimator: as in ``optimise``; "policy" takes the log-probability of each latent token's likeliest word.
        direction: as in ``optimise``.
        accept: as in ``optimise``.
        scored: as in ``optimise``.
        reward: a name of ``CONFIDENCES`` or ``ORACLES``.
        k: words that a confidence counts.
        read: what a confidence is measured on: "slots" (the word after each slot), "slots, inclusive" (after the start
            marker too), or "answer".
        share: of the slots, rounded up and the first ones, that are optimised; the others keep the clean run's latents.
        patches: for each slot, patches that a candidate adds at each iteration; 0 for no injection.
        start_patches: patches that are injected from the start, unasked.
        most_patches: most patches ever injected; None for all.
        decode_patches: whether the last pass reads the injected patches.
        turned: whether the direction is "random", whatever ``direction`` says `[]` bool; None: as it says.
        strict: whether only "improvements" are accepted, whatever ``accept`` says `[]` bool; None: as it says.
    """

    sigma: Any
    sigma_decay: Any
    learning_rate: Any
    enough: Any
    num_steps: int = static()
    num_samples: int = static()
    baseline: str = static()
    antithetic: bool = static()
    unit: str = static()
    optimiser: str = static()
    estimator: str = static()
    direction: str = static()
    accept: str = static()
    scored: str = static()
    reward: str = static()
    k: int = static()
    read: str = static()
    share: float = static()
    patches: int = static()
    start_patches: int = static()
    most_patches: int | None = static()
    decode_patches: bool = static()
    turned: Any = None
    strict: Any = None


def controls(configuration: Configuration) -> dict[str, Configuration]:
    """The four pairs of direction and acceptance, which evaluate the reward equally often.

    Every iteration is judged by the reward of the latent it ends at, so that what is accepted is what was scored.

    Args:
        configuration: with estimator "perturbations" or another; all else is kept.

    Returns:
        ``{"reinforce, all": ..., "reinforce, improvements": ..., "random, all": ..., "random, improvements": ...}``.

    Example:
        >>> from tokdyn.reasoning.latent_optimisation import CONFIGURATIONS, controls
        >>> list(controls(CONFIGURATIONS["dmlr"]))[2:]
        ['random, all', 'random, improvements']
    """
    if not isinstance(configuration, Configuration):
        raise checks.bad("configuration", "a Configuration", f"a {type(configuration).__name__}")
    return {
        f"{direction}, {accept}": dataclasses.replace(configuration, direction=direction, accept=accept, scored="step")
        for direction in DIRECTIONS
        for accept in ACCEPTS
    }


def in_one_program(configuration: Configuration) -> Configuration:
    """The same, with direction and acceptance as flags: the four of ``controls`` are then one program.

    Args:
        configuration: any; the draws of a random direction cost a "reinforce" some compiling.

    Example:
        >>> import jax
        >>> from tokdyn.reasoning.latent_optimisation import CONFIGURATIONS, controls, in_one_program
        >>> made = [in_one_program(one) for one in controls(CONFIGURATIONS["dmlr"]).values()]
        >>> len({jax.tree.structure(one) for one in made}), [bool(one.turned) for one in made]
        (1, [False, False, True, True])
    """
    turned, strict = configuration.direction == "random", configuration.accept == "improvements"
    return dataclasses.replace(
        configuration, direction=DIRECTIONS[0], accept=ACCEPTS[0], turned=np.bool_(turned), strict=np.bool_(strict)
    )


# One sample and no baseline, as the text gives the update; k is that of the code, the text names none.
_DMLR = Configuration(
    sigma=0.1, sigma_decay=1.0, learning_rate=1e-3, enough=None,
    num_steps=15, num_samples=1, baseline="none", antithetic=False, unit="relative", optimiser="sgd",
    estimator="perturbations", direction="reinforce", accept="all", scored="sample",
    reward="truncated_confidence", k=10, read="slots", share=1.0,
    patches=2, start_patches=2, most_patches=None, decode_patches=True,
)  # fmt: skip
_CODE = dataclasses.replace(
    _DMLR, sigma=20.0, sigma_decay=0.95, learning_rate=5e-3, num_steps=20, unit="absolute", scored="sample_as_step",
    reward="topk_log_probability", read="slots, inclusive",
    patches=1, start_patches=1, most_patches=16, decode_patches=False,
)  # fmt: skip

CONFIGURATIONS = {
    "dmlr": _DMLR,
    "dmlr, code": _CODE,
    "ltpo": dataclasses.replace(
        _CODE, sigma=4.0, sigma_decay=0.9, learning_rate=0.04, num_steps=10,
        patches=0, start_patches=0, most_patches=None,
    ),
    "latentseek": dataclasses.replace(
        _DMLR, learning_rate=0.03, enough=-0.2, num_steps=10, optimiser="adam", estimator="policy", scored="step",
        reward="sparse_reward", read="answer", share=0.1, patches=0, start_patches=0,
    ),
    **controls(_DMLR),
}  # fmt: skip
