"""The verdict on simulated machines whose use of latents is known, through the documented file."""

import numpy as np
import pandas as pd
import pytest

from tokdyn.reasoning import audit
from tokdyn.reasoning.audit import verdicts

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
@pytest.mark.parametrize(("share", "words"), [(1.0, "About 100 %"), (0.3, "About "), (0.0, "At most ")])
def test_known_use_is_stated_with_its_interval(items, share, words, tmp_path):
    said = verdict(machine(np.random.default_rng(items), items, share), tmp_path / "run.npz")
    assert said.startswith(words)
    low, high = (float(end) / 100 for end in said[said.index("[") + 1 : said.index("]")].split(","))
    assert low <= share <= high


def test_latents_that_the_image_makes_redundant_are_said_to_be_enough_and_not_needed(tmp_path):
    """Beside the image nobody follows a donor; without it all do: both are said, with an interval each."""
    rng = np.random.default_rng(1)
    arrays, hidden = machine(rng, 400, 0.0), machine(rng, 400, 1.0)
    for name in ("answers", "donor_targets", "logits"):
        arrays[f"arm/donor, image hidden/{name}"] = hidden[f"arm/donor/{name}"]
    pointed = arrays["arm/donor, image hidden/donor_targets"] = (arrays["targets"] + 1) % CHOICES
    arrays["arm/donor, image hidden/answers"] = pointed
    arrays["arm/donor, image hidden/logits"] = 9 * np.eye(CHOICES, dtype=np.float32)[pointed]
    said = verdict(arrays, tmp_path / "run.npz")
    assert "At most 1 % of answers follow the donor's latents in 'donor' [0, 1]." in said
    assert "About 100 % of answers follow the donor's latents in 'donor, image hidden' [99, 100]." in said


@pytest.mark.parametrize(("items", "share"), [(50, 0.3), (200, 0.03), (2000, 0.3)])
def test_intervals_hold_the_truth_as_often_as_they_say(items, share):
    """Clopper and Pearson's are at least exact: of 2,000 draws at most 5 % and 4 standard errors miss."""
    followed, missed = np.random.default_rng(items).binomial(items, share, 2000), 0
    for count in followed:
        rate = count / items
        row = pd.Series({"arm": "donor", "lift": rate, "low": rate, "high": rate, "control_rate": 0.0,
                         "donor_rate": rate, "n": items})  # fmt: skip
        said = verdicts._donor(row, 0.05)
        low, high = (float(end) / 100 for end in said[said.index("[") + 1 : said.index("]")].split(","))
        missed += not low <= share <= high
    assert missed / 2000 <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_zeros_that_cost_more_than_the_mean_may_be_a_shock():
    """A sentence where they differ, none where they do not, and none where the mean costs more."""
    items = np.arange(200)
    arms = {"mean slots": items < 10, "zero slots": items < 60, "zero": items < 12, "mean": items < 80}
    arrays = {f"arm/{name}/right": ~wrong for name, wrong in arms.items()}
    run = audit.checked({"right": np.ones(200, bool), **arrays})
    said = verdicts.shock(run)
    assert len(said) == 1
    assert said[0].startswith("Arm 'zero slots' costs 0.250 more accuracy than 'mean slots' (")


def test_a_hook_that_did_not_fire_is_said_first_and_a_real_null_is_not_accused(tmp_path):
    rng = np.random.default_rng(0)
    said = verdict(machine(rng, 200, 1.0, fires=False), tmp_path / "run.npz")
    assert said.startswith("Arm 'donor' did nothing: did the hook fire? Its answers and logits equal the clean run's")
    assert said.endswith("cannot be told: no arm did anything.")
    assert "did nothing" not in verdict(machine(rng, 200, 0.0), tmp_path / "run.npz")
