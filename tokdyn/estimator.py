"""Token dynamics behind the interface of a scikit-learn clusterer: ``TokenClustering().fit_predict(X)``."""

from __future__ import annotations

import warnings
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, conventions
from tokdyn.checks import Status
from tokdyn.dynamics import Dynamics, attraction, compose
from tokdyn.nearest import nearest_tokens, squared_error
from tokdyn.solve import stepping
from tokdyn.solve.starts import LARGEST, best_of
from tokdyn.theory import CollapseWarning, Guide


class TokenClustering(conventions.Clusterer):
    """Cluster features by letting tokens move among them.

    A clusterer and transformer of scikit-learn (1.6 or newer) where that is installed: ``check_estimator`` passes;
    ``clone``, ``Pipeline``, ``GridSearchCV`` and ``set_output`` work; tables are read with the names of their columns.
    Without scikit-learn it fits, predicts and transforms all the same, and has ``get_params`` and ``set_params``.

    Numbers are computed in the dtype of X, but float64 only where ``jax_enable_x64`` is on, and otherwise in float32,
    which is then the dtype of ``tokens_`` and of what ``transform`` returns. float16 counts as float32; integers,
    booleans and objects that are numbers count as float64. ``predict`` and ``score`` compare distances in float64.

    Args:
        num_tokens: how many tokens, so the largest number of clusters.
        temperature: of the softmax, in squared units of the features, or ``"auto"`` for what
            ``td.theory.automatic_temperature`` says of the features. A softmax at a temperature above twice the
            largest eigenvalue of a cluster's covariance merges the tokens inside it.
        dynamics: what ``td.compose`` returned; by default soft k-means at that temperature, which is otherwise ignored.
        num_starts: independent random starts; the one with the smallest sum of squared errors is kept.
        start: how each is drawn: a name in ``td.starts.CATALOG``, such as ``"kmeans++"``.
        max_steps: at most so many steps.
        tol: stop when no token moves further than this in a step.
        random_state: seed of the starts: a number below 2^32; a NumPy ``Generator`` or ``RandomState``, from which
            each fit draws one; or None for another one at each fit.

    Attributes:
        labels_: the token of each feature `[N]`: all numbers from 0 up to the largest occur.
        tokens_: `[K, D]` (also as ``cluster_centers_``); those that own no feature come last.
        assignment_: soft responsibilities `[N, K]`.
        inertia_: sum of squared distances to the own token (scikit-learn's word, not a force).
        n_iter_: steps taken by the kept start.
        status_: how it ended, as a ``td.Status``.
        n_features_in_: D.
        feature_names_in_: the names of X's columns, where it is a table whose names are strings, and scikit-learn is
            there.
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
        start: str = "features",
        max_steps: int = 300,
        tol: float = 1e-4,
        random_state: Any = 0,
    ) -> None:
        self.num_tokens = num_tokens
        self.temperature = temperature
        self.dynamics = dynamics
        self.num_starts = num_starts
        self.start = start
        self.max_steps = max_steps
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
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
        num_tokens = checks.whole_number("num_tokens", self.num_tokens, at_least=1)
        if num_tokens > len(features):
            expected = f"at most the number of features, {len(features)}"
            raise checks.bad("num_tokens", expected, f"{num_tokens} (n_samples={len(features)})")
        guide = Guide(features, num_tokens)
        temperature = None if self.dynamics is not None else guide.temperature(self.temperature)
        dynamics = self._dynamics(temperature)
        self._see_names(X, reset=True)

        result, error, _ = best_of(
            dynamics, jnp.asarray(features), num_tokens=num_tokens, num_starts=self.num_starts,
            max_steps=self.max_steps, tol=self.tol, seed=self._seed(), start=self.start,
        )  # fmt: skip
        if result is None:
            raise checks.bad("dynamics", "one whose tokens stay finite", "infinite or NaN tokens from every start")
        # Tokens are a set. Those that own features come first, so that labels have no gaps.
        owns = np.bincount(np.asarray(result.assignment).argmax(axis=-1), minlength=num_tokens) > 0
        order = np.argsort(~owns, kind="stable")
        self.tokens_ = self.cluster_centers_ = np.asarray(result.tokens)[order]
        self.assignment_ = np.asarray(result.assignment)[:, order]
        self.labels_ = self.assignment_.argmax(axis=-1)
        self.inertia_ = error
        self.n_iter_ = int(result.num_steps)
        self.status_ = Status(int(result.status))
        self.temperature_ = None if temperature is None else float(temperature)
        self.n_features_in_ = features.shape[1]
        for sentence in guide.warnings(dynamics, result.tokens, num_distinct=result.num_distinct, tol=self.tol):
            warnings.warn(sentence, CollapseWarning, stacklevel=2)
        return self

    def fit_predict(self, X: ArrayLike, y: object = None) -> np.ndarray:
        """Move the tokens and return each feature's token `[N]`."""
        return self.fit(X).labels_

    def fit_transform(self, X: ArrayLike, y: object = None) -> np.ndarray:
        """Move the tokens and return the soft assignment `[N, K]`."""
        return self.fit(X).assignment_.copy()

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The nearest fitted token of new features `[N, D]`, as `[N]`."""
        return nearest_tokens(self._fitted(X), self.tokens_)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The soft assignment of new features to the fitted tokens, by the attraction's temperature `[N, K]`.

        Raises:
            ValueError: other columns than in fit, or a dynamics that also remembers more than its tokens.
        """
        features = self._fitted(X)
        if self.dynamics is not None and any(map(stepping.remembers, self.dynamics.parts)):
            got = "one whose part remembers, such as td.mixture"
            raise checks.bad("dynamics", "for transform, one that assigns by its tokens alone", got)
        return np.array(_assignment(self._dynamics(self.temperature_), np.int32(self.n_iter_), self.tokens_, features))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Minus the sum of squared distances of features `[N, D]` to their nearest token: more is better."""
        features = self._fitted(X)
        return -squared_error(features, self.tokens_, nearest_tokens(features, self.tokens_))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "tokens_")

    @property
    def _n_features_out(self) -> int:
        if not hasattr(self, "tokens_"):
            raise conventions.not_fitted(type(self).__name__)
        return len(self.tokens_)

    def _dynamics(self, temperature: Any) -> Dynamics:
        if self.dynamics is not None:
            return self.dynamics
        # By differences: the user's features may be of any spread, and may come in float32.
        return compose(attract=attraction(temperature=temperature, distances="difference"))

    def _features(self, X: Any) -> np.ndarray:
        features = super()._features(X)
        precision = conventions.computed_in(features.dtype).name
        largest = max(-features.min(), features.max())
        if largest > LARGEST[precision]:
            raise checks.bad("X", f"numbers up to {LARGEST[precision]:g} in size (in {precision})", f"{largest:g}")
        return features


@jax.jit
def _assignment(dynamics: Dynamics, steps: jax.Array, tokens: jax.Array, features: jax.Array) -> jax.Array:
    """The assignment after so many steps `[N, K]`."""
    dynamics, tokens = stepping.cast(dynamics, features.dtype), tokens.astype(features.dtype)
    contexts = stepping.prepared(dynamics, features, None, None)
    return stepping.assignment_of(dynamics, steps, tokens, features, contexts, None, None)
