"""What each fault of the factorial costs, and what repairing it brings."""

from __future__ import annotations

import numpy as np
import xarray

from tokdyn.stats import mean_interval
from tokdyn.studies.autoencoder import design


def effects(dataset: xarray.Dataset) -> list[dict[str, object]]:
    """What each fault costs alone, and what repairing it alone brings, paired by seed.

    Args:
        dataset: from ``run``, with the factorial.

    Returns:
        A record for each bottleneck and fault: change of ``types`` with 95 % intervals (Student, over seeds).
    """
    records: list[dict[str, object]] = []
    faults = tuple(design.FAULTS)
    for bottleneck in design.BOTTLENECKS:

        def types(*on: str, bottleneck: str = bottleneck) -> np.ndarray:
            name = design.condition(*on, bottleneck=bottleneck).name
            return np.asarray(dataset["types"].sel(condition=name).values, float)

        for fault in faults:
            others = tuple(other for other in faults if other != fault)
            alone = mean_interval(types(fault) - types())
            repaired = mean_interval(types(*others) - types(*faults))
            records.append(
                {
                    "bottleneck": bottleneck,
                    "fault": fault,
                    "with it alone": float(types(fault).mean()),
                    "change": float(alone.mean),
                    "low": float(alone.low),
                    "high": float(alone.high),
                    "with all others": float(types(*others).mean()),
                    "repaired alone": float(repaired.mean),
                }
            )
    return records
