"""The study of mechanisms: identities of its arms, its gains by their definition, its report."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import xarray

from tokdyn import reasoning
from tokdyn.plot import mechanisms as figures
from tokdyn.reasoning import training
from tokdyn.stats import fieller_interval
from tokdyn.studies import mechanisms, output
from tokdyn.studies.mechanisms import claims as verdicts
from tokdyn.studies.mechanisms import design, experiment, judging

TASK = reasoning.tasks.pointer_chase(side=2, hops=1)
CONFIG = mechanisms.Config(tasks=("pointer_chase",), seeds=2, num_steps=10, rl_steps=10, num_items=50, batch_size=8)


@pytest.fixture(scope="module")
def small():
    """One layer, the smallest task."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(design, "LAYERS", 1)
        patch.setattr(design, "SLOTS", 2)
        patch.setitem(design.TASKS, "pointer_chase", lambda: TASK)
        yield


@pytest.fixture(scope="module")
def models(small):
    return design.models(TASK)


@pytest.fixture(scope="module")
def dataset(models):
    """The study of reasoners that were not trained: other weights for every setting and seed."""

    def initial(config, program, task, models, key, operations, trained):
        kind = "latent" if program == "reinforced" else program
        count = {"latent": 3, "reinforced": 3, "direct": 2, "pause": 2, "soft prompt": 1, "text": 2}[program]

        first = 100 * experiment.PROGRAMS.index(program)
        rows = [
            [tiny.untrained(models[kind], first + config.seeds * number + seed) for seed in range(config.seeds)]
            for number in range(count)
        ]
        stack = lambda trees: jax.tree.map(lambda *leaves: np.stack(leaves), *trees)  # noqa: E731
        variables = stack([stack(row) for row in rows])
        return {"variables": variables, "curve": np.full((count, config.seeds, design.NUM_RECORDS), 0.5)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "_train", initial)
        patch.setattr(judging, "RESAMPLES", 50)
        return mechanisms.run(CONFIG)


@pytest.fixture(scope="module")
def items():
    return tiny.drawn(TASK, CONFIG.num_items)


@pytest.fixture(scope="module")
def variables(models):
    return tiny.untrained(models["latent"])


def test_where_the_answer_sees_neither_slots_nor_markers_every_arm_on_them_is_the_full_one(small, items):
    hidden = {"end": ("image", "question", "start", "slots"), "format": ("slots", "markers")}
    masked = reasoning.reasoner(TASK, reasoning.protocol(slots=2, hidden=hidden), layers=1)
    found = judging._under_arms(masked)(tiny.untrained(masked), items, jax.random.key(3))
    names = list(design.arms(masked.width))
    answers = dict(zip(names, np.asarray(found["answers"]), strict=True))
    for name in names:
        if "format" not in name:
            np.testing.assert_array_equal(answers[name], answers["full"], err_msg=name)


def test_hiding_the_channel_is_the_direct_reasoner(models, variables, items):
    """Without slots and markers a latent reasoner computes what the direct one would, had it the same weights.

    Places differ (the format word stands further back), so the direct one is the latent protocol with masks.
    """
    blind = {"format": ("slots", "markers"), "answer": ("slots", "markers")}
    off = reasoning.reasoner(TASK, reasoning.protocol(slots=2, hidden=blind), layers=1)
    found = judging._under_arms(models["latent"])(variables, items, jax.random.key(3))
    names = list(design.arms(off.width))
    without, _ = jax.jit(off.apply)(variables, items)
    np.testing.assert_array_equal(found["answers"][names.index("slots and markers removed")], without.answer[:, 0])


class Line:
    """Whatever is trained: lanes do not look inside."""

    def init(self, key):
        return {"params": jax.random.normal(key, (3,)), "state": {}}


def test_a_mapped_training_is_the_training_alone():
    def loss(model, variables, batch, key):
        return jnp.sum((batch * variables["params"]) ** 2), ({}, {})

    def train(rate, key):
        data = lambda key, step: jax.random.normal(key, (3,))  # noqa: E731
        made = experiment.fit(Line(), loss, data, key=key, num_steps=5, hyper={"learning_rate": rate})
        return {"variables": made.variables, "curve": made.history["loss"]}

    rates, seed_keys = jnp.asarray([0.1, 0.2, 0.3]), jax.random.split(jax.random.key(3), 2)
    every = experiment._lanes(train, rates, seed_keys)
    alone = experiment._lanes(train, rates[1:2], seed_keys[1:])
    assert every["curve"].shape == (3, 2, 1)
    for one, all_ in zip(jax.tree.leaves(alone), jax.tree.leaves(every), strict=True):
        np.testing.assert_array_equal(one[0, 0], all_[1, 1])


def test_a_method_is_the_sum_of_its_terms(models, variables, items):
    model = models["latent"]

    @jax.jit
    def terms(variables):
        output, _ = model.apply(variables, items)
        fed = output.latents
        made = {
            name: training.latent_loss(fed, goal(model, variables, items), cosine=True)
            for name, goal in training.TARGET_OF.items()
        }
        chain, trigger = training.chain_loss(output, items), training.trigger_loss(output, items)
        return {**made, "chain": chain, "always": training.answer_loss(output, items) + trigger}

    @jax.jit
    def ours(variables, weights, done):
        return design.aligned(weights, done)(model, variables, items, jax.random.key(3))[0]

    parts = {name: float(value) for name, value in terms(variables).items()}
    for name, targets in {
        "MVH-like": ["chain", "regions"],
        "ILVR-like": ["attended"],
        "Monet-like": ["teacher"],
    }.items():
        method = np.asarray(tuple(design.METHODS[name])[:5], np.float32)
        begun, ended = (float(ours(variables, method, done)) for done in (0.1, 0.9))
        np.testing.assert_allclose(begun, parts["always"] + sum(parts[target] for target in targets), rtol=1e-5)
        # Alignment ends after stage 1, where there is a stage 2; the probe's goes on.
        np.testing.assert_allclose(ended, begun if name == "MVH-like" else parts["always"], rtol=1e-5)


def test_tasks_with_other_numbers_of_patches_are_joined(dataset):
    smaller = dataset.isel(patch=slice(0, -1)).assign_coords(task=["smaller"])
    both = xarray.concat([dataset, smaller], "task", join="outer")
    np.testing.assert_array_equal(both["map"].isel(task=0), dataset["map"].isel(task=0))
    assert np.isnan(both["map_relevant"].isel(task=1, patch=-1)).all()


def test_picked_patches_are_those_with_the_largest_attention(models, variables, items):
    model = models["latent"]
    items = jax.tree.map(lambda leaf: leaf[:3], items)
    view = jax.jit(lambda variables: training.seeing_helper(model, variables, items))(variables)
    attention = np.zeros(view.attention.shape)
    attention[..., 1:3, 3], attention[..., 1:3, 0] = 0.6, 0.3
    pick = jax.jit(lambda variables, view: training.picked(model, variables, items, view))
    goal = pick(variables, view._replace(attention=attention))
    embed = jax.jit(jax.vmap(model.of_patches, in_axes=(None, 0)))
    patches = np.asarray(embed(variables, items.helper))
    np.testing.assert_allclose(goal[:, 0], (patches[:, 0] + patches[:, 3]) / 2, rtol=1e-5, atol=1e-6)


def test_sorted_steps_are_the_same_words_in_the_order_of_their_numbers():
    task = reasoning.tasks.visual_search(side=2, set_size=3)
    draw = jax.jit(lambda order: design.SortedSteps(task, 30, order)(jax.random.key(3), 0))
    plain, ordered = draw(0), draw(1)
    np.testing.assert_array_equal(np.sort(ordered.steps, axis=1), np.sort(plain.steps, axis=1))
    for row in np.asarray(ordered.steps):
        words = row[row != 0]
        assert (np.diff(words) >= 0).all()
        assert (row[len(words) :] == 0).all()


def test_operations_count_a_loop_as_often_as_it_runs(models):
    """Multiplications and additions by hand: one item, one position after the other or all at once."""
    matrix = jnp.ones((3, 4))

    def looped(x):
        return jax.lax.scan(lambda carry, _: (carry, matrix @ x), 0.0, None, length=5)[1]

    assert judging._products(jax.make_jaxpr(looped)(jnp.ones(4)).jaxpr) == 5 * 2 * 3 * 4
    counted = {kind: judging.operations(model, TASK) for kind, model in models.items()}
    assert counted["latent"] == counted["pause"] > counted["direct"]


class TestStudy:
    def test_gain_kept_is_its_definition_on_the_stored_outcomes(self, dataset):
        chosen = {"task": "pointer_chase", "supervision": "ILVR-like", "stage": "SFT"}
        right = dataset["right"].sel(chosen)
        for base in ("direct", "channel off"):
            if base == "direct":
                without = dataset["base_right"].sel(task="pointer_chase", base=base).values.astype(float)
            else:
                without = right.sel(arm="slots and markers removed").values.astype(float)
            cell = dataset.sel(chosen).sel(gain_base=base, kept_arm="slots mean")
            arm, full = (right.sel(arm=arm).values.astype(float) for arm in ("slots mean", "full"))
            np.testing.assert_allclose(cell["numerator"], (arm - without).mean())
            np.testing.assert_allclose(cell["denominator"], (full - without).mean())
            by_item = fieller_interval((arm - without).mean(axis=0), (full - without).mean(axis=0))
            assert cell["kind"].item() == str(by_item.kind)
            if np.isfinite(cell["gain"]):
                np.testing.assert_allclose(cell["gain"], by_item.ratio)
                np.testing.assert_allclose(cell["gain_low"], by_item.low)
            else:
                assert str(by_item.kind) != "interval" or cell["denominator_low"] <= 0

    def test_a_share_is_given_where_there_is_a_gain_and_refused_where_there_is_none(self):
        item = np.arange(50) % 10
        outcome = {"full": item < 8, "markers removed": item < 5, "slots removed": item < 8}
        names = list(design.arms(4))
        right = np.stack([outcome.get(name, item < 2) for name in names])
        shape = (1, 2, 1, len(names), 50)
        base = np.stack([item < 4 if name == "direct" else item < 8 for name in design.BASES])[:, None]
        made = xarray.Dataset(
            {
                "right": (("supervision", "stage", "seed", "arm", "item"), np.broadcast_to(right, shape)),
                "base_right": (("base", "seed", "item"), base),
            },
            {"supervision": ["x"], "stage": list(design.STAGES), "arm": names, "base": list(design.BASES)},
        )
        gains = judging.gains(made, jax.random.key(3)).sel(supervision="x", stage="SFT")
        kept = gains["gain"].sel(gain_base="direct")
        np.testing.assert_allclose(kept.sel(kept_arm="slots removed"), 1.0)
        np.testing.assert_allclose(kept.sel(kept_arm="markers removed"), 0.25)
        np.testing.assert_allclose(gains["marker_dependence"].sel(gain_base="direct"), 0.75)
        assert np.isnan(gains["gain"].sel(gain_base="untrained")).all()  # as good as the full model: no gain

    def test_every_variable_says_what_it_is_and_stays_within_its_limits(self, dataset):
        assert set(dataset.data_vars) <= set(experiment.VARIABLES)
        for name in dataset.data_vars:
            assert dataset[name].attrs["long_name"]
        for name in ("toward_donor", "mass", "relevant_share", "relevant_area", "attribute_accuracy", "noised_right"):
            assert ((dataset[name] >= 0) & (dataset[name] <= 1)).all(), name
        np.testing.assert_allclose(dataset["map"].sum("patch"), 1, rtol=1e-5)
        # By Jensen: the entropy of the mean is never below the mean of the entropies.
        entropy = dataset["entropy_latent"]
        assert (entropy.sel(order="mean_then_entropy") >= entropy.sel(order="entropy_then_mean") - 1e-6).all()

    def test_the_folder(self, dataset, tmp_path):
        path = mechanisms.report(dataset, tmp_path / "out", wall_seconds=1.0)
        text = path.read_text()
        for words in ("refused", "## Head to head", "## Gain kept"):
            assert words in text
        assert "nan" not in text
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert output.config_from(mechanisms.Config, metadata["config"]) == CONFIG
        assert len(list((tmp_path / "out" / "plots").iterdir())) == 4
        assert not (tmp_path / "out" / "claims.json").exists()  # another design than the default
        assert set(verdicts.findings(dataset)) <= {claim.id for claim in verdicts.claims.load()}

    def test_an_interrupted_study_goes_on_from_its_store(self, tmp_path):
        config, store = mechanisms.Config(tasks=("pointer_chase",)), str(tmp_path / "store")
        made = {"variables": {"params": np.arange(3.0), "state": {}}, "curve": np.zeros(2)}
        first = experiment._stored(config, store, "pointer_chase", "direct", lambda: made)
        again = experiment._stored(config, store, "pointer_chase", "direct", lambda: pytest.fail("trained again"))
        np.testing.assert_array_equal(first.value["variables"]["params"], again.value["variables"]["params"])
        assert again.seconds == first.seconds  # of the training, not of reading the file
        other = mechanisms.Config(tasks=("pointer_chase",), num_steps=10)
        anew = {**made, "curve": np.ones(2)}
        assert experiment._stored(other, store, "pointer_chase", "direct", lambda: anew).value["curve"].all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seeds": 0}, "seeds: expected a static integer"),
        ({"tasks": ("chess",)}, "tasks: expected one of 'pointer_chase'"),
        ({"methods": ()}, "methods: expected at least one, each once, got none"),
        ({"methods": ("MVH-like", "MVH-like")}, "methods: expected at least one, each once"),
        ({"num_steps": 15}, "num_steps: expected a multiple of 10, got 15"),
        ({"rl_steps": 0}, "rl_steps: expected a static integer"),
        ({"num_items": 10}, "num_items: expected a static integer"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
    ],
)
def test_bad_input(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        mechanisms.Config(**options).checked()


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: figures.gain_retained_bars(["a"], ["b"], [[0.5]], [[0.6]], [[1.0]], base="x"), "gain: expected each"),
        (lambda: figures.accuracy_by_arm(["a"], ["b"], ["c"], [[[1.5]]]), "accuracy: expected numbers from 0 to 1"),
        (
            lambda: figures.attention_maps(
                np.zeros((1, 4, 4, 3)), np.ones((1, 4), bool), np.ones((1, 1, 5)), positions=["latent"], patch=2
            ),
            r"maps: expected numbers of shape \(1, 1, 4\)",
        ),
    ],
)
def test_bad_figures(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()
