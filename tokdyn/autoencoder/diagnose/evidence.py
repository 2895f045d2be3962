"""Weights of evidence: how much oftener a cause's condition holds with that cause than with any other or none."""

from __future__ import annotations

import math

from tokdyn.autoencoder.diagnose.causes import Check

# Counted over the development part of the held-out bench: models with the cause, those of them whose condition held,
# models without it, and those of them whose condition held all the same.
COUNTS: dict[str, tuple[int, int, int, int]] = {
    "constant_predictor": (4, 3, 73, 0),
    "data_unlike_stated": (5, 5, 72, 0),
    "deaf_decoder": (4, 4, 73, 0),
    "double_softmax": (5, 5, 72, 0),
    "dropout": (6, 6, 71, 0),
    "frozen_part": (1, 1, 76, 0),
    "inverted_loss": (5, 5, 72, 0),
    "learning_rate_too_high": (3, 3, 74, 0),
    "learning_rate_too_low": (3, 3, 74, 7),
    "no_gradient": (5, 5, 72, 4),
    "regularisation_too_strong": (13, 13, 64, 0),
    "temperature": (4, 4, 73, 0),
    "uninformative_start": (5, 5, 72, 0),
    "unknown_words_ceiling": (4, 4, 73, 0),
    "wrong_targets": (10, 10, 67, 0),
}


def weight_of(check: Check) -> float:
    r"""The weight of evidence of a check in nats `[]`: infinite for a proof, 0 where its condition does not hold.

    `\ln \frac{(h + 1/2) / (n + 1)}{(f + 1/2) / (m + 1)}` for h of n models with the cause and f of m without it. A
    cause that the bench does not plant has the weight 1, below all that it does.
    """
    if not check.verdict:
        return 0.0
    if check.certain:
        return math.inf
    if check.name not in COUNTS:
        return 1.0
    models, held, others, false = COUNTS[check.name]
    return math.log((held + 0.5) / (models + 1.0)) - math.log((false + 0.5) / (others + 1.0))
