"""The rows of the table: a name, where its work is written down, and the cores that it may use."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from benchmarks.record import Section


class Row(NamedTuple):
    """One row.

    Attributes:
        home: ``module:function`` within this package; imported in the row's own process only.
        cores: 1 to keep that process on one core, 0 for all there are.
        text: what is measured.
        devices: so many devices are made of the processor; 0 for the one that it is.
    """

    home: str
    cores: int
    text: str
    devices: int = 0


ROWS = {
    "study": Row("study:measure", 0, "the 1,080-run study: data, simulation with early stop, the CSV's metrics"),
    "silhouette": Row("study:measure_silhouette", 0, "silhouette of the study's scenes"),
    "simulate": Row("simulate:measure", 0, "30 fixed steps, K=4, N=400, D=6, on all cores"),
    "simulate-one-core": Row("simulate:measure", 1, "the same on one core, beside the XLA floor"),
    "simulate-large": Row("simulate:measure_large", 0, "30 fixed steps, K=32, N=4096, D=64"),
    "simulate-large-one-core": Row("simulate:measure_large", 1, "the same on one core"),
    "clusterings": Row("clusterings:measure", 1, "many small clusterings against clustering libraries, on one core"),
    "scores": Row("scores:measure", 0, "ARI and NMI of 10,000 labelings"),
    "early-stop": Row("early_stop:measure", 1, "runs with tol against 30 fixed steps, on one core"),
    "blocks": Row("blocks:measure", 1, "lanes and blocks, on one core"),
    "draws": Row("draws:measure", 1, "random numbers, on one core"),
    "sweep": Row("sweeping:measure", 0, "a sweep, its threads, and its bare function"),
    "devices": Row("sweeping:measure_devices", 0, "a sweep on four devices made of one processor", 4),
    "ensemble": Row("ensembles:measure_small", 0, "trainings of a 51-word autoencoder over rates and seeds"),
    "ensemble-large": Row("ensembles:measure_large", 0, "the same for 192 words"),
    "quantizers": Row("quantizing:measure", 0, "training with quantizers, beside vector-quantize-pytorch"),
    "arms": Row("reasoning:measure", 0, "arms of an intervention battery that share a prompt"),
    "waiting": Row("waiting:measure", 0, "whole commands, the first and the second time, and where the time goes"),
    "diagnose": Row("diagnosing:measure", 0, "tokdyn diagnose of 50,000 x 512 features, nothing compiled before"),
    "maps": Row("mapping:measure", 0, "maps that keep neighbours, beside umap-learn, t-SNE and PaCMAP: kept, and time"),
    "cold": Row("cold:measure", 0, "whole processes: import, compile, run, write"),
}


def measure(name: str, *, repeats: int, quick: bool) -> Section:
    """Measure one row in this process."""
    module, function = ROWS[name].home.split(":")
    return getattr(importlib.import_module(f"benchmarks.{module}"), function)(repeats=repeats, quick=quick)
