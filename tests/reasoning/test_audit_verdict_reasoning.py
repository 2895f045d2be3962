"""The verdict on simulated machines whose use of latents is known, through the documented file."""

import numpy as np
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


def test_zeros_that_cost_more_than_the_mean_may_be_a_shock():
    """A sentence where they differ, none where they do not, and none where the mean costs more."""
    items = np.arange(200)
    arms = {"mean slots": items < 10, "zero slots": items < 60, "zero": items < 12, "mean": items < 80}
    arrays = {f"arm/{name}/right": ~wrong for name, wrong in arms.items()}
    run = audit.checked({"right": np.ones(200, bool), **arrays})
    said = verdicts.shock(run)
    assert len(said) == 1
    assert said[0].startswith("Arm 'zero slots' costs 0.250 more accuracy than 'mean slots' (")


def foreign(rng, items, share, *, right=1.0, unrelated=False, choices=CHOICES, shock=0.0):
    """Donors are the next items, so that some point at the own answer; the run errs; the control may be a swap too."""
    targets = rng.integers(0, choices, items)
    pointed = np.roll(targets, -1)
    clean = np.where(rng.random(items) < right, targets, rng.integers(0, choices, items))
    follows, breaks = rng.random(items) < share, rng.random(items) < shock

    def answered(followed):
        broken = np.where(breaks, rng.integers(0, choices, items), clean)
        return np.where(follows, followed, broken)

    arrays = {"targets": targets, "answers": clean, "arm/donor/answers": answered(pointed),
              "arm/donor/donor_targets": pointed}  # fmt: skip
    if unrelated:
        arrays["arm/other/answers"] = answered(rng.integers(0, choices, items))
        arrays["arm/donor/control"] = np.array("other")
    return arrays


def ends(said):
    return tuple(float(end) / 100 for end in said[said.index("[") + 1 : said.index("]")].split(","))


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize(
    "options", [{}, {"unrelated": True}, {"right": 0.6}, {"shock": 1.0}, {"shock": 0.5, "right": 0.6}]
)
def test_use_is_stated_whatever_the_control_the_accuracy_and_the_shock(share, options):
    """The lift over an unrelated donor said "about 69 % [62, 76]" of a machine whose answers all follow."""
    held = 0
    for seed in range(40):
        said = audit.audit(foreign(np.random.default_rng(seed), 300, share, **options), num_resamples=20).verdict
        assert said.startswith("About ")
        low, high = ends(said)
        held += low <= share <= high
        assert ("With its own latents the run is right in" in said) == ("right" in options)
    assert held >= 34  # 38 expected; fewer than 34 of 40 have a chance below 0.01 at 95 %


def test_answers_that_only_break_follow_nobody():
    alarms = 0
    for seed in range(40):
        arrays = foreign(np.random.default_rng(seed), 300, 0.0, shock=1.0, unrelated=bool(seed % 2))
        alarms += audit.audit(arrays, num_resamples=20).verdict.startswith("About ")
    assert alarms <= 4


def test_with_two_choices_following_and_breaking_look_alike():
    for options in ({"share": 1.0, "unrelated": True}, {"share": 0.3}, {"share": 0.0, "shock": 1.0, "unrelated": True}):
        said = audit.audit(foreign(np.random.default_rng(0), 300, choices=2, **options), num_resamples=20).verdict
        words = said.split()
        assert words[0] == "Between"
        assert float(words[1]) / 100 <= options["share"] <= float(words[3]) / 100
        assert "look alike" in said


def test_mediation_and_donors_are_both_said():
    rng = np.random.default_rng(0)
    margins = rng.normal(2, 0.1, 300)
    runs = {"factual": margins, "both_exchanged": -margins, "image_exchanged": -0.5 * margins,
            "latents_exchanged": 0.5 * margins}  # fmt: skip
    arrays = foreign(rng, 300, 0.3) | {f"mediation/{name}": row for name, row in runs.items()}
    said = audit.audit(arrays, num_resamples=50).verdict
    assert "of the effect of the image passes through the latents [" in said
    assert "of answers follow the donor's latents in 'donor' [" in said


def seldom(items, share):
    """Margins of a machine whose image speaks through latents alone, which only some items have."""
    rng = np.random.default_rng(0)
    used = rng.random(items) < share
    margins = rng.normal(2, 0.1, items)
    moved = np.where(used, -margins, margins)
    runs = {"factual": margins, "both_exchanged": moved, "image_exchanged": margins, "latents_exchanged": moved}
    return {"right": np.ones(items, bool), "triggered": used} | {f"mediation/{name}": row for name, row in runs.items()}


def test_what_passes_through_latents_that_few_items_have():
    arrays = seldom(400, 0.03)
    said = audit.audit(arrays, num_resamples=50).verdict
    count = int(arrays["triggered"].sum())
    assert (
        f"Latents were used in {count / 400:.1%} of items: what passes through latents does so in these {count} "
        in said
    )
    arrays["mediation/latents_exchanged"] = -arrays["mediation/factual"]
    said = audit.audit(arrays, num_resamples=50).verdict
    assert "exchanging latents changes the margin in items that have none: what was exchanged there?" in said


@pytest.mark.parametrize("costs", [False, True])
def test_latents_that_steer_answers_and_are_not_needed(costs):
    """Redundant with the image: half of the answers follow a donor, and without latents all stay right."""
    rng = np.random.default_rng(2)
    arrays = foreign(rng, 400, 0.5)
    kept = arrays["answers"]
    arrays["arm/removed/answers"] = (
        np.where(rng.random(400) < 0.3, (kept + 1) % CHOICES, kept) if costs else kept.copy()
    )
    arrays["arm/removed/answers"][0] = (kept[0] + 1) % CHOICES  # the hook fired
    said = audit.audit(arrays, num_resamples=20).verdict
    assert ("Yet with 'removed' accuracy changes by at most 0." in said) == (not costs)
    assert "of answers follow the donor's latents in 'donor' [" in said


def test_rounding_is_no_intervention():
    """A hook that did not fire, on a machine that adds in another order."""
    arrays = machine(np.random.default_rng(0), 200, 1.0, fires=False)
    arrays["arm/donor/logits"] = arrays["logits"] * np.float32(1 + 1e-5)
    said = audit.audit(arrays, num_resamples=20).verdict
    assert said.startswith("Arm 'donor' did nothing but rounding: did the hook fire? No answer of 200 changes")
    arrays["arm/donor/logits"] = arrays["logits"] + np.float32(0.1)
    assert "rounding" not in audit.audit(arrays, num_resamples=20).verdict


def test_two_arms_that_are_one_run_are_said():
    arrays = machine(np.random.default_rng(0), 200, 0.3)
    for name in ("answers", "logits"):
        arrays[f"arm/mean/{name}"] = arrays[f"arm/donor/{name}"].copy()
    said = audit.audit(arrays, num_resamples=20).verdict
    assert "Arms 'donor' and 'mean' are one run: their answers and logits are equal on all 200 items." in said
    arrays["arm/mean/logits"][0, 0] += 1
    assert "are one run" not in audit.audit(arrays, num_resamples=20).verdict


def test_items_that_an_arm_left_alone_are_counted():
    arrays = machine(np.random.default_rng(0), 200, 0.3)
    alone = np.arange(200) < 150
    arrays["arm/donor/logits"][alone] = arrays["logits"][alone]
    arrays["arm/donor/answers"][alone] = arrays["answers"][alone]
    found = audit.audit(arrays, num_resamples=20).findings
    assert any("leaves the logits of 75.0% of items as they were" in said for said in found)


def test_a_run_that_only_guesses_has_nothing_to_lose():
    """No arm changes the accuracy of a run at chance, whatever it uses."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 4, 400) for name in ("targets", "answers", "arm/zero/answers")}
    found = audit.audit(arrays, num_resamples=20)
    assert found.verdict.startswith("Whether the answer uses the latents cannot be told: the clean run is right in 2")
    assert any(said.startswith("Floor: ") for said in found.findings)
    arrays["answers"] = arrays["targets"]
    found = audit.audit(arrays, num_resamples=20)
    assert "cannot be told" not in found.verdict
    assert any(said.startswith("Ceiling: ") for said in found.findings)


def test_a_hook_that_did_not_fire_is_said_first_and_a_real_null_is_not_accused(tmp_path):
    rng = np.random.default_rng(0)
    said = verdict(machine(rng, 200, 1.0, fires=False), tmp_path / "run.npz")
    assert said.startswith("Arm 'donor' did nothing: did the hook fire? Its answers and logits equal the clean run's")
    assert said.endswith("cannot be told: no arm did anything.")
    assert "did nothing" not in verdict(machine(rng, 200, 0.0), tmp_path / "run.npz")


def test_answers_that_cannot_be_read_are_told_beside_the_change_of_accuracy(tmp_path):
    """An arm that only breaks the format in a third of the items: it was "changes accuracy by" and no more."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 4, 300)
    readable = np.arange(300) % 3 > 0
    arrays = {"targets": targets, "answers": targets, "parsed": np.ones(300, bool), "arm/cut/parsed": readable}
    arrays["arm/cut/answers"] = np.where(readable, targets, -1)
    np.savez(tmp_path / "run.npz", **arrays)
    found = audit.audit(audit.load(tmp_path / "run.npz"))
    said = [line for line in found.findings if "'cut'" in line]
    assert any("no readable answer in 33.3% of items" in line for line in said), said
