"""What every study shares: offers, records, folders, pages; and studies that other people bring."""

import base64
import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray
from markdown_it import MarkdownIt

import tokdyn as td
from tokdyn.claims import Finding
from tokdyn.studies import documents, skeleton
from tokdyn.studies.skeleton import OFFERED, Study, of_module

PLUGIN = Path(__file__).parents[1] / "plugin"


@dataclasses.dataclass(frozen=True)
class Config:
    """A design."""

    seeds: int = 5
    """Draws."""

    def checked(self):
        if self.seeds < 1:
            raise ValueError("seeds: expected at least 1")
        return dataclasses.replace(self, seeds=min(self.seeds, 50))


def measure(config):
    values = np.random.default_rng(0).normal(size=config.seeds)
    return xarray.Dataset({"value": ("seed", values)}, {"seed": np.arange(config.seeds)})


def contents(dataset, config):
    def drawn():
        from tokdyn import plot

        return plot.outcomes(["a"], [0.5], [0.4], [0.6], label="share")

    table = documents.table([{"mean": float(dataset["value"].mean())}])
    return documents.Report("Draws", [f"{config.seeds} draws.", table], [documents.Figure("a.png", "A bar.", drawn)])


def study(**options):
    return Study("draws", **{"measure": measure, "Config": Config, "contents": contents, **options})


class TestRun:
    def test_it_gets_what_it_names_and_nothing_else(self):
        seen = {}

        def some(config, *, progress=None, workers=7):
            seen.update(progress=progress, workers=workers)
            return measure(config)

        def every(config, **offered):
            seen.update(offered)
            return measure(config)

        assert study(measure=some).takes == {"progress", "workers"}
        study(measure=some).run(progress=len)
        assert seen == {"progress": len, "workers": 7}  # its own default
        study(measure=some).run(workers=3)
        assert seen["workers"] == 3
        assert study(measure=every).takes == set(OFFERED)
        study(measure=every).run(store="place", with_example=False)
        assert (seen["store"], seen["with_example"]) == ("place", False)

    def test_it_records_what_was_run(self):
        dataset = study(variables={"value": "a draw", "absent": "nothing"}).run(Config(seeds=99))
        assert json.loads(dataset.attrs["config"]) == {"seeds": 50}  # what was run, not what was asked for
        assert dataset.attrs["study"] == "draws"
        assert dataset.attrs["simulation_seconds"] > 0
        assert dataset["value"].attrs["long_name"] == "a draw"
        assert study().config_of(dataset) == Config(seeds=50)

    def test_a_study_may_count_its_seconds_itself_but_not_rename_itself(self):
        dataset = study(measure=lambda config: measure(config).assign_attrs(simulation_seconds=2.5, study="x")).run()
        assert (dataset.attrs["simulation_seconds"], dataset.attrs["study"]) == (2.5, "draws")

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"config": {"seeds": 1}}, "config: expected a Config of the study draws, got dict"),
            ({"config": Config(seeds=0)}, "seeds: expected at least 1"),
            ({"store": "somewhere"}, "store: expected none, because this study keeps nothing between runs"),
            ({"workers": 0}, "workers: expected"),
        ],
    )
    def test_bad_input(self, options, sentence):
        with pytest.raises(ValueError, match=f"^{sentence}"):
            study().run(**options)

    def test_it_returns_a_dataset(self):
        with pytest.raises(ValueError, match="run: expected an xarray.Dataset from the study draws, got list"):
            study(measure=lambda config: []).run()

    def test_quick(self):
        @dataclasses.dataclass(frozen=True)
        class Own(Config):
            def quick(self):
                return dataclasses.replace(self, seeds=1)

        assert study().quick(Config(seeds=9)) == Config(seeds=3)
        assert study().quick(Config(seeds=2)) == Config(seeds=2)
        assert study(Config=Own).quick(Own()) == Own(seeds=1)
        assert study(Config=skeleton.NoDesign).quick(skeleton.NoDesign()) == skeleton.NoDesign()

    @pytest.mark.parametrize("name", sorted(td.studies.OURS))
    def test_ours_have_a_small_design_that_can_be_run_and_say_what_they_are(self, name):
        one = td.studies.load(name)
        small = one.quick(one.Config())
        assert (small.checked() if hasattr(small, "checked") else small) == small
        assert one.description.endswith((".", ":", "?", ")"))
        assert one.variables
        assert callable(one.headline)
        for field in dataclasses.fields(one.Config):
            assert field.name not in OFFERED

    @pytest.mark.parametrize("name", sorted(td.studies.OURS))
    def test_one_role_one_file(self, name):
        """The table of CONTRIBUTING.md; a study of one file has them all there."""
        one, module = td.studies.load(name), td.studies.OURS[name]
        single = not hasattr(sys.modules[module], "__path__")
        roles = {"design": one.Config, "experiment": one.measure, "report": one.contents, "claims": one.findings}
        for role, made in roles.items():
            assert made is None or made.__module__ == (module if single else f"{module}.{role}")


class TestReport:
    def test_the_folder(self, tmp_path):
        one = study()
        dataset = one.run()
        path = one.report(dataset, tmp_path / "out", wall_seconds=1.5)
        assert path == tmp_path / "out" / "report.md"
        names = {item.name for item in (tmp_path / "out").iterdir()}
        assert names == {"report.md", "report.html", "runs.zarr", "metadata.json", "plots"}
        metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
        assert metadata["config"] == {"seeds": 5}
        assert metadata["wall_seconds"] == 1.5
        stored = xarray.open_zarr(tmp_path / "out" / "runs.zarr", consolidated=False)
        np.testing.assert_array_equal(stored["value"], dataset["value"])
        for file in re.findall(r"^\* `(.*?)`:", path.read_text(), re.M):
            assert file in names

    def test_without_plots_none_is_drawn_or_shown(self, tmp_path):
        one = study()
        text = one.report(one.run(), tmp_path, plots=False).read_text()
        assert "plots/" not in text
        assert not (tmp_path / "plots").exists()

    def test_only_designs_that_decide_judge_claims(self, tmp_path):
        name = next(claim.id for claim in td.claims.load() if claim.kind == "design")

        def findings(dataset):
            return {name: Finding("many", "qualified", command="tokdyn study draws")}

        one = study(findings=findings)
        one.report(one.run(), tmp_path / "default")
        assert json.loads((tmp_path / "default" / "claims.json").read_text())
        assert "## Claim by claim" in (tmp_path / "default" / "report.md").read_text()
        one.report(one.run(Config(seeds=2)), tmp_path / "other")
        assert not (tmp_path / "other" / "claims.json").exists()
        loose = study(findings=findings, decides=lambda config: config.seeds > 1)
        assert loose.found(loose.run(Config(seeds=2)))
        assert not loose.found(loose.run(Config(seeds=1)))

    def test_a_report_that_fails_leaves_nothing(self, tmp_path):
        def fails(dataset, config):
            raise RuntimeError("on purpose")

        one = study(contents=fails)
        with pytest.raises(RuntimeError):
            one.report(one.run(), tmp_path / "out")
        assert not (tmp_path / "out").exists()


class TestPage:
    def test_pictures_are_inside(self, tmp_path):
        one = study()
        one.report(one.run(), tmp_path)
        text = (tmp_path / "report.html").read_text()
        picture = re.search(r'src="data:image/png;base64,([^"]*)"', text).group(1)
        assert base64.b64decode(picture) == (tmp_path / "plots" / "a.png").read_bytes()
        assert 'src="plots' not in text
        assert "<h1>Draws</h1>" in text
        assert "<title>Draws</title>" in text
        assert "<td" in text

    def test_html_in_a_text_is_text(self, tmp_path):
        text = documents.page(
            "# A <b>\n\n<script>alert(1)</script>\n\n![x](https://a.b/c.png) ![y](gone.png)", tmp_path
        )
        assert "<script>" not in text
        assert "<title>A &lt;b&gt;</title>" in text
        assert 'src="https://a.b/c.png"' in text
        assert 'src="gone.png"' in text

    def test_a_table_is_read_as_one(self):
        rows = [{"name": "a", "n": 3, "x": 0.5, "yes": True}, {"name": "b", "n": 4, "x": float("nan"), "yes": False}]
        tokens = MarkdownIt().enable("table").parse(documents.table(rows))
        cells = [token.content for token in tokens if token.type == "inline"]
        assert cells == ["name", "n", "x", "yes", "a", "3", "0.5000", "True", "b", "4", "-", "False"]


class TestBroughtByOthers:
    @pytest.fixture
    def brought(self, monkeypatch, tmp_path):
        """A module with ``run`` and ``report`` alone, as the shortest study there is."""
        (tmp_path / "bare_study.py").write_text(
            '"""Bare."""\n'
            "import xarray\n"
            "def run(config):\n    return xarray.Dataset({'x': ('seed', [1.0, 2.0])})\n"
            "def report(dataset, folder):\n    (folder / 'report.md').write_text(f'# Bare\\n\\n{dataset.x.size}\\n')\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        import bare_study

        yield bare_study
        sys.modules.pop("bare_study")

    def test_run_and_report_are_enough(self, brought, tmp_path):
        one = of_module("bare", brought)
        assert one.description == "Bare."
        path = one.report(one.run(), tmp_path / "out")
        assert path.read_text() == "# Bare\n\n2\n"
        names = {item.name for item in (tmp_path / "out").iterdir()}
        assert names == {"report.md", "report.html", "runs.zarr", "metadata.json"}

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("STUDY", 3, r"study: expected a tokdyn.studies.Study as bare_study.STUDY, got int"),
            ("Config", dict, r"study: expected a dataclass as bare_study.Config, got"),
            ("run", None, r"study: expected a module with STUDY, or with run\(config\).*, got no run"),
        ],
    )
    def test_what_is_no_study_is_refused(self, brought, monkeypatch, name, value, sentence):
        monkeypatch.setattr(brought, name, value, raising=False)
        with pytest.raises(ValueError, match=sentence):
            of_module("bare", brought)

    def test_the_example_of_contributing(self, monkeypatch, tmp_path):
        """The gate installs it as a package; here it is what CONTRIBUTING.md shows, and its numbers are checked."""
        text = (PLUGIN / "damping_study.py").read_text()
        assert text in (PLUGIN.parents[1] / "CONTRIBUTING.md").read_text()
        assert len(text.splitlines()) <= 80
        monkeypatch.syspath_prepend(PLUGIN)
        import damping_study

        one = of_module("damping", damping_study)
        dataset = one.run(damping_study.Config(seeds=4, momenta=(0.0, 0.9)))
        steps = dataset["num_steps"].mean("seed")
        assert steps.sel(momentum=0.9) > steps.sel(momentum=0.0)
        assert dataset["ari"].attrs["long_name"] == "adjusted Rand index"
        path = one.report(dataset, tmp_path / "out")
        assert f"{float(steps[0]):.4f}" in path.read_text()
        assert (tmp_path / "out" / "plots" / "steps.png").stat().st_size > 1000
        sys.modules.pop("damping_study")
