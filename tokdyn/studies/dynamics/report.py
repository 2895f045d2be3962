"""The study's folder: tables, tests, figures, the Dataset, and a report that a colleague could read."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokdyn import plot
from tokdyn.data.clevr import check_samples
from tokdyn.dynamics import catalog
from tokdyn.studies.documents import Figure, Report, brackets, records, table
from tokdyn.studies.dynamics import claims, tables
from tokdyn.studies.dynamics.design import Config
from tokdyn.studies.dynamics.experiment import MEANINGS, measure
from tokdyn.studies.output import write_json
from tokdyn.studies.skeleton import Study, machine

if TYPE_CHECKING:
    import xarray

READABLE = {name: name.replace("_", " + ") for name in catalog.PUBLISHED_METHODS}


def write(dataset: xarray.Dataset, folder: Path) -> None:
    """The published files' tables, the tests, and what the samples hold."""
    config = STUDY.config_of(dataset)
    runs = tables.runs_table(dataset, config)
    runs.to_csv(folder / "runs.csv", index=False)
    tables.summary_table(runs).to_csv(folder / "summary.csv", index=False)
    write_json(folder / "stat_tests.json", tables.tests(dataset))
    if config.samples:
        write_json(folder / "data_checks.json", _checked(config))


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


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the study has to say."""
    is_published = config.is_published()
    blocks = [
        f"{dataset['ari'].size:,} runs: {', '.join(config.rules)}; noise {_listed(config.noises)}; "
        f"{_listed(config.clusters)} clusters; {config.seeds:,} seeds; {config.num_tokens} tokens; "
        f"{config.data} data; {dataset.attrs['precision']}. "
        f"Simulation and metrics took {dataset.attrs['simulation_seconds']:.2f} s, compilation included "
        f"({machine(dataset)})."
    ]
    if is_published:
        blocks.append(f"Published numbers are those of {claims.SOURCE}.")
    else:
        blocks.append("This is not the published design, so its published numbers do not stand beside ours.")
    blocks += ["## Means over all conditions", _means(dataset, is_published)]
    if is_published:
        blocks += ["## Noise 0.3, four clusters", _low_noise(dataset)]
    blocks += _tests(tables.tests(dataset))
    blocks += _collapse(dataset, config)
    if set(config.noises) >= {0.3, 0.9} and "baseline" in config.rules:
        blocks += _noise(dataset)
    blocks += _precision(dataset, config)
    if config.samples:
        rows = [
            {
                "sample": name,
                "records": record["sample_count"],
                "missing programs": record["missing_programs"],
                "fields": ", ".join(record["fields"]),
            }
            for name, record in _checked(config).items()
        ]
        blocks += ["## Data samples", table(rows)]
    title = "Token dynamics: four update rules on Gaussian clusters"
    return Report(title, blocks, _figures(dataset, config), files=FILES)


def _checked(config: Config) -> dict[str, dict[str, Any]]:
    """What the data samples hold, by name."""
    return {Path(path).parent.name or Path(path).stem: check_samples(path) for path in config.samples}


def _means(dataset: xarray.Dataset, is_published: bool) -> str:
    means = tables.means_by_method(dataset)
    rows = []
    for method, row in means.iterrows():
        record: dict[str, Any] = {"method": method}
        scores = {"ARI": row.ari, "NMI": row.nmi, "steps": row.num_steps, "collapse flag": row.collapsed}
        for place, (label, value) in enumerate(scores.items()):
            record[label] = float(value)
            if is_published:
                record[f"{label}, published"] = f"{claims.MEANS[str(method)][place]:g}"
        record |= {
            "converged": float(row.converged),
            "distinct tokens": float(row.distinct_tokens),
            "merge-aware ARI": float(row.merged_ari),
        }
        rows.append(record)
    return table(rows)


def _low_noise(dataset: xarray.Dataset) -> str:
    published = claims.LOW_NOISE
    columns: dict[str, Any] = {
        "ARI": lambda runs: float(runs.ari.mean()),
        "published": lambda runs: f"{published[runs.rule.item()][0]:.3f}",
        "std": lambda runs: float(runs.ari.std(ddof=1)),
        "std, published": lambda runs: f"{published[runs.rule.item()][1]:.3f}",
        "steps": lambda runs: float(runs.num_steps.mean()),
        "steps, published": lambda runs: f"{published[runs.rule.item()][2]:.2f}",
    }
    return table(records(dataset.sel(rule=list(published), noise=0.3, clusters=4), {"rule": "method"}, columns))


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
            "95 % interval": brackets(record["ci_low"], record["ci_high"], 4),
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
        table(rows),
    ]
    clustered = tests["clustered_by_seed"]
    rows = [
        {
            "comparison": record["comparison"],
            "difference": record["mean_diff"],
            "95 % interval": brackets(record["ci_low"], record["ci_high"], 5),
            "p (t)": record["p_value"],
            "p (sign flips)": record["p_sign_flip"],
            "detectable at 80 % power": record["minimal_detectable_effect"],
        }
        for record in clustered
    ]
    blocks += [
        f"For one seed all conditions share draws, so the unit of evidence is the seed ({clustered[0]['seeds']} of "
        "them), not the run. Means over conditions, signs flipped for whole seeds:",
        table(rows),
    ]
    return blocks


def _collapse(dataset: xarray.Dataset, config: Config) -> list[str]:
    shares = tables.close_pairs(dataset)
    blocks = [
        "## Collapse: what the published flag cannot see",
        f"The flag fires in {float(dataset['collapsed'].mean()):.2%} of runs: for up to five tokens or clusters it "
        "needs every point to go to one token. Tokens merge all the same. Share of runs whose two nearest tokens lie "
        "within a distance:",
        table(shares.rename_axis("method").reset_index().to_dict("records")),
    ]
    if "baseline" in dataset["rule"]:
        merged = dataset["distinct_tokens"] < config.num_tokens
        by_cell = merged.sel(rule="baseline").mean("seed")
        frame = by_cell.to_series().unstack("clusters").rename(columns=lambda count: f"{count} clusters")
        rows = [{"noise": f"{noise:g}", **row} for noise, row in frame.to_dict("index").items()]
        blocks += [
            f"Share of baseline runs with merged tokens (nearer than {config.resolution:g}), by condition:",
            table(rows),
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


def _precision(dataset: xarray.Dataset, config: Config) -> list[str]:
    others = [str(name) for name in dataset.data_vars if str(name).startswith("ari_float")]
    if not others:
        return []
    other = others[0].removeprefix("ari_")
    difference = np.abs(dataset["ari"] - dataset[f"ari_{other}"])
    differ = difference > 1e-6
    steps = int((dataset["num_steps"] != dataset[f"num_steps_{other}"]).sum())
    shift = float(np.abs((dataset["ari"] - dataset[f"ari_{other}"]).mean(("noise", "clusters", "seed"))).max())
    merged = int((differ & (dataset["distinct_tokens"] < config.num_tokens)).sum())
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


def _figures(dataset: xarray.Dataset, config: Config) -> list[Figure]:
    scores = partial(
        plot.score_against_noise,
        dataset.assign(merged=dataset["distinct_tokens"] < config.num_tokens),
        names=READABLE,
    )
    share = partial(scores, share=True, limits=(-0.02, 1.02))
    made = [
        Figure("ari.png", "Clustering quality against noise.", partial(scores, "ari", label="adjusted Rand index")),
        Figure("steps.png", "Steps taken against noise.", partial(scores, "num_steps", label="steps to the tolerance")),
        Figure(
            "collapse.png",
            "The published collapse flag against noise.",
            partial(share, "collapsed", label="share of runs flagged"),
        ),
        Figure(
            "merged.png",
            "What the flag cannot see: runs with fewer distinct tokens than tokens.",
            partial(share, "merged", label="share of runs merged"),
        ),
    ]
    if dataset.sizes["seed"] > 1 and len(config.rules) > 1:
        caption = (
            f"ARI of a rule minus that of {config.rules[0]} on the same scene and start: what pairing shows and means "
            "with intervals between seeds hide. Filled: p < 0.05 after Holm's correction. The last row has the seed as "
            "its unit."
        )
        made.append(Figure("differences.png", caption, partial(_differences, dataset, config)))
    if "example_path" not in dataset:
        return made
    names = [READABLE[str(name)] for name in dataset["rule"].values]
    scene = (dataset["example_features"].values, dataset["example_labels"].values, dataset["example_path"].values)
    return [
        *made,
        Figure(
            "trajectories.png",
            "Tokens in one scene, in the plane of its two principal components.",
            partial(plot.token_paths, *scene, names),
        ),
        Figure("tokens.gif", "The same, moving.", write=partial(plot.save_animation, *scene, names)),
    ]


def _differences(dataset: xarray.Dataset, config: Config) -> Any:
    tests = tables.tests(dataset)
    overall = tests["clustered_by_seed"]
    comparisons = [record["comparison"] for record in overall]
    each = [[record for record in tests["per_condition"] if record["comparison"] == name] for name in comparisons]
    mean, low, high, holm = (
        [[record[name] for record in records] for records in each]
        for name in ("mean_diff", "ci_low", "ci_high", "p_holm")
    )
    ends = [np.array([record[name] for record in overall]) for name in ("mean_diff", "ci_low", "ci_high")]
    return plot.paired_differences(
        [f"noise {record['noise']:g}, {record['n_clusters']} clusters" for record in each[0]], mean, low, high=high,
        label="difference in adjusted Rand index", sure=np.array(holm) < 0.05, sure_label="p < 0.05 after Holm",
        panels=[f"{READABLE[name]} minus {config.rules[0]}" for name in config.rules[1:]],
        overall=("all conditions, by seed", ends[0], ends[1], ends[2]),
    )  # fmt: skip


FILES = {
    "runs.csv": "a row a run",
    "summary.csv": "a row a condition",
    "stat_tests.json": "every paired test",
}
STUDY = Study(
    "dynamics", measure, Config, contents=contents, write=write, headline=headline, findings=claims.findings,
    decides=Config.is_published, variables=MEANINGS,
)  # fmt: skip
