"""Token dynamics behind the interface of a scikit-learn clusterer: ``TokenClustering().fit_predict(X)``."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from tokdyn import checks, keys
from tokdyn.checks import Status
from tokdyn.dynamics import Dynamics, attraction, compose
from tokdyn.metrics import sum_squared_errors
from tokdyn.numerics import squared_distances
from tokdyn.solve import Result, run, stepping, vmap
from tokdyn.theory import CollapseWarning, Guide


def best_of(
    dynamics: Dynamics,
    features: jax.Array,
    *,
    num_tokens: int,
    num_starts: int,
    max_steps: int,
    tol: float,
    seed: int,
) -> tuple[Result | None, float, jax.Array]:
    """Run from several random starts and keep the one with the smallest sum of squared errors.

    Args:
        dynamics: what ``td.compose`` returned.
        features: `[N, D]`.
        num_tokens: K.
        num_starts: how many starts.
        max_steps: as in ``td.run``.
        tol: as in ``td.run``.
        seed: of the starts.

    Returns:
        ``(result, sum of squared errors, the key of that start)``; None for the result where no start stayed finite.

    Raises:
        ValueError: as ``td.run``, or no start.
    """
    num_starts = checks.whole_number("num_starts", num_starts, at_least=1)
    if checks.whole_number("seed", seed, at_least=0) >= 2**32:
        raise checks.bad("seed", "a whole number below 2^32", seed)
    checks.hyperparameter("tol", tol, at_least=0.0)
    results, errors = _attempts(
        dynamics, features, np.uint32(seed), np.arange(num_starts), tol, num_tokens=num_tokens, max_steps=max_steps
    )
    failed = (np.asarray(results.status) == Status.NONFINITE) | np.isnan(errors)
    ranked = np.where(failed, np.inf, errors)
    best = int(ranked.argmin())
    result = jax.tree.map(lambda leaf: leaf[best], results) if np.isfinite(ranked[best]) else None
    return result, float(ranked[best]), keys.for_seed(jax.random.key(np.uint32(seed)), best)


@functools.partial(jax.jit, static_argnames=("num_tokens", "max_steps"))
def _attempts(
    dynamics: Dynamics, features: jax.Array, seed: Any, starts: Any, tol: Any, *, num_tokens: int, max_steps: int
) -> tuple[Result, jax.Array]:
    """All starts, and the sum of squared errors of each."""

    def attempt(start: jax.Array) -> tuple[Result, jax.Array]:
        key = keys.for_seed(jax.random.key(seed), start)
        result = run(dynamics, key, features, num_tokens=num_tokens, max_steps=max_steps, tol=tol)
        return result, sum_squared_errors(features, result.tokens, result.assignment.argmax(axis=-1))

    return vmap(attempt)(starts)


class TokenClustering:
    """Cluster features by letting tokens move among them.

    Follows scikit-learn's conventions (constructor arguments are stored as they are, results end in an underscore,
    ``get_params`` and ``set_params`` work, hence ``clone`` and grid searches), without importing scikit-learn.

    Args:
        num_tokens: how many tokens, so the largest number of clusters.
        temperature: of the softmax, in squared units of the features, or ``"auto"`` for what
            ``td.theory.automatic_temperature`` says of the features. A softmax at a temperature above twice the
            largest eigenvalue of a cluster's covariance merges the tokens inside it.
        dynamics: what ``td.compose`` returned; by default soft k-means at that temperature, which is otherwise ignored.
        num_starts: independent random starts; the one with the smallest sum of squared errors is kept.
        max_steps: at most so many steps.
        tol: stop when no token moves further than this in a step.
        random_state: seed of the starts: a number below 2^32, a NumPy generator, or None.

    Attributes:
        labels_: the token of each feature `[N]`.
        tokens_: `[K, D]` (also as ``cluster_centers_``).
        assignment_: soft responsibilities `[N, K]`.
        inertia_: sum of squared distances to the own token (scikit-learn's word, not a force).
        n_iter_: steps taken by the kept start.
        status_: how it ended, as a ``td.Status``.
        temperature_: the number that was used; None where a dynamics was given.

    Warns:
        CollapseWarning: the answer says less than it seems to, and which number to use instead.

    Example:
        >>> import numpy as np, tokdyn as td
        >>> X = np.concatenate([np.random.default_rng(0).normal(c, 0.3, (30, 2)) for c in (-3, 3)])
        >>> labels = td.TokenClustering(num_tokens=2).fit_predict(X)
        >>> sorted(np.bincount(labels).tolist())
        [30, 30]
    """

    def __init__(
        self,
        num_tokens: int = 8,
        *,
        temperature: float | str = "auto",
        dynamics: Dynamics | None = None,
        num_starts: int = 10,
        max_steps: int = 300,
        tol: float = 1e-4,
        random_state: Any = 0,
    ) -> None:
        self.num_tokens = num_tokens
        self.temperature = temperature
        self.dynamics = dynamics
        self.num_starts = num_starts
        self.max_steps = max_steps
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Move the tokens.

        Args:
            X: features `[N, D]`; integers are taken as numbers.
            y: ignored.

        Returns:
            self.

        Raises:
            ValueError: not a finite numeric `[N, D]`, fewer features than tokens, or no start that stayed finite.
        """
        features = self._features(X)
        guide = Guide(features, self.num_tokens)
        temperature = None if self.dynamics is not None else guide.temperature(self.temperature)
        dynamics = self._dynamics(temperature)

        result, error, _ = best_of(
            dynamics, features, num_tokens=self.num_tokens, num_starts=self.num_starts, max_steps=self.max_steps,
            tol=self.tol, seed=self._seed(),
        )  # fmt: skip
        if result is None:
            raise checks.bad("dynamics", "one whose tokens stay finite", "infinite or NaN tokens from every start")
        result = jax.tree.map(np.asarray, result)
        self.tokens_ = self.cluster_centers_ = result.tokens
        self.assignment_ = result.assignment
        self.labels_ = result.assignment.argmax(axis=-1)
        self.inertia_ = error
        self.n_iter_ = int(result.num_steps)
        self.status_ = Status(int(result.status))
        self.temperature_ = None if temperature is None else float(temperature)
        self.n_features_in_ = features.shape[1]
        for sentence in guide.warnings(dynamics, result.tokens, num_distinct=result.num_distinct, tol=self.tol):
            warnings.warn(sentence, CollapseWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> np.ndarray:
        """Move the tokens and return each feature's token `[N]`."""
        return self.fit(X).labels_

    def predict(self, X: Any) -> np.ndarray:
        """The nearest fitted token of new features `[N, D]`, as `[N]`."""
        return np.asarray(squared_distances(self._fitted(X), jnp.asarray(self.tokens_)).argmin(axis=-1))

    def transform(self, X: Any) -> np.ndarray:
        """The soft assignment of new features to the fitted tokens, by the attraction's temperature `[N, K]`."""
        features = self._fitted(X)
        dynamics = stepping.cast(self._dynamics(self.temperature_), features.dtype)
        tokens = jnp.asarray(self.tokens_, features.dtype)
        contexts = stepping.prepared(dynamics, features, None, None)
        steps = jnp.asarray(self.n_iter_)
        return np.asarray(stepping.assignment_of(dynamics, steps, tokens, features, contexts, None, None))

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the sum of squared distances of features `[N, D]` to their nearest token: more is better."""
        return -float(squared_distances(self._fitted(X), jnp.asarray(self.tokens_)).min(axis=-1).sum())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments.

        Raises:
            ValueError: a name that the constructor does not have.
        """
        for name, value in params.items():
            if name not in self.get_params():
                raise checks.bad("params", f"names among {', '.join(self.get_params())}", repr(name))
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type="clusterer", target_tags=TargetTags(required=False), input_tags=InputTags())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "tokens_")

    def _dynamics(self, temperature: Any) -> Dynamics:
        if self.dynamics is not None:
            return self.dynamics
        # By differences: the user's features may be of any spread, and may come in float32.
        return compose(attract=attraction(temperature=temperature, distances="difference"))

    def _seed(self) -> int:
        """scikit-learn's three ways to say it: a number, a generator, or None for another one every time."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**32))
        if hasattr(self.random_state, "randint"):
            return int(self.random_state.randint(2**31))
        return self.random_state

    def _features(self, X: Any) -> jax.Array:
        array = np.asarray(X)
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise checks.bad("X", "numbers [N, D]", checks.describe_array(array))
        if not np.isfinite(array).all():
            raise checks.bad("X", "finite numbers", "infinite or NaN entries")
        return jnp.asarray(array if array.dtype.kind == "f" else array.astype(float))

    def _fitted(self, X: Any) -> jax.Array:
        if not hasattr(self, "tokens_"):
            raise checks.bad("self", "a fitted TokenClustering (call fit first)", "one that is not")
        features = self._features(X)
        if features.shape[1] != self.n_features_in_:
            raise checks.bad("X", f"{self.n_features_in_} columns, as in fit", features.shape[1])
        return features
