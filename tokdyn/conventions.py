"""scikit-learn's conventions: its base classes where it is installed, a stand-in where not, and how input is read.

Importing this module imports scikit-learn, so only the modules of estimators do, which are loaded on first use. The
sentences of ``numbers`` are the same with and without scikit-learn, and hold the words that it expects of an estimator.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from numpy.typing import ArrayLike

from tokdyn import checks


class Reading:
    """How an estimator reads what it is given, with and without scikit-learn."""

    random_state: Any
    n_features_in_: int

    def _seed(self) -> int:
        """scikit-learn's three ways to say it: a number, a generator, or None for another one every time."""
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**32))
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(2**32))
        if hasattr(self.random_state, "randint"):
            return int(self.random_state.randint(2**31))
        return checks.whole_number("random_state", self.random_state, at_least=0, at_most=2**32 - 1)

    def _features(self, X: Any) -> np.ndarray:
        return numbers(X)

    def _fitted(self, X: Any) -> np.ndarray:
        """Features with the columns of fit."""
        if not hasattr(self, "n_features_in_"):
            raise not_fitted(type(self).__name__)
        self._see_names(X, reset=False)  # first: a table of other columns says more than what is wrong inside it
        features = self._features(X)
        expected, got = self.n_features_in_, features.shape[1]
        if got != expected:
            same = f"X has {got} features, but {type(self).__name__} is expecting {expected} features as input"
            raise checks.bad("X", f"{expected} columns, as in fit", f"{got} ({same})")
        return features

    def _see_names(self, X: Any, *, reset: bool) -> None:
        """Compare, or with ``reset`` keep, the names of a table's columns."""


class Plain(Reading):
    """An estimator without scikit-learn: parameters and a representation; names of columns are not looked at."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in sorted(_defaults(type(self)))}

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments.

        Raises:
            ValueError: a name that the constructor does not have.
        """
        _known(self, params)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """A name for each column that ``transform`` returns."""
        prefix = type(self).__name__.lower()
        return np.asarray([f"{prefix}{k}" for k in range(self._n_features_out)], dtype=object)

    def __repr__(self) -> str:
        defaults = _defaults(type(self))
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if repr(v) != repr(defaults[k])]
        return f"{type(self).__name__}({', '.join(changed)})"

    _n_features_out: int


def _defaults(estimator: type) -> dict[str, Any]:
    parameters = inspect.signature(estimator).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _known(estimator: Any, params: dict[str, Any]) -> None:
    """Refuse a parameter that the estimator does not have."""
    known = _defaults(type(estimator))
    for name in params:
        if name not in known:
            raise checks.bad("params", f"names among {', '.join(known)}", repr(name))


Transformer: Any = Plain
Clusterer: Any = Plain
_NotFitted: type[Exception] = ValueError

if not TYPE_CHECKING:
    try:
        from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import validate_data
    except ImportError:  # there is none, or it is older than 1.6: its conventions were others
        pass
    else:

        class Full(Reading, ClassNamePrefixFeaturesOutMixin):
            """What is common to estimators with scikit-learn; its base classes also give ``set_output``."""

            def set_params(self, **params: Any) -> Self:
                """Change constructor arguments.

                Raises:
                    ValueError: a name that the constructor does not have.
                """
                _known(self, params)
                return super().set_params(**params)

            def __sklearn_tags__(self) -> Any:
                tags = super().__sklearn_tags__()
                tags.transformer_tags.preserves_dtype = [
                    dtype for dtype in ("float32", "float64") if computed_in(dtype) == dtype
                ]
                return tags

            def _see_names(self, X: Any, *, reset: bool) -> None:
                validate_data(self, X, reset=reset, skip_check_array=True, ensure_2d=False)

        class FullTransformer(Full, TransformerMixin, BaseEstimator):
            """One that transforms."""

        class FullClusterer(Full, TransformerMixin, ClusterMixin, BaseEstimator):
            """One that also clusters."""

        Transformer, Clusterer, _NotFitted = FullTransformer, FullClusterer, NotFittedError


def not_fitted(name: str) -> Exception:
    """What is raised by an estimator of that name which is used before it was fitted: a ValueError in any case."""
    return _NotFitted(str(checks.bad("self", f"a fitted {name} (call fit first)", "one that is not")))


def computed_in(dtype: DTypeLike) -> np.dtype:
    """The dtype that JAX computes in where it is given float32 or float64: the latter only with ``jax_enable_x64``."""
    return min(np.dtype(dtype), np.dtype(jnp.result_type(float)), key=lambda one: one.itemsize)


def numbers(X: ArrayLike) -> np.ndarray:
    """Features as anybody gives them (arrays, lists, tables), as floating-point numbers `[N, D]` in float32 or float64.

    float32 and float64 stay what they are, without a copy; float16 becomes float32, all else float64.

    Raises:
        TypeError: sparse data, or an entry that is no number.
        ValueError: complex or other data, another rank, no row, no column, infinite or NaN entries.
    """
    from scipy.sparse import issparse

    if issparse(X):
        got = f"a {type(X).__name__} (sparse data was passed, but dense data is required: use .toarray())"
        raise TypeError(str(checks.bad("X", "a dense array of numbers [N, D]", got)))
    try:
        array = np.asarray(X)
        array = array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(str(checks.bad("X", "numbers [N, D]", f"something else: {error}"))) from None
    if array.dtype.kind == "c":
        raise checks.bad("X", "real numbers [N, D]", f"dtype {array.dtype}. Complex data not supported")
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        got = checks.describe_array(array)
        if array.ndim == 1:
            got += ". Reshape your data: X.reshape(-1, 1) if it is one column, X.reshape(1, -1) if it is one row"
        raise checks.bad("X", "numbers [N, D]", got)
    if 0 in array.shape:
        missing = "sample(s)" if array.shape[0] == 0 else "feature(s)"
        got = f"0 {missing} (shape={array.shape}) while a minimum of 1 is required."
        raise checks.bad("X", "at least one row and one column", got)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):  # NaN goes through both
        raise checks.bad("X", "finite numbers", "infinite or NaN entries")
    return array
