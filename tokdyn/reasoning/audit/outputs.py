"""Tables of where the model looks and how sure it is: attention, confidence, dependence on the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokdyn.reasoning import diagnose
from tokdyn.reasoning.audit.schema import Run
from tokdyn.reasoning.audit.tables import Settings, frame
from tokdyn.reasoning.diagnose.arrays import log_softmax
from tokdyn.reasoning.diagnose.attention import ORDERS


def narrowed(run: Run, settings: Settings, order: str = ORDERS[0]) -> diagnose.Narrowing:
    """``diagnose.attention_narrowing`` at latents against answers."""
    return diagnose.attention_narrowing(
        settings.key, *[run.arrays[name] for name in ("attention", "image_keys", "latent_queries", "answer_queries")],
        order=order, **settings.resampled,
    )  # fmt: skip


def looked(run: Run, settings: Settings, who: str = "latent") -> diagnose.RelevantAttention:
    """``diagnose.relevant_attention`` of the queries of latents, or of the answer."""
    return diagnose.relevant_attention(
        settings.key, *[run.arrays[name] for name in ("attention", "image_keys", f"{who}_queries", "relevant_keys")],
        **settings.resampled,
    )  # fmt: skip


def narrowing(run: Run, settings: Settings) -> Any:
    """``diagnose.attention_narrowing`` at latents against answers, in both orders of averaging."""
    rows = []
    for order in ORDERS:
        found = narrowed(run, settings, order)
        row: dict[str, Any] = {"order": order, "latent": float(found.latent_entropy.mean())}
        row["answer"] = float(found.answer_entropy.mean())
        row |= {"difference": found.difference.estimate, "low": found.difference.low, "high": found.difference.high}
        row |= {"normalised": found.normalised_difference.estimate}
        row |= {"latent_mass": found.latent_mass, "answer_mass": found.answer_mass, "n": int(found.included.sum())}
        rows.append(row)
    return frame(rows)


def relevant_attention(run: Run, settings: Settings) -> Any:
    """``diagnose.relevant_attention`` of the latents, and of the answer where its queries are known."""
    rows: list[dict[str, Any]] = []
    for who in ("latent", "answer"):
        if f"{who}_queries" not in run.arrays:
            continue
        try:
            found = looked(run, settings, who)
        except ValueError:  # where answers cannot see the image, latents still may
            if who == "answer" and rows:
                continue
            raise
        row: dict[str, Any] = {"queries": who, "share": found.share.estimate, "area": found.area}
        row |= {"excess": found.excess.estimate, "low": found.excess.low, "high": found.excess.high}
        rows.append(row | {"enrichment": found.enrichment, "mass": found.mass, "n": int(found.included.sum())})
    return frame(rows)


def confidence(run: Run, settings: Settings) -> Any:
    """How sure the answer is (``diagnose.confidence``), and how that goes with being right (``diagnose.relation``)."""
    logits = run.arrays["logits"]
    found = diagnose.confidence(logits, num_likeliest=min(settings.num_likeliest, logits.shape[1]))
    rows = []
    for name in ("maximum", "entropy", "truncated_entropy", "renormalised_entropy", "tail_mass"):
        values = np.asarray(getattr(found, name), np.float64)
        if name == "maximum":  # which rounding may take past 1
            values = np.clip(values, 0, 1)
        # Entropies and the tail fall as the model gets surer.
        row = _related(run, settings, values if name == "maximum" else -values, calibrate=name == "maximum")
        rows.append({"measure": name, "mean": float(values.mean()), **row})
    return frame(rows)


def dependence(run: Run, settings: Settings) -> Any:
    """``diagnose.visual_dependence`` of answer and text on every changed input, and whether it goes with being right.

    The answer is the choice that was given (the likeliest, where no answers were saved); one that could not be read
    does not count.
    """
    rows = []
    for words, pattern in (("answer", "input/*/logits"), ("text", "input/*/word_log_probability")):
        for name, changed in run.named(pattern).items():
            mask: np.ndarray | None
            if words == "answer":
                seen, blind, mask = of_answer(run, changed)
            elif "word_log_probability" not in run.arrays:
                continue
            else:
                seen, blind, mask = run.arrays["word_log_probability"], changed, run.arrays.get("word_mask")
            found = diagnose.visual_dependence(seen, blind, mask=mask)
            mean, count = np.asarray(found.mean, np.float64), int(found.num_words.sum())
            total = float((np.asarray(found.score, np.float64)).sum() / max(count, 1))
            row = {"words": words, "input": name, "mean": total, "share": float(found.total_share), "count": count}
            rows.append(row | _related(run, settings, mean))
    return frame(rows)


def of_answer(run: Run, changed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probability of the answer with the own and with the changed input `[items, 1]`, and where there is one."""
    answers = run.arrays.get("answers", run.arrays["logits"].argmax(axis=-1))
    pick = np.maximum(answers, 0)[:, None]
    pair = (np.take_along_axis(log_softmax(logits), pick, axis=-1) for logits in (run.arrays["logits"], changed))
    return *pair, (answers >= 0)[:, None]


def _related(run: Run, settings: Settings, measure: np.ndarray, *, calibrate: bool = False) -> dict[str, Any]:
    found = diagnose.relation(
        measure, run.right, run.arrays.get("controls"), calibrate=calibrate, level=1 - settings.alpha
    )  # fmt: skip
    row: dict[str, Any] = {"correlation": float(found.plain.estimate), "controlled": float(found.controlled.estimate)}
    row["p_value"] = float(found.controlled.p_value)
    if found.area is not None:
        row |= {"roc_area": float(found.area.estimate)}
        row |= {"roc_low": float(found.area.low), "roc_high": float(found.area.high)}
    if found.calibration is not None:
        row |= {"calibration_error": float(found.calibration.expected)}
        row |= {"if_calibrated": float(found.calibration.expected_if_calibrated)}
    return row | {"n": found.n}
