"""What the recurrences do, in words, tables and figures."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray

from tokdyn.stats import clopper_pearson, mean_interval
from tokdyn.studies.documents import Figure, Report, brackets, bullets, table
from tokdyn.studies.recurrence.claims import findings
from tokdyn.studies.recurrence.design import TRAINED, Config
from tokdyn.studies.recurrence.experiment import VARIABLES, measure
from tokdyn.studies.skeleton import Study, machine


def headline(dataset: xarray.Dataset) -> str:
    """One line for each reasoner that feeds states back, and one for the others."""
    lines, others = [], []
    for name in dataset["reference"].values:
        one = dataset.sel(reference=name)
        if str(one["feeds"].values) != "state":
            others.append(f"{name} ({one['feeds'].values}s)")
            continue
        lines.append(f"{name}: {_sentence(one)}")
    if others:
        lines.append(f"No small change reaches the next slot, whatever the weights: {', '.join(others)}.")
    return "\n".join(lines)


def _sentence(one: xarray.Dataset) -> str:
    trained, random = one.sel(network=TRAINED), one.drop_sel(network=TRAINED)
    exponent = float(trained["exponent"].isel(order=0).mean())
    starts = trained["distinct_starts"].mean("item")
    return (
        f"gain {float(trained['gain'].mean()):.2f} a step (random weights {float(random['gain'].mean()):.2f}), largest "
        f"Lyapunov exponent {exponent:.2f}; rolled out, {float((trained['period'] == 1).mean()):.0%} of items come to "
        f"rest, and of {float(starts.isel(state=0)):.0f} starts {float(starts.isel(state=-1)):.1f} stay different."
    )


def estimates(one: xarray.DataArray, *, share: bool = False) -> dict[str, tuple[float, float, float]]:
    """Mean and 95 % interval of one reasoner's number `[network, item, ...]`, of trained and of random weights.

    The trained network is one training: its interval is over items, and speaks of other items of that network. That of
    random weights is over networks, each the mean of its items.

    Args:
        one: other dimensions are averaged first; infinite or missing values give NaN for both ends.
        share: flags of 0 and 1: Clopper and Pearson's interval over items.

    Returns:
        ``{"trained" | "random": (mean, low, high)}``.
    """
    flat = one.mean([name for name in one.dims if name not in ("network", "item")])
    units = {"trained": flat.sel(network=TRAINED).values, "random": flat.drop_sel(network=TRAINED).mean("item").values}
    found = {}
    for kind, values in units.items():
        there = values[~np.isnan(values)]
        if len(there) < 2 or not np.isfinite(there).all():
            value = float(there.mean()) if len(there) else np.nan
            found[kind] = (value, np.nan, np.nan)
            continue
        if share and kind == "trained":
            ends = clopper_pearson(int(there.sum()), there.size)
            found[kind] = (float(there.mean()), float(ends.low), float(ends.high))
            continue
        interval = mean_interval(there.astype(float), within=(0, 1) if share else None)
        found[kind] = (float(interval.mean), float(interval.low), float(interval.high))
    return found


def _cell(estimate: tuple[float, float, float], digits: int = 2) -> str:
    value, low, high = estimate
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "minus infinity"
    return f"{value:.{digits}f}" + ("" if np.isnan(low) else f" {brackets(low, high, digits)}")


def _rows(dataset: xarray.Dataset, names: dict[str, xarray.DataArray]) -> list[dict[str, Any]]:
    """A row for each reasoner and kind of weights, a column for each number."""
    rows = []
    for name in dataset["reference"].values:
        cells = {
            label: estimates(values.sel(reference=name), share=label.startswith("share")) for label, values in
            names.items()
        }  # fmt: skip
        for kind in ("trained", "random"):
            row = {"reasoner": name, "fed": str(dataset["feeds"].sel(reference=name).values), "weights": kind}
            rows.append(row | {label: _cell(cell[kind]) for label, cell in cells.items()})
    return rows


def contents(dataset: xarray.Dataset, config: Config) -> Report:
    """What the recurrences do, and what follows for collapse."""
    first = dataset["exponent"].isel(order=0)
    clean = {
        "gain": dataset["gain"], "spectral radius": dataset["spectral_radius"], "largest stretch": dataset["stretch"],
        "change to the next latent": dataset["latent_residual"],
    }  # fmt: skip
    long = {
        "Lyapunov exponent": first, "share at rest": (dataset["period"] == 1).astype(float),
        "share with a period of 2 to 12": (dataset["period"] > 1).astype(float),
        "radius at the fixed point": dataset["fixed_radius"],
        f"different starts of {config.starts}": dataset["distinct_starts"].isel(state=-1),
    }  # fmt: skip
    blocks = [
        f"{dataset.sizes['reference']} shipped reasoners with two slots or more, {config.items} items each, beside "
        f"{config.networks} networks of random weights. {dataset.attrs['simulation_seconds']:.0f} s, compilation "
        f"included ({machine(dataset)}).",
        "A slot is fed a latent and makes the next one: a map of one vector, with image, question and earlier slots "
        "held. Latents collapse where this map contracts: whatever they differed in is then forgotten.",
        "Each reasoner is one training. Intervals of trained weights (95 %, Student; exact for shares) are over items "
        "and speak of other items of the same network; those of random weights are over networks, each the mean over "
        "its items.",
        bullets(_sentences(dataset)),
        "## At the latents of a clean run",
        "The gain is the root mean square factor by which a small random change of a latent is multiplied on its way "
        "into the next one; the spectral radius is about many steps of the same map, the stretch about the worst one.",
        table(_rows(dataset, clean)),
        "## If it went on",
        f"The map of the first slot, applied {config.num_steps} times. In use every slot has its own place, so that "
        "no map is applied twice: this asks what the recurrence would do if it went on. A Lyapunov exponent below 0 "
        "says that neighbours meet, above 0 that they part (chaos); minus infinity, that one step forgets everything. "
        "The fixed point was sought by Newton's method from the end of the roll-out; where its radius is above 1, a "
        "roll-out does not stay there.",
        table(_rows(dataset, long)),
        "Contraction alone is no collapse. Where a roll-out has a period, different starts can fall onto different "
        "points of one cycle: small errors are forgotten, the point itself is not. Collapse is where exponents are "
        "below 0 *and* one start is left.",
        "## What the slots of a clean run hold",
        f"Different latents among {config.items} items, slot by slot; those nearer than a hundredth of their length "
        "count as one.",
        table(_slots(dataset)),
    ]
    return Report("Latent recurrences as dynamics", blocks, _figures(dataset))


def _sentences(dataset: xarray.Dataset) -> list[str]:
    return headline(dataset).splitlines()


def _slots(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    trained = dataset["distinct_latents"].sel(network=TRAINED)
    return [
        {"reasoner": name} | {
            f"slot {slot}": "-" if np.isnan(count := float(trained.sel(reference=name, fed_slot=slot))) else int(count)
            for slot in dataset["fed_slot"].values
        }
        for name in dataset["reference"].values
    ]  # fmt: skip


def _figures(dataset: xarray.Dataset) -> list[Figure]:
    def drawn(name: str) -> Any:
        from tokdyn.plot import recurrence

        return getattr(recurrence, name)(dataset)

    captions = {
        "spectra": "Eigenvalues of the Jacobian at the first latent, one mark for each item and eigenvalue: trained "
                   "weights and the first network of random ones. Inside the circle changes die out in the long run.",
        "residuals": "Length of a step over that of the latent, by index of the roll-out: mean over items of the "
                     "logarithm, with 95 % bands over items (trained) or networks (random).",
        "distinct": "Different latents by index, of those that one item's map started from: mean over items, with the "
                    "same bands.",
        "exponents": "The largest Lyapunov exponent per step: every item of the trained network, and the mean over "
                     "items of each network of random weights.",
    }  # fmt: skip
    return [Figure(f"{name}.png", caption, partial(drawn, name)) for name, caption in captions.items()]


STUDY = Study(
    "recurrence", measure, Config, contents=contents, headline=headline, findings=findings, variables=VARIABLES
)
