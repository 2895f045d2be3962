"""The study's folder: tables, tests, figures, the Dataset, and a report that a colleague could read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokdyn import claims
from tokdyn.data.clevr import check_samples
from tokdyn.dynamics import catalog
from tokdyn.studies.dynamics import published, tables
from tokdyn.studies.dynamics.design import config_of
from tokdyn.studies.output import machine, markdown_table, write_json, write_record, written_together

if TYPE_CHECKING:
    import xarray

READABLE = {name: name.replace("_", " + ") for name in catalog.PUBLISHED_METHODS}


def report(
    dataset: xarray.Dataset,
    folder: str | os.PathLike[str],
    *,
    plots: bool = True,
    wall_seconds: float | None = None,
) -> Path:
    """Write everything the study has to say.

    Args:
        dataset: from ``run``.
        folder: made where it is missing; its files appear together, at the end.
        plots: also draw the figures (needs the example in the Dataset).
        wall_seconds: of the whole command so far, for the metadata.

    Returns:
        The path of ``report.md``.

    Raises:
        ValueError: the folder cannot be written, or a sample to check is no sample.
    """
    config = config_of(dataset)
    checked = {Path(path).parent.name or Path(path).stem: check_samples(path) for path in config.samples}
    runs = tables.runs_table(dataset)
    tests = tables.tests(dataset)
    found = published.findings(dataset, tests) if config.is_published() else {}
    with written_together(folder) as place:
        runs.to_csv(place / "runs.csv", index=False)
        tables.summary_table(runs).to_csv(place / "summary.csv", index=False)
        write_json(place / "stat_tests.json", tests)
        if checked:
            write_json(place / "data_checks.json", checked)
        write_record(place, dataset, found, wall_seconds=wall_seconds)
        figures = _draw(dataset, place / "plots") if plots else []
        text = _text(dataset, tests, found, checked, figures)
        (place / "report.md").write_text(text, encoding="utf-8")
    return Path(folder) / "report.md"


def headline(dataset: xarray.Dataset) -> str:
    """The means over all conditions as a few lines of text, for the terminal.

    Args:
        dataset: from ``run``.

    Returns:
        A line a rule, under a line of names.
    """
    columns = {"ari": "ARI", "nmi": "NMI", "num_steps": "steps", "merged_ari": "merge-aware ARI"}
    means = tables.means_by_method(dataset)[list(columns)].rename(columns=columns).round(4)
    means.index.name = "mean over conditions"
    return means.reset_index().to_string(index=False)


def _draw(dataset: xarray.Dataset, folder: Path) -> list[tuple[str, str]]:
    """The figures, as (file name, caption)."""
    from tokdyn import plot

    folder.mkdir()
    made = [
        ("ari.png", "ari", "adjusted Rand index", None, False, "Clustering quality against noise."),
        ("steps.png", "num_steps", "steps to the tolerance", None, False, "Steps taken against noise."),
        (
            "collapse.png", "collapsed", "share of runs flagged", (-0.02, 1.02), True,
            "The published collapse flag against noise.",
        ),
        (
            "merged.png", "merged", "share of runs merged", (-0.02, 1.02), True,
            "What the flag cannot see: runs with fewer distinct tokens than tokens.",
        ),
    ]  # fmt: skip
    with_merged = dataset.assign(merged=dataset["distinct_tokens"] < config_of(dataset).num_tokens)
    captions = []
    for name, variable, label, limits, share, caption in made:
        figure = plot.score_against_noise(
            with_merged, variable, label=label, limits=limits, share=share, names=READABLE
        )
        plot.save(figure, folder / name)
        captions.append((name, caption))
    if "example_path" in dataset:
        names = [READABLE[str(name)] for name in dataset["rule"].values]
        scene = (dataset["example_features"].values, dataset["example_labels"].values, dataset["example_path"].values)
        plot.save(plot.token_paths(*scene, names), folder / "trajectories.png")
        captions.append(("trajectories.png", "Tokens in one scene, in the plane of its two principal components."))
        plot.save_animation(*scene, names, folder / "tokens.gif")
        captions.append(("tokens.gif", "The same, moving."))
    return captions


def _text(
    dataset: xarray.Dataset,
    tests: dict[str, list[dict[str, Any]]],
    found: dict[str, claims.Finding],
    checked: dict[str, dict[str, Any]],
    figures: list[tuple[str, str]],
) -> str:
    config = config_of(dataset)
    is_published = config.is_published()
    blocks = ["# Token dynamics: four update rules on Gaussian clusters"]
    blocks.append(
        f"{dataset['ari'].size:,} runs: {', '.join(config.rules)}; noise {_listed(config.noises)}; "
        f"{_listed(config.clusters)} clusters; {config.seeds:,} seeds; {config.num_tokens} tokens; "
        f"{config.data} data; {dataset.attrs['precision']}. "
        f"Simulation and metrics took {dataset.attrs['simulation_seconds']:.2f} s, compilation included "
        f"({machine(dataset)})."
    )
    if is_published:
        blocks.append(f"Published numbers are those of {published.SOURCE}.")
    else:
        blocks.append("This is not the published design, so its published numbers do not stand beside ours.")
    blocks += ["## Means over all conditions", _means(dataset, is_published)]
    if is_published:
        blocks += ["## Noise 0.3, four clusters", _low_noise(dataset)]
    blocks += _tests(tests)
    blocks += _collapse(dataset)
    if set(config.noises) >= {0.3, 0.9} and "baseline" in config.rules:
        blocks += _noise(dataset)
    blocks += _precision(dataset)
    if checked:
        rows = [
            {
                "sample": name,
                "records": record["sample_count"],
                "missing programs": record["missing_programs"],
                "fields": ", ".join(record["fields"]),
            }
            for name, record in checked.items()
        ]
        blocks += ["## Data samples", markdown_table(rows)]
    if found:
        rows = [
            {"claim": claim.claim, "published": str(claim.published), "ours": str(claim.ours), "verdict": claim.verdict}
            for claim in claims.updated(found)
            if claim.id in found
        ]
        blocks += ["## Claim by claim", markdown_table(rows)]
    if figures:
        blocks.append("## Figures")
        blocks += [f"![{caption}](plots/{name})\n\n{caption}" for name, caption in figures]
    blocks.append(
        "## Files\n\n"
        "`runs.csv` (a row a run), `summary.csv` (a row a condition), `stat_tests.json`, `runs.zarr` (everything, with "
        "labels: `xarray.open_zarr(path, consolidated=False)`), `metadata.json` (versions, machine, design; "
        "`tokdyn study dynamics --config metadata.json` repeats the run)."
    )
    return "\n\n".join(blocks) + "\n"


def _means(dataset: xarray.Dataset, is_published: bool) -> str:
    means = tables.means_by_method(dataset)
    rows = []
    for method, row in means.iterrows():
        record: dict[str, Any] = {"method": method}
        for label, value, place in (
            ("ARI", row.ari, 0),
            ("NMI", row.nmi, 1),
            ("steps", row.num_steps, 2),
            ("collapse flag", row.collapsed, 3),
        ):
            record[label] = float(value)
            if is_published:
                record[f"{label}, published"] = f"{published.MEANS[str(method)][place]:g}"
        record |= {
            "converged": float(row.converged),
            "distinct tokens": float(row.distinct_tokens),
            "merge-aware ARI": float(row.merged_ari),
        }
        rows.append(record)
    return markdown_table(rows)


def _low_noise(dataset: xarray.Dataset) -> str:
    rows = []
    for method, (ari, std, steps) in published.LOW_NOISE.items():
        runs = dataset.sel(rule=method, noise=0.3, clusters=4)
        rows.append(
            {
                "method": method,
                "ARI": float(runs.ari.mean()),
                "published": f"{ari:.3f}",
                "std": float(runs.ari.std(ddof=1)),
                "std, published": f"{std:.3f}",
                "steps": float(runs.num_steps.mean()),
                "steps, published": f"{steps:.2f}",
            }
        )
    return markdown_table(rows)


def _tests(tests: dict[str, list[dict[str, Any]]]) -> list[str]:
    family = tests["per_condition"]
    if not family:
        return []
    best = sorted(family, key=lambda record: record["p_value"])[:5]
    rows = [
        {
            "noise": f"{record['noise']:g}",
            "clusters": record["n_clusters"],
            "comparison": record["comparison"],
            "difference": record["mean_diff"],
            "95 % interval": f"[{record['ci_low']:.4f}, {record['ci_high']:.4f}]",
            "d": record["cohens_d"],
            "p": record["p_value"],
            "Holm": record["p_holm"],
            "BH": record["p_benjamini_hochberg"],
            "wins/losses/ties": f"{record['wins']}/{record['losses']}/{record['ties']}",
        }
        for record in best
    ]
    significant = sum(record["p_value"] < 0.05 for record in family)
    corrected = sum(record["p_holm"] < 0.05 for record in family)
    degenerate = sum(record["degenerate"] for record in family)
    blocks = [
        "## Paired tests of ARI against the baseline",
        f"Within each condition, paired by seed: {significant} of {len(family)} tests have p < 0.05, {corrected} after "
        f"Holm's correction"
        + (f"; {degenerate} have no variance and are marked degenerate" if degenerate else "")
        + f". The {len(rows)} smallest p-values:",
        markdown_table(rows),
    ]
    clustered = tests["clustered_by_seed"]
    rows = [
        {
            "comparison": record["comparison"],
            "difference": record["mean_diff"],
            "95 % interval": f"[{record['ci_low']:.5f}, {record['ci_high']:.5f}]",
            "p (t)": record["p_value"],
            "p (sign flips)": record["p_sign_flip"],
            "detectable at 80 % power": record["minimal_detectable_effect"],
        }
        for record in clustered
    ]
    blocks += [
        f"For one seed all conditions share draws, so the unit of evidence is the seed ({clustered[0]['seeds']} of "
        "them), not the run. Means over conditions, signs flipped for whole seeds:",
        markdown_table(rows),
    ]
    return blocks


def _collapse(dataset: xarray.Dataset) -> list[str]:
    shares = tables.close_pairs(dataset)
    rows = [{"method": name, **{column: float(v) for column, v in row.items()}} for name, row in shares.iterrows()]
    blocks = [
        "## Collapse: what the published flag cannot see",
        f"The flag fires in {float(dataset['collapsed'].mean()):.2%} of runs: for up to five tokens or clusters it "
        "needs every point to go to one token. Tokens merge all the same. Share of runs whose two nearest tokens lie "
        "within a distance:",
        markdown_table(rows),
    ]
    if "baseline" in dataset["rule"]:
        merged = dataset["distinct_tokens"] < config_of(dataset).num_tokens
        by_cell = merged.sel(rule="baseline").mean("seed")
        rows = [
            {"noise": f"{float(noise):g}"}
            | {f"{int(k)} clusters": float(by_cell.sel(noise=noise, clusters=k)) for k in by_cell["clusters"].values}
            for noise in by_cell["noise"].values
        ]
        resolution = config_of(dataset).resolution
        blocks += [
            f"Share of baseline runs with merged tokens (nearer than {resolution:g}), by condition:",
            markdown_table(rows),
        ]
    return blocks


def _noise(dataset: xarray.Dataset) -> list[str]:
    baseline = dataset["ari"].sel(rule="baseline").mean("seed")
    rises = {
        int(k): (float(baseline.sel(noise=0.3, clusters=k)), float(baseline.sel(noise=0.9, clusters=k)))
        for k in baseline["clusters"].values
    }
    text = ", ".join(f"{low:.3f} to {high:.3f} (K = {k})" for k, (low, high) in rises.items())
    verb = "rises" if all(high > low for low, high in rises.values()) else "changes"
    return [
        "## Noise does not degrade",
        f"The published text says that all methods degrade at noise 0.9. Baseline ARI *{verb}* from noise 0.3 to 0.9: "
        f"{text}. At low noise the surplus tokens merge inside a cluster, and the argmax between them cuts it.",
    ]


def _precision(dataset: xarray.Dataset) -> list[str]:
    others = [str(name) for name in dataset.data_vars if str(name).startswith("ari_float")]
    if not others:
        return []
    other = others[0].removeprefix("ari_")
    difference = np.abs(dataset["ari"] - dataset[f"ari_{other}"])
    differ = difference > 1e-6
    steps = int((dataset["num_steps"] != dataset[f"num_steps_{other}"]).sum())
    shift = float(np.abs((dataset["ari"] - dataset[f"ari_{other}"]).mean(("noise", "clusters", "seed"))).max())
    merged = int((differ & (dataset["distinct_tokens"] < config_of(dataset).num_tokens)).sum())
    count = int(differ.sum())
    return [
        "## Float32 against float64",
        f"{count} of {dataset['ari'].size:,} runs have another ARI in the other precision (largest difference "
        f"{float(difference.max()):.4f}), {steps} another step count; the largest shift of a rule's mean is "
        f"{shift:.1e}. {merged} of the {count} end with merged tokens, where last digits decide which of two nearly "
        "equal tokens owns a feature; in the others a feature lies as near to one token as to another.",
    ]


def _listed(values: tuple[Any, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
