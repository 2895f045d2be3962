"""The study of optimised latents on small untrained reasoners: what masks forbid does not happen, numbers add up."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
import tiny
import xarray
from scipy import stats

import tokdyn as td
from tokdyn import claims, cli, compiling
from tokdyn.plot import latent_optimisation as figures
from tokdyn.reasoning import reasoner, references, shipped
from tokdyn.reasoning.diagnose import compared
from tokdyn.studies import latent_optimisation, load, output
from tokdyn.studies.latent_optimisation import claims as verdicts
from tokdyn.studies.latent_optimisation import design, experiment, premises
from tokdyn.studies.latent_optimisation.analysis import mean_of
from tokdyn.studies.latent_optimisation.tables import conclusion

ITEMS = 24
# Whose last pass reads no injected patch: all that they change goes through latents.
THROUGH_LATENTS = [design.NO_PATCHES, design.CODE, design.LTPO, design.LATENTSEEK, design.EXACT, design.ORACLE]


# Short for these in tests that need not have every program: compiling them is what takes time.
SHARED = {
    design.ALL_PATCHES: design.NO_PATCHES,
    design.CODE: design.NO_PATCHES,
    design.LTPO: design.NO_PATCHES,
    design.LATENTSEEK: design.NO_PATCHES,
    design.SAMPLES: design.DMLR,
    design.CONTROLS[3]: design.CONTROLS[1],
}


def untrained(folder, names, shared):
    """The command on untrained weights of the catalog's reasoners, cut to one layer: their masks are what counts.

    Methods that are keys of ``shared`` are computed as others.
    """
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    known = {
        name: dataclasses.replace(one, model=reasoner(one.task, one.model.protocol, width=8, hidden=8, layers=1))
        for name, one in references.catalog().items()
        if name in names
    }

    def shorter(slots, patches):
        made = design.methods(slots, patches)
        return {name: dataclasses.replace(made[shared.get(name, name)], num_steps=3) for name in made}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "catalog", lambda: known)
        patch.setattr(experiment, "methods", shorter)
        for name, one in known.items():
            shipped.save(name, shipped.Shipped(one, tiny.untrained(one.model), 0.1, {"loss": np.zeros(2)}, 0), folder)
        words = ["--references", *names, "--num-items", str(ITEMS), "--weights", str(folder)]
        assert cli.main(["study", "latent-optimisation", *words, "--out", str(folder / "out")]) == 0
    jax.config.update("jax_disable_most_optimizations", before)
    return xarray.open_zarr(folder / "out" / "runs.zarr", consolidated=False).load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def dataset(folder):
    return untrained(folder, ("masked",), SHARED)


def right_after(dataset, rule):
    """Right or wrong `[noises, seeds, items]`."""
    one = dataset.isel(reference=0)
    return one["answer"].sel(rule=rule).values == one["right_answer"].values


def right_before(dataset):
    one = dataset.isel(reference=0)
    return one["clean_answer"].values == one["right_answer"].values


class TestWhatMustHold:
    def test_who_cannot_see_slots_answers_as_before_under_every_method(self, dataset):
        one = dataset.sel(reference="masked")
        for rule in THROUGH_LATENTS:
            answers, clean = xarray.broadcast(one["answer"].sel(rule=rule), one["clean_answer"])
            np.testing.assert_array_equal(answers, clean)
        assert (one["changed"].sel(rule=THROUGH_LATENTS) == 0).all()

    def test_an_oracle_finds_nothing_where_latents_do_nothing(self, dataset):
        oracle = dataset.sel(reference="masked", rule=design.ORACLE)
        np.testing.assert_array_equal(oracle["reward_gain"], 0)
        np.testing.assert_array_equal(oracle["moved"], 0)
        assert (dataset["reward_gain"].sel(reference="masked", rule=design.EXACT) > 0).all()

    def test_controls_cost_the_same(self, dataset):
        spent = dataset["evaluations"].sel(reference="masked", rule=list(design.CONTROLS))
        assert (spent == spent[0, 0]).all()

    def test_improvements_only_never_lower_the_reward_and_all_moves_always(self, dataset):
        one = dataset.sel(reference="masked")
        assert (one["accepted"].sel(rule=["reinforce, all", "random, all"]) == 1).all()
        for rule in design.CONTROLS:
            assert (np.diff(one["curve"].sel(rule=rule).values[:, :4], axis=-1) >= 0).all()

    def test_everything_is_explained(self, dataset):
        assert all(values.attrs["long_name"] for values in dataset.data_vars.values())
        assert dataset.attrs["study"] == "latent-optimisation"
        assert dataset.attrs["schema_version"] == 1

    @pytest.mark.slow
    def test_every_method_on_reasoners_of_other_numbers_of_slots(self, tmp_path):
        both = untrained(tmp_path, ("masked", "text"), {})
        assert (both["changed"].sel(reference="masked", rule=THROUGH_LATENTS) == 0).all()
        assert np.isnan(both["tree_taken"].sel(reference="masked", slot=3)).all()
        assert np.isfinite(both["tree_taken"].sel(reference="text", slot=3)).all()
        assert len(list((tmp_path / "out" / "plots").iterdir())) == 5


class TestNumbers:
    def test_changes_of_accuracy_by_hand(self, dataset):
        before = right_before(dataset)
        for rule in design.METHODS:
            after, one = right_after(dataset, rule), dataset.isel(reference=0).sel(rule=rule)
            np.testing.assert_allclose(one["accuracy"], after.mean(axis=(1, 2)))
            np.testing.assert_allclose(one["difference"], after.mean(axis=(1, 2)) - before.mean(axis=1))
            np.testing.assert_allclose(one["to_right"], (after & ~before[:, None]).mean(axis=(1, 2)))
            np.testing.assert_allclose(one["to_wrong"], (~after & before[:, None]).mean(axis=(1, 2)))
            for noise in range(2):
                values = []
                for seed in range(2):
                    wins = int((after[noise, seed] & ~before[noise]).sum())
                    losses = int((~after[noise, seed] & before[noise]).sum())
                    values.append(stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0)
                np.testing.assert_allclose(one["p_value"][noise], max(values))
            assert (one["difference_low"] <= one["difference"]).all()
            assert (one["difference"] <= one["difference_high"]).all()

    def test_differences_from_controls_by_hand(self, dataset):
        for control in design.CONTROLS:
            expected = right_after(dataset, "dmlr").mean(axis=(1, 2)) - right_after(dataset, control).mean(axis=(1, 2))
            one = dataset.isel(reference=0).sel(rule="dmlr", control=control)
            np.testing.assert_allclose(one["advantage"], expected, atol=1e-12)
            own = dataset["advantage"].isel(reference=0).sel(rule=control, control=control)
            np.testing.assert_array_equal(own, 0)

    def test_settings_are_judged_by_items_that_did_not_choose_them(self, dataset):
        chooses, judges = design.halves(ITEMS)
        assert not set(chooses) & set(judges)
        assert len(chooses) == len(judges) == ITEMS // 2
        one = dataset.isel(reference=0)
        for control in design.CONTROLS:
            right = one["sweep_right"].sel(control=control).values.astype(bool)
            for noise in range(2):
                scores = right[noise][..., chooses].mean(axis=-1)
                sigma, rate = np.unravel_index(scores.argmax(), scores.shape)
                at = one.isel(noise=noise).sel(control=control, choice="accuracy")
                assert float(at["chosen_sigma"]) == design.SIGMAS[sigma]
                assert float(at["chosen_rate"]) == design.RATES[rate]
                kept = right[noise, sigma, rate, judges]
                np.testing.assert_allclose(at["judged_accuracy"], kept.mean())
                np.testing.assert_allclose(
                    at["judged_difference"], kept.mean() - right_before(dataset)[noise][judges].mean()
                )

    def test_seeds_are_no_new_items(self):
        right = np.random.default_rng(0).random(60) < 0.5
        other = right.copy()
        other[:5] = ~other[:5]
        one, two = (compared([other] * seeds, right, bound=0.05) for seeds in (1, 2))
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(mean_of([right] * 3), mean_of([right]))


class TestPremises:
    def test_the_estimate_is_of_the_smoothed_reward(self):
        """R = sum z^4 has E grad R(z + e) = 4 z^3 + 12 sigma^2 z, by hand; the reward itself is flatter."""
        z = np.array([0.5, -1.0, 1.5], np.float32)
        sigma = 0.5
        run = jax.jit(
            lambda key: premises.along_the_gradient(lambda z: (z**4).sum(), z, key, np.float32(sigma), pairs=40_000)
        )
        found = run(jax.random.key(0))
        along = 4 * z**3 / np.linalg.norm(4 * z**3)
        expected = along @ (4 * z**3 + 12 * sigma**2 * z)
        assert float(found["exact"]) == pytest.approx(np.linalg.norm(4 * z**3), rel=1e-5)
        # Relative standard errors: below 0.01 and 0.002.
        assert float(found["estimated"]) == pytest.approx(expected, rel=0.04)
        assert float(found["smoothed"]) == pytest.approx(expected, rel=0.01)
        assert expected > 1.3 * float(found["exact"])

    def test_a_flat_reward_has_no_gradient(self):
        found = premises.along_the_gradient(lambda z: 0 * z.sum(), np.ones(3, np.float32), jax.random.key(0), 0.1)
        assert {name: float(of) for name, of in found.items()} == {"estimated": 0, "smoothed": 0, "exact": 0}

    def test_of_the_study(self, dataset):
        one = dataset.isel(reference=0)
        assert np.isfinite(one["dependence"]).all()
        assert ((one["dependent_steps"] >= 0) & (one["dependent_steps"] <= 1)).all()
        assert (one["gradient_exact"] > 0).all()

    def test_verdicts_on_known_numbers(self, dataset):
        ones = xarray.ones_like(dataset["gradient_exact"])
        equal = dataset.assign(gradient_estimated=ones, gradient_smoothed=ones, gradient_exact=ones)
        names = "dmlr.policy_gradient", "dmlr.visual_dependency_sparse", "dmlr.visual_dependency_right"
        assert verdicts.findings(equal)[names[0]].verdict == "reproduced"
        assert verdicts.findings(equal.assign(gradient_exact=2 * ones))[names[0]].verdict == "qualified"
        assert verdicts.findings(equal.assign(gradient_estimated=2 * ones))[names[0]].verdict == "contradicted"
        assert verdicts.findings(equal.assign(gradient_smoothed=0 * ones))[names[0]].verdict == "open"
        for share, verdict in ((0.1, "reproduced"), (0.9, "contradicted")):
            found = verdicts.findings(dataset.assign(dependent_steps=share * ones))
            assert found[names[1]].verdict == verdict
        right = (np.arange(ITEMS) % 2 == 0) & (ones > 0)
        made = dataset.assign(clean_answer=dataset["right_answer"].where(right, -1))
        for sign, verdict in ((1, "reproduced"), (-1, "contradicted")):
            score = sign * (right + 0.01 * np.arange(ITEMS))
            assert verdicts.findings(made.assign(dependence=score))[names[2]].verdict == verdict


class TestDesign:
    def test_methods_are_the_published_ones_and_controls_share_all_but_their_rule(self):
        made = design.methods(3, 9)
        controls = [dataclasses.replace(made[name], direction="random", accept="all") for name in design.CONTROLS]
        assert all(one == controls[0] for one in controls)
        assert made[design.DMLR] == td.reasoning.latent_optimisation.CONFIGURATIONS["dmlr"]
        # A control: the start, and for each step a sample, the step and a candidate of each slot.
        many = made[design.SAMPLES]
        assert 1 + many.num_steps * (8 + 3) <= 1 + 15 * (2 + 3)

    def test_noise_is_the_same_up_to_its_level_and_answers_stay(self):
        task = references.catalog()["masked"].task
        items = tiny.drawn(task, 4)
        made = design.noised(items, (0.0, 0.2, 0.4), jax.random.key(1))
        clean, small, large = np.split(np.asarray(made.image), 3)
        np.testing.assert_array_equal(clean, items.image)
        np.testing.assert_allclose(large - clean, 2 * (small - clean), atol=1e-6)
        np.testing.assert_array_equal(np.asarray(made.answer)[4:8], items.answer)

    def test_trained_slots_say_the_exact_steps_of_clean_pictures(self):
        one = shipped.load("content")
        items = tiny.drawn(one.reference.task, 8)
        assert (experiment._untouched(one.reference.model)(one.variables, items)["chain"] == 1).all()

    def test_a_name_with_a_dash(self):
        assert td.studies.latent_optimisation is latent_optimisation
        assert load("latent-optimisation").Config is latent_optimisation.Config


class TestReport:
    def test_the_folder(self, dataset, folder):
        out = folder / "out"
        text = (out / "report.md").read_text()
        assert "## Against controls that cost as much" in text
        assert "the answer cannot see slots" in text
        assert conclusion(dataset) in text
        names = {path.name for path in (out / "plots").iterdir()}
        assert names == {
            "reward_and_accuracy.png",
            "accuracy_change_noise_0.png",
            "accuracy_change_noise_0.3.png",
            "injections_masked.png",
        }
        metadata = json.loads((out / "metadata.json").read_text())
        assert output.config_from(latent_optimisation.Config, metadata["config"]).num_items == ITEMS
        assert not (out / "claims.json").exists()
        assert len((out / "methods.csv").read_text().splitlines()) == 1 + 2 * len(design.METHODS)

    def test_findings_follow_the_numbers(self, dataset):
        known = {claim.id for claim in claims.load()}
        found = verdicts.findings(dataset)
        assert set(found) <= known
        assert found["dmlr.gain_qwen25_7b"].verdict == "open"
        shown = dataset.assign(
            correlation=dataset["correlation"] * 0 + 0.5,
            correlation_low=dataset["correlation_low"] * 0 + 0.4,
            correlation_high=dataset["correlation_high"] * 0 + 0.6,
            difference=dataset["difference"] * 0 + 0.1,
            difference_low=dataset["difference"] * 0 + 0.08,
            difference_high=dataset["difference"] * 0 + 0.12,
            holm=dataset["holm"] * 0,
            equivalent=dataset["equivalent"] * 0,
        )
        up = verdicts.findings(shown)
        assert up["dmlr.confidence_accuracy"].verdict == "reproduced"
        assert up["dmlr.reward_entropy"].verdict == "reproduced"
        down = shown.assign({f"correlation{end}": -shown[f"correlation{end}"] for end in ("", "_low", "_high")})
        down = down.assign(correlation_low=down["correlation_high"], correlation_high=down["correlation_low"])
        assert verdicts.findings(down)["dmlr.confidence_accuracy"].verdict == "contradicted"
        # Nowhere better and everywhere worse, where an oracle is better: a universal statement has a counterexample.
        other = [name for name in design.METHODS if name != design.ORACLE]
        sign = xarray.ones_like(shown["difference"]).where(~shown["rule"].isin(other), -1.0)
        lower, upper = (sign * shown["difference"] + shift for shift in (-0.02, 0.02))
        worse = shown.assign(difference=sign * shown["difference"], difference_low=lower, difference_high=upper)
        assert verdicts.findings(worse)["dmlr.reward_entropy"].verdict == "contradicted"
        nothing = shown.assign(holm=shown["holm"] + 1, correlation_low=-shown["correlation"])
        assert verdicts.findings(nothing)["dmlr.confidence_quality"].verdict == "open"
        # Published cells are of other models: whatever ours say, the claim stays open and says what ours show.
        for changed, count in ((shown, 2), (nothing, 0)):
            gain = verdicts.findings(changed)["dmlr.gain_everywhere"]
            assert (gain.verdict, gain.ours) == ("open", None)
            assert f"higher in 2, shown in {count};" in gain.note


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"references": ()}, "references: expected at least one, each once"),
        ({"references": ("direct",)}, "references: expected one of 'content', 'compute'"),
        ({"noises": ()}, "noises: expected at least one, each once"),
        ({"noises": (-0.1,)}, "noises: expected"),
        ({"seeds": 0}, "seeds: expected a static integer"),
        ({"num_items": 5}, "num_items: expected a static integer"),
        ({"num_items": 25}, "num_items: expected an even number, got 25"),
        ({"bound": 0.0}, "bound: expected a number above 0"),
        ({"weights": "/nowhere"}, "no such file|expected"),
    ],
)
def test_bad_input(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        load("latent-optimisation").run(latent_optimisation.Config(**options))


class TestFigures:
    def test_curves_and_accuracies_need_the_same_names(self):
        curve = [[1, 4], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7]]
        with pytest.raises(ValueError, match="accuracies: expected the same 1 to 8 reasoners"):
            figures.reward_beside_accuracy({"a": {"m": curve}}, {"b": {"m": (0, 0, 0)}}, before={"a": 0.5})
        with pytest.raises(ValueError, match="expected the methods"):
            figures.reward_beside_accuracy({"a": {"m": curve}}, {"a": {"n": (0, 0, 0)}}, before={"a": 0.5})

    def test_patches_are_those_of_the_picture_and_numbered_as_taken(self):
        candidates = np.zeros((2, 1, 4), bool)
        candidates[0, 0, 3] = candidates[1, 0, 1] = True
        tree = figures.Tree(
            image=np.zeros((4, 4, 3)),
            start=np.array([True, False, False, False]),
            candidates=candidates,
            rewards=np.array([[0.5], [0.6]]),
            taken=np.array([[True], [True]]),
            best=np.array([0.4, 0.5, 0.6]),
        )
        made = figures.injection_trees([tree], patch=2)
        assert [text.get_text() for text in made.axes[0].texts] == ["S", "2", "1"]
        with pytest.raises(ValueError, match="patch: expected a side that makes 4 patches"):
            figures.injection_trees([tree], patch=1)


def test_nothing_is_compiled_for_a_study_that_stopped(monkeypatch):
    class Slow:
        compiled = 0

        def lower(self, *arguments):
            return self

        def compile(self, options):
            Slow.compiled += 1
            time.sleep(0.2)
            return lambda *arguments: Slow.compiled

    monkeypatch.setattr(compiling.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(experiment.jax, "jit", lambda run: Slow())
    monkeypatch.setattr(experiment, "_methods", lambda reference: design.methods(2, 9))
    known = {"masked": (references.catalog()["masked"], None, None)}
    with experiment.measurements(known, design.Config(), None) as measured:
        assert list(measured) == ["masked"]
    time.sleep(1.0)
    assert 0 < Slow.compiled <= 4  # of 11: two at a time, and what began before the end
