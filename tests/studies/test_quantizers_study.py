"""The studies of quantizers and of scaling: small designs, known limits."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from tokdyn.autoencoder import quantizers as q
from tokdyn.studies import output, quantizers, scaling


class TestQuantizers:
    @pytest.fixture(scope="class")
    @staticmethod
    def dataset():
        config = quantizers.Config(seeds=2, data=("digits",), quantizers=("none", "FSQ", "residual VQ"), num_steps=60)
        return quantizers.run(config)

    def test_no_bottleneck_reconstructs_most(self, dataset):
        means = dataset["explained"].mean("seed").isel(data=0)
        assert means.sel(quantizer="none") > means.sel(quantizer="FSQ") > 0.2
        assert means.sel(quantizer="none") > means.sel(quantizer="residual VQ")
        assert (dataset["explained"] < 1).all()

    def test_use_is_within_its_limits(self, dataset):
        coded = dataset.sel(quantizer=["FSQ", "residual VQ"])
        assert (coded["perplexity"] <= 64 * (1 + 1e-5)).all()
        assert (coded["perplexity"] <= coded["active"] * 64 * (1 + 1e-5)).all()
        np.testing.assert_allclose(coded["dead"], 64 * (1 - coded["active"]), atol=1e-3)
        np.testing.assert_allclose(coded["bits"], np.log2(coded["perplexity"]), rtol=1e-5)
        assert np.isnan(dataset["active"].sel(quantizer="none")).all()

    def test_the_folder(self, dataset, tmp_path):
        path = quantizers.report(dataset, tmp_path / "out", wall_seconds=1.0)
        assert "residual VQ" in path.read_text()
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert output.config_from(quantizers.Config, metadata["config"]).num_steps == 60
        assert len(list((tmp_path / "out" / "plots").iterdir())) == 2

    def test_items_are_centred_and_held_out_items_are_others(self):
        for name in quantizers.DATA:
            training, held_out = quantizers.items(name)
            np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-5)
            assert len(held_out) == pytest.approx(len(training) / 4, abs=1)
            assert training.shape[1] == held_out.shape[1]

    def test_codes_of_several_books_are_counted_together(self):
        quantizer = q.grouped_quantizer(q.vector_quantizer(num_codes=3), groups=2)
        indices = jnp.array([[[0, 0]], [[2, 1]], [[2, 1]]])
        used = quantizers._use(quantizer, type("Code", (), {"indices": indices})())
        assert float(used["dead"]) == 7
        np.testing.assert_allclose(used["bits"], np.log2(3) - 2 / 3, rtol=1e-5)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"seeds": 0}, "seeds: expected a static integer"),
            ({"data": ("sounds",)}, "data: expected one of 'patterns', 'digits', 'glyphs', got 'sounds'"),
            ({"quantizers": ()}, "quantizers: expected at least one, each once"),
            ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        ],
    )
    def test_bad_input(self, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            quantizers.Config(**options).checked()


class TestScaling:
    def test_every_word_of_a_small_vocabulary_comes_back(self, tmp_path):
        dataset = scaling.run(scaling.Config(sizes=(40,), seeds=1, num_steps=100))
        assert float(dataset["types"].min()) == 1.0
        assert float(dataset["steps"].max()) < 100
        np.testing.assert_allclose(dataset["information"], np.log2(40), rtol=1e-5)
        text = scaling.report(dataset, tmp_path / "out").read_text()
        assert "40 words: 100.00% come back right" in text
        assert (tmp_path / "out" / "plots" / "scaling.png").is_file()

    def test_judging_in_blocks_is_judging_all_at_once(self, monkeypatch):
        def types():
            found = scaling.run(scaling.Config(sizes=(30,), seeds=1, num_steps=20))
            return np.asarray(found["types_curve"])

        whole = types()
        monkeypatch.setattr("tokdyn.studies.scaling.JUDGED", 7)
        jax.clear_caches()
        np.testing.assert_allclose(types(), whole, rtol=1e-6)

    @pytest.mark.parametrize(
        ("cost", "verdict"),
        [
            (lambda size: np.exp(3e-3 * size), "reproduced"),
            (lambda size: 5.0 * size, "contradicted"),
            (lambda size: size**3, "contradicted"),
        ],
    )
    def test_exponential_cost_is_told_from_a_power(self, cost, verdict):
        sizes = np.array([192.0, 1000, 3000, 10_000])
        made = xarray.Dataset({name: ("size", cost(sizes)) for name in ("operations", "peak_bytes")}, {"size": sizes})
        assert scaling.findings(made)["diffusion_lm.cost_exponential"].verdict == verdict
        few = made.isel(size=slice(2))
        assert scaling.findings(few)["diffusion_lm.cost_exponential"].verdict == "open"

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"sizes": ()}, "sizes: expected at least one vocabulary"),
            ({"sizes": (5**64 + 1,)}, r"sizes: expected at most 5\^64 words, which is what the code can hold"),
            ({"num_steps": 30}, "num_steps: expected a multiple of 20"),
        ],
    )
    def test_bad_input(self, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            scaling.Config(**options).checked()
