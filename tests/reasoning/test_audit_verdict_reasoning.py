"""The verdict on simulated machines whose use of latents is known, through the documented file."""

import numpy as np
import pytest

from tokdyn.reasoning import audit

CHOICES = 4


def machine(rng, items, share, *, fires=True):
    """A file's arrays: answers of `share` of items go where the donor's latents point, the others do not move."""
    targets = rng.integers(0, CHOICES, items)
    pointed = (targets + rng.integers(1, CHOICES, items)) % CHOICES
    follows = rng.random(items) < share
    logits = rng.normal(0, 0.1, (items, CHOICES)).astype(np.float32)
    moved = logits + rng.normal(0, 0.1, (items, CHOICES)).astype(np.float32) if fires else logits.copy()
    own, given = np.eye(CHOICES, dtype=np.float32)[targets], np.where(follows & fires, pointed, targets)
    return {
        "targets": targets, "answers": targets, "logits": logits + 9 * own,
        "arm/donor/answers": given, "arm/donor/donor_targets": pointed,
        "arm/donor/logits": moved + 9 * np.eye(CHOICES, dtype=np.float32)[given],
    }  # fmt: skip


def verdict(arrays, path):
    np.savez(path, **arrays)
    return audit.audit(audit.load(path), num_resamples=20).verdict


@pytest.mark.parametrize("items", [50, 200, 2000])
@pytest.mark.parametrize(("share", "words"), [(1.0, "About 100 %"), (0.3, "About "), (0.0, "Whether answers follow")])
def test_known_use_is_stated_with_its_interval(items, share, words, tmp_path):
    said = verdict(machine(np.random.default_rng(items), items, share), tmp_path / "run.npz")
    assert said.startswith(words)
    low, high = (float(end) / 100 for end in said[said.index("[") + 1 : said.index("]")].split(","))
    assert low <= share <= high


def test_a_hook_that_did_not_fire_is_said_first_and_a_real_null_is_not_accused(tmp_path):
    rng = np.random.default_rng(0)
    said = verdict(machine(rng, 200, 1.0, fires=False), tmp_path / "run.npz")
    assert said.startswith("Arm 'donor' did nothing: did the hook fire? Its answers and logits equal the clean run's")
    assert said.endswith("cannot be told: no arm did anything.")
    assert "did nothing" not in verdict(machine(rng, 200, 0.0), tmp_path / "run.npz")
