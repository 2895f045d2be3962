"""Golden transport plans, from ott-jax: ``python make_transport_goldens.py`` with ott-jax installed.

Writes ``goldens/transport.npz``: features, tokens, temperatures, and the plan of each temperature `[N, K]`, whose rows
sum to 1.
"""

from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
from ott.geometry import pointcloud
from ott.problems.linear import linear_problem
from ott.solvers.linear import sinkhorn

jax.config.update("jax_enable_x64", True)

generator = np.random.default_rng(0)
features = generator.normal(size=(24, 3)) + 4.0
tokens = features[:5] + generator.normal(0, 0.3, (5, 3))
temperatures = np.array([0.5, 2.0, 10.0])
plans = []
for temperature in temperatures:
    # PointCloud's cost is the squared distance, its epsilon the weight of the entropy: our temperature.
    cloud = pointcloud.PointCloud(features, tokens, epsilon=temperature, scale_cost=1.0)
    solved = sinkhorn.Sinkhorn(threshold=1e-12, max_iterations=100_000)(linear_problem.LinearProblem(cloud))
    assert solved.converged
    plans.append(np.asarray(solved.matrix) * len(features))
np.savez(
    Path(__file__).parent / "goldens" / "transport.npz",
    features=features, tokens=tokens, temperatures=temperatures, plans=np.array(plans),
)  # fmt: skip
print("ott-jax", version("ott-jax"))
