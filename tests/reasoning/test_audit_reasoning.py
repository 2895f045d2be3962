"""An audit of saved arrays says what the diagnostics say in process, and says which array is wrong or missing."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import tiny

from tokdyn import reasoning
from tokdyn.reasoning import audit, diagnose
from tokdyn.reasoning import interventions as do

OPTIONS = {"num_resamples": 100, "confidence": 0.95}
ARMS = {
    "donor": do.swap("slots", site="cache"),
    "unrelated": do.swap("slots", site="cache", donor="unrelated"),
    "off": do.remove("slots"),
}
MARGINS = dict(zip(("factual", "image_exchanged", "latents_exchanged", "both_exchanged"), range(4), strict=True))


def compiled(function, *static):
    """What the audit computes in NumPy, as one program: the same text must say the same."""
    return jax.jit(function, static_argnames=static)


@pytest.fixture(scope="module")
def key():
    return jax.random.key(3)


@pytest.fixture(scope="module")
def told(tmp_path_factory, key):
    """A shipped reasoner's items, outputs in process, and the audit of the same run from a file."""
    one = reasoning.shipped.load("bypassed")
    model, task = one.reference.model, one.reference.task
    items = tiny.drawn(task, 60, seed=11)
    draw = np.random.default_rng(12).normal
    # Noise on the pictures: some answers are wrong, as they are in life.
    items = items._replace(image=items.image + 0.5 * draw(size=items.image.shape).astype(np.float32))
    pointed = np.roll(items.answer[:, 0], -1)
    normal = lambda *shape: draw(size=shape).astype(np.float32)  # noqa: E731
    more = {f"mediation/{name}": normal(60) + i for name, i in MARGINS.items()}
    more |= {"base": "off", "latent_targets": normal(60, 2, 32), "other_task_latents": normal(9, 2, 32)}
    more |= {"word_log_probability": -np.abs(normal(60, 3)), "word_mask": normal(60, 3) > 0}
    more |= {"input/blank/word_log_probability": -np.abs(normal(60, 3)), "controls": normal(60)}
    run = audit.as_run(
        model, task, one.variables, items, ARMS, key=key, donor_targets={"donor": pointed},
        control={"donor": "unrelated"}, name="bypassed, noisy pictures", more=more,
    )  # fmt: skip
    path = audit.save(tmp_path_factory.mktemp("run") / "run", run)
    found = audit.audit(audit.load(path), key=key, num_resamples=100)
    alone = jax.jit(lambda items: reasoning.run_arms(model, one.variables, items, ARMS, key=key))
    clean, results = jax.device_get(alone(items))
    return one, items, clean, results, more, run, found


@pytest.fixture(scope="module")
def other(told):
    """Each item with the next one's picture."""
    one, items, *_ = told
    given = items._replace(image=np.roll(items.image, -1, axis=0))
    return jax.device_get(jax.jit(one.reference.model.apply)(one.variables, given)[0])


def close(left, right):
    np.testing.assert_allclose(np.asarray(left, float), np.asarray(right, float), rtol=1e-6, atol=1e-6)


def test_arms_are_those_of_the_effects_table(told, key):
    one, items, clean, results, more, _, found = told
    right = np.asarray(items.answer[:, 0])
    answers = {"clean": np.asarray(clean.answer[:, 0])}
    answers |= {name: np.asarray(arm.answer[:, 0]) for name, arm in results.items()}
    lengths = {"clean": clean.length} | {name: arm.length for name, arm in results.items()}
    expected = diagnose.effects_table(
        key,
        {name: values == right for name, values in answers.items()},
        reference="clean",
        num_resamples=100,
        trigger_rate={name: np.mean(np.asarray(values) > 0) for name, values in lengths.items()},
        parse_rate={name: np.isin(values, one.reference.task.choices).mean() for name, values in answers.items()},
    )
    table = found.tables["arms"].set_index("arm")
    assert 0 < expected.loc["clean", "accuracy"] < 1
    for column in expected:
        if column in ("test", "verdict"):
            assert table[column].tolist() == expected[column].tolist()
        else:
            close(table[column], expected[column])

    pointed = np.roll(right, -1)
    lift = diagnose.donor_lift(key, answers["donor"], pointed, right, control_answers=answers["unrelated"], **OPTIONS)
    row = found.tables["donors"].iloc[0]
    close(
        row[["lift", "low", "high", "donor_rate", "other_rate", "n"]],
        [lift.lift.estimate, lift.lift.low, lift.lift.high, lift.donor_rate, lift.other_rate, lift.n],
    )

    def margins(logits):
        logits = np.asarray(logits[:, 0], float)
        every = np.arange(len(right))
        return (logits[every, pointed] - logits[every, right])[lift.eligible]

    shift = diagnose.margin_shift(
        key, margins(clean.logits), margins(results["donor"].logits), margins(results["unrelated"].logits), **OPTIONS
    )
    close(
        row[["margin_shift", "margin_excess", "margin_excess_low"]],
        [shift.shift.estimate, shift.excess.estimate, shift.excess.low],
    )

    base = answers["off"] == right
    kept = diagnose.gain_retained(
        key, answers["donor"] == right, base, answers["clean"] == right, base_name="off", **OPTIONS
    )
    gains = found.tables["gains"].set_index("arm").loc["donor"]
    close(
        gains[["gain", "gain_low", "percent_low"]],
        [kept.denominator.estimate, kept.denominator.low, 100 * kept.fieller.low],
    )
    assert np.isnan(gains["percent_retained"]) == (kept.percent is None)

    effects = diagnose.mediation(key, *(more[f"mediation/{name}"] for name in MARGINS), **OPTIONS)
    expected = [[each.estimate, each.low, each.high] for each in effects[:4]]
    close(found.tables["mediation"][["estimate", "low", "high"]][:4], expected)


def test_answers_move_as_in_process(told):
    one, items, clean, results, more, _, found = told
    choices = np.asarray(one.reference.task.choices)
    right = np.asarray(items.answer[:, 0]) - choices[0]
    for row in found.tables["answer_changes"].to_dict("records"):
        after = results[row["arm"]].logits[:, 0, choices]
        change = compiled(diagnose.answer_change)(clean.logits[:, 0, choices], after, right)
        close(
            [row["flip_rate"], row["log_probability_shift"], row["divergence"]],
            [change.flipped.mean(), change.shift.mean(), change.divergence.mean()],
        )
    sure = compiled(diagnose.confidence, "num_likeliest")(clean.logits[:, 0, choices], num_likeliest=9)
    correct = np.asarray(clean.answer == items.answer)[:, 0]
    related = diagnose.relation(np.asarray(sure.maximum, float), correct, more["controls"], calibrate=True)
    row = found.tables["confidence"].set_index("measure").loc["maximum"]
    close(row[["mean", "controlled"]], [sure.maximum.mean(), related.controlled.estimate])
    close(row[["roc_area", "calibration_error"]], [related.area.estimate, related.calibration.expected])


def test_latents_are_those_of_the_model(told, other):
    one, items, clean, _, more, run, found = told
    model, variables = one.reference.model, one.variables
    latents = clean.latents
    words = variables["params"]["word_vectors"]
    patches = jax.jit(jax.vmap(lambda image: model.of_patches(variables, image)))(items.image[:32])
    patches = np.asarray(patches).reshape(-1, model.width)
    expected = diagnose.similarity_table(latents, {"words": words, "patches": patches})
    table = found.tables["similarity"]
    assert table["set"].tolist() == expected["set"].tolist()
    close(table["cosine"], expected["cosine"])
    within = found.tables["within_items"].set_index("space")["cosine"]
    alike = compiled(diagnose.similarity, "space")(latents, space="centred")
    close(within["centred"], alike.within_items[0, 1])
    worn = compiled(diagnose.degeneration)(latents, words)
    rows = found.tables["degeneration"].set_index("slot")
    close(rows.loc[[1, 2], "effective_rank"], worn.rank_by_index)
    close(rows.loc[[1, 2], "norm / words"], worn.norm_ratio)
    close(rows.loc[0, "effective_rank"], worn.rank_within)
    moved = compiled(diagnose.movement)(np.swapaxes(latents, 0, 1))
    close(found.tables["movement"]["relative"], moved.relative)
    change = compiled(diagnose.latent_change)(latents, other.latents)
    close(found.tables["latent_changes"]["relative_distance"], change.relative_distance.mean(axis=0))
    own = diagnose.retrieval(latents[:, 1], more["latent_targets"][:, 1], space="whitened")
    table = found.tables["retrieval"].set_index(["slot", "space"])
    close(table.loc[(2, "whitened"), ["accuracy", "own_cosine"]], [own.accuracy, own.own_cosine])
    apart = compiled(diagnose.cross_task, "space")(latents, more["other_task_latents"], space="raw")
    table = found.tables["cross_task"].set_index("space")
    close(table.loc["raw", "gap"], apart.gap)
    close(run.arrays["latents"], latents)


def test_probes_attention_and_dependence_are_those_in_process(told, key, other):
    one, items, clean, _, more, _, found = told
    model, task = one.reference.model, one.reference.task
    colours = np.asarray(items.attributes[:, 0])
    _, types = np.unique(np.asarray(items.question), axis=0, return_inverse=True)
    probed = diagnose.probe_selectivity(
        key, np.swapaxes(clean.latents, 0, 1), colours, types.reshape(-1), num_labels=4, **OPTIONS
    )
    table = found.tables["probes"].set_index("label").loc["attribute 1"]
    for column in ("accuracy", "low", "control_accuracy", "selectivity", "selectivity_high"):
        close(table[column], getattr(probed, column))
    flat = clean.latents.reshape(60, -1)
    image = items.image.reshape(60, -1)
    names = list(found.tables["attributes"]["label"].unique())
    asked = diagnose.held_out_attributes(
        key, flat, jax.nn.one_hot(items.question[:, 0], len(task.words)), image,
        np.stack([np.asarray(items.steps)[:, 0] - task.choices[0], np.asarray(items.steps)[:, 1] - task.choices[0],
                  *np.asarray(items.attributes).T], axis=1), sizes=[9, 9, 4, 4], **OPTIONS,
    )  # fmt: skip
    assert names == ["step 1", "step 2", "attribute 1", "attribute 2"]
    close(found.tables["attributes"][["accuracy", "difference", "low"]], asked[["accuracy", "difference", "low"]])

    places = model.places
    image_keys, behind = places.where("image"), slice(places.prefix, None)
    queries = places.where("slots")[behind]
    answering = places.where("format")[behind]
    for order, row in found.tables["narrowing"].set_index("order").iterrows():
        looks = diagnose.attention_narrowing(
            key, clean.attention, image_keys, queries, answering, order=order, **OPTIONS
        )
        close(
            row[["difference", "low", "latent_mass"]],
            [looks.difference.estimate, looks.difference.low, looks.latent_mass],
        )
    relevant = np.zeros((60, places.total), bool)
    relevant[:, : places.image] = np.asarray(items.relevant).any(axis=1)
    share = diagnose.relevant_attention(key, clean.attention, image_keys, answering, relevant, **OPTIONS)
    row = found.tables["relevant_attention"].set_index("queries").loc["answer"]
    close(row[["share", "area", "high"]], [share.share.estimate, share.area, share.excess.high])

    choices = np.asarray(task.choices)
    given = clean.answer - choices[0]
    logs = [
        np.take_along_axis(scipy.special.log_softmax(each.logits[:, 0, choices], axis=1), given, axis=1)
        for each in (clean, other)
    ]
    dependence = compiled(diagnose.visual_dependence)
    score = dependence(*logs)
    rows = found.tables["dependence"].set_index("words")
    close(rows.loc["answer", ["mean", "share"]], [score.mean.mean(), score.total_share])
    text = dependence(more["word_log_probability"], more["input/blank/word_log_probability"], mask=more["word_mask"])
    close(
        rows.loc["text", ["mean", "share", "count"]],
        [text.score.sum() / text.num_words.sum(), text.total_share, text.num_words.sum()],
    )


def test_a_full_run_leaves_out_only_what_no_array_holds(told):
    found = told[-1]
    assert set(found.tables) == {name for name, part in audit.PARTS.items() if part.make is not None}
    assert found.left_out["diagnostic"].tolist() == ["Jacobian and Lyapunov exponents of the recurrence"]
    text = str(found)
    assert text.startswith(f"Audit of bypassed, noisy pictures: 60 items. {found.verdict}\n60 items, ")
    assert all(f"[{name}]" in text for name in found.tables)
    assert not any("No arm was run" in sentence for sentence in found.findings)


def test_the_least_run_says_what_would_enable_the_rest():
    found = audit.audit({"right": np.array([True, False, True])})
    assert list(found.tables) == ["arms"]
    missing = found.left_out.set_index("diagnostic")["missing"]
    assert missing["Own targets found"] == "latents, latent_targets"
    assert missing["paired effects of interventions"] == "arm/<name>/answers"
    needed = {need for part in audit.PARTS.values() for need in part.needs}
    assert needed <= set(audit.FIELDS)
    assert found.findings[0] == "3 items, 0.667 right (exact 95% interval 0.094 to 0.992)."
    assert found.findings[-1].startswith("No arm was run")


def test_findings_name_what_was_planted():
    draw = np.random.default_rng(0).normal
    mean = np.full(32, 3.0)
    latents = np.stack([np.broadcast_to(mean, (60, 32)), mean + 0.1 * draw(size=(60, 32))], axis=1)
    answers = np.arange(60) % 4
    arrays = {
        "answers": answers,
        "targets": answers,
        "latents": latents.astype(np.float32),
        "reference/words": draw(size=(14, 32)).astype(np.float32),
        "labels/answer": answers,
        "triggered": np.arange(60) < 45,
    }
    said = audit.audit(arrays, num_resamples=100).findings
    assert "In 75.0% of items latents were used: an intervention cannot show in the others." in said
    assert "At slot 1 all items have the same latent (to 1 % of the typical length)." in said
    assert any(re.fullmatch(r"Latents are .* times as long as 'words' at slot 1, 2\.", one) for one in said)
    assert any("common mean: they do not say" in one for one in said)
    assert any(one.startswith("A linear probe reads 'answer' from no slot better than chance") for one in said)


def test_a_graded_run_has_no_targets_and_is_judged_by_its_own_answers():
    draw = np.random.default_rng(3)
    logits, changed = (draw.normal(size=(60, 4)).astype(np.float32) for _ in range(2))
    groups, labels = np.repeat(np.arange(30), 2), np.tile([0, 1], 30)
    answers = np.where(np.arange(60) < 20, -1, draw.integers(0, 4, 60))
    arrays = {
        "right": np.arange(60) % 3 > 0, "logits": logits, "input/blank/logits": changed, "arm/a/logits": changed,
        "arm/a/right": np.arange(60) % 2, "latents": np.stack([labels, groups], axis=1)[:, None] * np.float32(1),
        "labels/side": labels, "groups": np.array([f"picture {each}" for each in groups]),
    }  # fmt: skip
    likeliest = logits.argmax(axis=1)
    for given, own, kept in (
        (None, likeliest, np.ones(60, bool)),
        (answers, np.where(answers < 0, likeliest, answers), answers >= 0),
    ):
        found = audit.audit(arrays if given is None else {**arrays, "answers": given}, num_resamples=100)
        change = compiled(diagnose.answer_change)(logits, changed, own)
        close(found.tables["answer_changes"]["log_probability_shift"], [change.shift.mean()])
        logs = [np.asarray(jax.nn.log_softmax(each))[np.arange(60), own] for each in (logits, changed)]
        close(found.tables["dependence"][["mean", "count"]], [[(logs[0] - logs[1])[kept].mean(), kept.sum()]])
        probe = found.tables["probes"].iloc[0]
        assert (probe["accuracy"], probe["low"], probe["high"]) == (1, 1, 1)  # groups resampled: no exact interval
        assert ("parse_rate" in found.tables["arms"]) is False  # nothing says it of the arm


def base_arrays():
    item = np.arange(12)
    return {
        "answers": item % 3,
        "targets": item % 3,
        "logits": np.eye(3, dtype=np.float32)[item % 3],
        "latents": np.ones((12, 2, 4), np.float32),
        "arm/zero/answers": item % 2,
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"answers": None}, "answers: expected answers and targets, or right .*, got targets only"),
        ({"targets": None}, "answers: expected answers and targets, or right .*, got answers only"),
        ({"latnets": np.ones(3)}, r"latnets: expected a name of the schema \(latents\?\): .*, got another one"),
        ({"arm/zero/answer": [0] * 12}, "arm/zero/answer: expected a name of the schema"),
        ({"arm/zero/answers": np.zeros(11, int)},
         r"arm/zero/answers: expected \[items\] with 12 items, as answers has, got shape \(11,\)"),
        ({"latents": np.ones((11, 2, 4), np.float32)}, "latents: expected .* with 12 items, as answers has"),
        ({"latents": np.ones((12, 8), np.float32)}, r"latents: expected an array \[items, slots, width\], got shape"),
        ({"latents": np.ones((12, 0, 4), np.float32)}, "latents: expected at least one of each of"),
        ({"input/blank/latents": np.ones((12, 3, 4), np.float32)},
         "input/blank/latents: .* with 2 slots, as latents has"),
        ({"reference/words": np.ones((5, 3), np.float32)}, "reference/words: .* with 4 width, as latents has"),
        ({"latents": np.where(np.arange(96).reshape(12, 2, 4) == 9, np.nan, 1)},
         r"latents: expected finite float32 numbers .*, got 1 NaN or infinite of 96, the first at \[1, 0, 1\]"),
        ({"logits": np.full((12, 3), 1e300)}, "logits: expected finite float32 numbers"),
        ({"latents": np.ones((12, 2, 4), "V2")}, r"latents: expected floating point .* \(bfloat16 saved as float32\)"),
        ({"latents": np.ones((12, 2, 4), int)}, "latents: expected floating point"),
        ({"latents": [[1.0], [1.0, 2.0]]}, "latents: expected an array .*, got a list"),
        ({"labels/shape": np.array([None] * 12)},
         "labels/shape: .*plain numbers or text, got an array of Python objects"),
        ({"answers": np.arange(12) % 3 / 1}, "answers: expected integers .*, the numbers of choices, got .*float64"),
        ({"answers": np.arange(12) - 2}, r"answers: expected numbers of choices from 0 \(-1 where none .*\), got -2"),
        ({"targets": np.arange(12)}, "targets: expected numbers below 3, the choices of logits, got 11"),
        ({"triggered": np.arange(12)}, "triggered: expected booleans .*, got 2"),
        ({"attention": -np.ones((12, 1, 1, 1, 2), np.float32)}, "attention: expected weights of at least 0 .*, got -1"),
        ({"logits": None, "arm/zero/logits": np.ones((12, 3), np.float32)},
         "logits: expected those of the clean run, which arm/zero/logits is compared with, got none"),
        ({"arm/noise/triggered": np.ones(12, bool)}, r"arm/noise/answers: expected what the arm .* answered"),
        ({"arm/clean/answers": np.zeros(12, int)}, "arm/clean: expected another name"),
        ({"base": "nothing"}, "base: expected one of the arms zero, got 'nothing'"),
        ({"base": np.array(["zero"])}, "base: expected one text"),
        ({"arm/zero/donor_targets": np.zeros(12, int), "arm/zero/control": "sham"},
         "arm/zero/control: expected one of the"),
        ({"mediation/factual": np.ones(12)}, "mediation/image_exchanged: expected all four runs .* factual only"),
        ({"latents": np.ones((12, 2, 4), np.float32), "reference/words": np.ones((10_001, 4), np.float32)},
         "reference/words: expected at most 10,000 vectors"),
    ],
)  # fmt: skip
def test_faults_are_one_sentence_that_names_the_array(change, sentence):
    arrays = {name: value for name, value in {**base_arrays(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=f"^{sentence}") as told:
        audit.audit(arrays)
    assert "\n" not in str(told.value)


def test_arms_without_targets_need_a_grade():
    graded = {"right": np.ones(4, bool), "arm/zero/answers": np.zeros(4, int)}
    with pytest.raises(ValueError, match=r"^arm/zero/answers: expected targets to hold them against"):
        audit.checked(graded)
    run = audit.checked({"right": np.ones(4, bool), "arm/zero/right": [0, 1, 0, 1]})
    assert run.outcomes("zero").tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match="^right: expected at least two items, got 1"):
        audit.checked({"right": [True]})
    donors = {"right": [1] * 4, "arm/zero/right": [1] * 4, "arm/zero/donor_targets": [0] * 4}
    with pytest.raises(ValueError, match=r"^arm/zero/answers: expected choices to hold arm/zero/donor_targets against"):
        audit.checked(donors)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    arrays = {
        **base_arrays(),
        "name": "mine",
        "types": np.array(["a", "b"] * 6),
        "latents": jnp.ones((12, 2, 4), "bfloat16"),
    }
    path = audit.save(tmp_path / "run", arrays)
    assert path == tmp_path / "run.npz"
    back = audit.load(path).arrays
    assert set(back) == set(arrays)
    assert back["latents"].dtype == np.float32
    assert [str(back["name"]), back["types"][1]] == ["mine", "b"]
    with pytest.raises(ValueError, match="^path: expected a file that can be written"):
        audit.save(tmp_path / "nowhere" / "run", arrays)
    assert [one.name for one in tmp_path.iterdir()] == ["run.npz"]


def test_files_that_are_no_run(tmp_path):
    def refused(name, sentence):
        with pytest.raises(ValueError, match=sentence):
            audit.load(tmp_path / name)

    refused("none.npz", r"^file: expected a run saved by numpy.savez, got .* \(no such file\)")
    (tmp_path / "text.npz").write_text("answers")
    refused("text.npz", r"\(no .npz file\)")
    np.save(tmp_path / "one.npy", np.ones(3))
    refused("one.npy", r"\(no .npz file\)")
    np.savez(tmp_path / "pickle.npz", **base_arrays() | {"latents": np.array([None, 1], object)})
    refused(
        "pickle.npz", "^latents: expected plain numbers or text .*, got an array of Python objects, which is a pickle"
    )
    np.savez(tmp_path / "good.npz", **base_arrays())
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused("cut.npz", "^file: expected a run saved by numpy.savez")
    spoiled = bytearray(whole)
    spoiled[whole.index(b"latents.npy") + 200] ^= 255
    (tmp_path / "spoiled.npz").write_bytes(bytes(spoiled))
    refused("spoiled.npz", "^(file|latents): expected")


class Tensor:
    """As much of a torch tensor as the exporter asks for."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float64)

    def __getitem__(self, where):
        return Tensor(self.values[where])

    def detach(self):
        return self

    float = cpu = detach

    def numpy(self):
        return self.values.astype(np.float32)


def test_the_exporter_of_the_guide_makes_a_run(tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "latent_reasoning.md").read_text()
    for name in audit.FIELDS:
        assert f"`{name}`" in guide, name
    code = next(block for block in re.findall(r"```python\n(.*?)```", guide, re.S) if "def export" in block)
    assert len(code.strip().splitlines()) < 30
    names: dict = {}
    exec(compile(code, "latent_reasoning.md", "exec"), names)
    draw = np.random.default_rng(1)

    def ask(item, arm):
        logits = 3 * np.eye(9)[item["choice_ids"][item["answer"]]] if arm is None else draw.normal(size=9)
        choice = int(logits[item["choice_ids"]].argmax())
        return {
            "choice": choice,
            "num_latents": 2,
            "logits": Tensor(logits),
            "latents": Tensor(draw.normal(size=(2, 32))),
        }

    items = [{"answer": i % 4, "choice_ids": [1, 3, 5, 7]} for i in range(60)]
    names["export"](tmp_path / "run.npz", items, ask, ["noise"])
    found = audit.audit(audit.load(tmp_path / "run.npz"), num_resamples=100)
    table = found.tables["arms"].set_index("arm")
    assert table.loc["clean", "accuracy"] == 1
    assert table.loc["noise", "verdict"] == "effect"
