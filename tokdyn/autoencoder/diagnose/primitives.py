"""What the held-out bench composes models from, and the split that was written down before any threshold was set.

A combination takes one primitive from each axis. A primitive is *seen* where thresholds and weights of evidence may
have been looked at with it; *unseen* ones are foreign to them. A foreign fault has no cause in ``REMEDIES``: the only
right answer is "unexplained", or "healthy" where the model survives it. The split is by primitive, since a split by
seed would put each fault on both sides.
"""

from __future__ import annotations

from typing import NamedTuple


class Primitive(NamedTuple):
    """One choice on one axis.

    Attributes:
        axis: data, loss, model, optimiser or metric.
        cause: that a diagnosis should name; "healthy" for a sound choice, "unexplained" for a foreign fault.
        numbers: what it changes in ``composing.PLAIN``.
        seen: whether thresholds may have been looked at with it.
    """

    axis: str
    cause: str
    numbers: dict[str, float]
    seen: bool = True


AXES = ("data", "loss", "model", "optimiser", "metric")
# Sound choices. Losses by number: see composing.LOSSES; bottlenecks: composing.CODES; optimisers: composing.OPTIMISERS.
_SOUND = {
    "even words": Primitive("data", "healthy", {}),
    "skewed words": Primitive("data", "healthy", {"zipf": 0.5}),
    "steeper words": Primitive("data", "healthy", {"zipf": 0.8}, seen=False),
    "cross-entropy": Primitive("loss", "healthy", {}),
    "squared error": Primitive("loss", "healthy", {"loss": 1.0}),
    "smoothed labels": Primitive("loss", "healthy", {"smoothing": 0.1}),
    "binary cross-entropy": Primitive("loss", "healthy", {"loss": 2.0}, seen=False),
    "focal loss": Primitive("loss", "healthy", {"loss": 3.0}, seen=False),
    "margin loss": Primitive("loss", "healthy", {"loss": 4.0}, seen=False),
    "smoother labels": Primitive("loss", "healthy", {"smoothing": 0.3}, seen=False),
    "halved loss": Primitive("loss", "healthy", {"scale": 0.5}),
    "gumbel": Primitive("model", "healthy", {}),
    "straight-through": Primitive("model", "healthy", {"code": 1.0}),
    "sigmoid": Primitive("model", "healthy", {"code": 3.0}),
    "numbers": Primitive("model", "healthy", {"code": 4.0}, seen=False),
    "rounded levels": Primitive("model", "healthy", {"code": 5.0}, seen=False),
    "some dropout": Primitive("model", "healthy", {"dropout": 0.1}),
    "adam": Primitive("optimiser", "healthy", {}),
    "momentum": Primitive("optimiser", "healthy", {"optimiser": 1.0, "learning_rate": 0.5}),
    "some decay": Primitive("optimiser", "healthy", {"decay": 0.01}),
    "rmsprop": Primitive("optimiser", "healthy", {"optimiser": 2.0, "learning_rate": 5e-3}, seen=False),
    "slower adam": Primitive("optimiser", "healthy", {"learning_rate": 6e-3}, seen=False),
    "known text": Primitive("metric", "healthy", {}),
    "no text": Primitive("metric", "healthy", {"text": 0.0}),
}
# Faults that have a name.
_NAMED = {
    "another text": Primitive("data", "data_unlike_stated", {"subset": 0.5}),
    "one word rules": Primitive("data", "constant_predictor", {"common": 0.998}),
    "double softmax": Primitive("loss", "double_softmax", {"double_softmax": 1.0}),
    "shuffled targets": Primitive("loss", "wrong_targets", {"shuffled": 1.0}),
    "targets off by one": Primitive("loss", "wrong_targets", {"shift": 1.0}),
    "merged targets": Primitive("loss", "wrong_targets", {"merged": 2.0}),
    "wrong sign": Primitive("loss", "inverted_loss", {"scale": -1.0}),
    "hot loss": Primitive("loss", "temperature", {"temperature": 300.0}),
    "sampled code": Primitive("model", "no_gradient", {"code": 2.0}),
    "deaf decoder": Primitive("model", "deaf_decoder", {"heard": 0.0}),
    "heavy dropout": Primitive("model", "dropout", {"dropout": 0.97}),
    "published start": Primitive("model", "uninformative_start", {"published": 1.0, "learning_rate": 1e-3}),
    "too slow": Primitive("optimiser", "learning_rate_too_low", {"learning_rate": 1e-4}),
    "too fast": Primitive("optimiser", "learning_rate_too_high", {"learning_rate": 3.0}),
    "decay of 10": Primitive("optimiser", "regularisation_too_strong", {"decay": 10.0}),
    "penalty on weights": Primitive("optimiser", "regularisation_too_strong", {"penalty": 1.0}),
    "frozen encoder": Primitive("optimiser", "frozen_part", {"encoder_rate": 0.0}),
    "unknown words": Primitive("metric", "unknown_words_ceiling", {"unknown": 0.5}),
}
# Foreign faults: no threshold has seen them, but for seven that were named wrongly ("wrong_targets", "dropout",
# "regularisation_too_strong", "learning_rate_too_low"), by which signatures were repaired. They were added in four
# groups, each before it was ever run, and after what the group before it had shown was repaired: from "garbled inputs",
# "clipped answers", "always garbled" and "one word a batch" on.
_FOREIGN = {
    "garbled inputs": Primitive("data", "unexplained", {"garbled": 0.8}, seen=False),
    "colliding inputs": Primitive("data", "unexplained", {"colliding": 2.0}, seen=False),
    "half the words uncounted": Primitive("loss", "unexplained", {"uncounted": 0.5}),
    "reward for doubt": Primitive("loss", "unexplained", {"doubt": 3.0}, seen=False),
    "noise on the code": Primitive("model", "unexplained", {"noise": 30.0}),
    "answers moved after training": Primitive("model", "unexplained", {"moved_answers": 1.0}, seen=False),
    "noisy gradients": Primitive("optimiser", "unexplained", {"gradient_noise": 3.0}, seen=False),
    "decoder climbs": Primitive("optimiser", "unexplained", {"decoder_rate": -1.0}, seen=False),
    "few weights move": Primitive("optimiser", "unexplained", {"moving": 0.03}, seen=False),
    "clipped answers": Primitive("model", "unexplained", {"clip": 0.1}),
    "a neighbour's code": Primitive("model", "unexplained", {"neighbour": 1.0}, seen=False),
    "to and fro": Primitive("optimiser", "unexplained", {"to_and_fro": 1.0}),
    "always garbled": Primitive("data", "unexplained", {"always_garbled": 0.6}, seen=False),
    "loss of the mean answer": Primitive("loss", "unexplained", {"mean_answer": 1.0}),
    "one rival": Primitive("loss", "unexplained", {"one_rival": 1.0}, seen=False),
    "pooled code": Primitive("model", "unexplained", {"pooled": 1.0}, seen=False),
    "scrambled cells": Primitive("model", "unexplained", {"scrambled": 1.0}, seen=False),
    "cells reversed at evaluation": Primitive("model", "unexplained", {"reversed_at_evaluation": 1.0}, seen=False),
    "sign lost": Primitive("optimiser", "unexplained", {"sign_lost": 1.0}, seen=False),
    "misplaced gradients": Primitive("optimiser", "unexplained", {"misplaced": 1.0}, seen=False),
    "late reset": Primitive("optimiser", "unexplained", {"late_reset": 1.0}),
    "one word a batch": Primitive("data", "unexplained", {"one_word": 1.0}, seen=False),
    "reward for any certainty": Primitive("loss", "unexplained", {"any_certainty": 1.0}, seen=False),
    "capped loss": Primitive("loss", "unexplained", {"cap": 0.5}),
    "twin answers": Primitive("model", "unexplained", {"twins": 1.0}, seen=False),
    "answers of another row in training": Primitive("model", "unexplained", {"another_row": 1.0}, seen=False),
    "coarse weights": Primitive("optimiser", "unexplained", {"coarse": 0.5}, seen=False),
    "climbs in the second half": Primitive("optimiser", "unexplained", {"climbs": 1.0}, seen=False),
    "swapped gradients": Primitive("optimiser", "unexplained", {"swapped": 1.0}, seen=False),
}
PRIMITIVES: dict[str, Primitive] = {**_SOUND, **_NAMED, **_FOREIGN}
# Of the combinations of seen primitives, these remainders (of a number made from the names) are for development; no
# threshold or weight has seen the others.
DEVELOPMENT, PARTS = (0, 1), 5
