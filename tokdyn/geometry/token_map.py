"""Maps behind the interface of a scikit-learn transformer: ``TokenMap().fit(X).transform(new)``."""

from __future__ import annotations

from typing import Any, Self

import jax
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import conventions
from tokdyn.geometry.forms import Positions
from tokdyn.geometry.graph import Neighbours, directions
from tokdyn.geometry.preservation import Metric
from tokdyn.geometry.projection import Form, Loss, train_map

_DISTANCES = 2**24  # between new and fitted features, held at a time


class TokenMap(conventions.Transformer):
    """Map features to a few dimensions so that neighbours stay neighbours, new features included.

    A transformer of scikit-learn (1.6 or newer) where that is installed: ``check_estimator`` passes; ``clone``,
    ``Pipeline``, ``GridSearchCV`` and ``set_output`` work. Without scikit-learn it fits and transforms all the same.

    Maps are trained by ``train_map``, whose parameters these are. Every column counts as it is: standardise columns of
    different units first.

    Args:
        dimensions: d of the map: 2 to look at, more to keep neighbours.
        form: "positions", one for each feature, with new features among their nearest neighbours, or "network".
        num_neighbours: how many neighbours of each feature are to stay near.
        metric: "euclidean", or "cosine" for directions, as of word vectors and CLIP features.
        loss: "contrastive", "umap", or the control "attraction".
        min_distance: of "umap": how near neighbours may come in the map.
        num_negatives: average features that each neighbour is held against; by default 50, with "umap" 5.
        hidden: of a network: widths of the layers in between.
        input_noise: of a network: what smooths it.
        num_steps: of training, a multiple of 10; None for a number that follows the rows.
        batch_size: pairs of neighbours of a step, where they are too many to be all in it.
        learning_rate: at the start of training; None for what suits the form.
        random_state: seed of start and batches: a number below 2^32; a NumPy ``Generator`` or ``RandomState``, from
            which each fit draws one; or None for another one at each fit.

    Attributes:
        map_: the trained ``FeatureMap``, a JAX function of features.
        embedding_: the features of fit in the map `[N, d]`.
        losses_: mean loss between records of the training `[10]`.
        n_features_in_: D.
        feature_names_in_: the names of X's columns, where it is a table whose names are strings, and scikit-learn is
            there.

    Example:
        >>> import tokdyn as td
        >>> table = td.geometry.word_vectors()
        >>> fitted = td.TokenMap(8, num_neighbours=5, metric="cosine", num_steps=200).fit(table.vectors[:200])
        >>> fitted.transform(table.of(["cat", "dog", "music"])).shape
        (3, 8)
    """

    def __init__(
        self,
        dimensions: int = 2,
        *,
        form: Form = "positions",
        num_neighbours: int = 15,
        metric: Metric = "euclidean",
        loss: Loss = "contrastive",
        min_distance: float = 0.1,
        num_negatives: float | None = None,
        hidden: tuple[int, ...] = (256, 256),
        input_noise: float = 0.3,
        num_steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        random_state: Any = 0,
    ) -> None:
        self.dimensions = dimensions
        self.form = form
        self.num_neighbours = num_neighbours
        self.metric = metric
        self.loss = loss
        self.min_distance = min_distance
        self.num_negatives = num_negatives
        self.hidden = hidden
        self.input_noise = input_noise
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None, *, neighbours: Neighbours | None = None) -> Self:
        """Train the map.

        Args:
            X: features `[N, D]`; integers are taken as numbers.
            y: ignored.
            neighbours: of X, for instance approximate ones of ``nearest_neighbours`` for very many rows; by default the
                exact ones.

        Returns:
            self.

        Raises:
            ValueError: not a finite numeric `[N, D]`, no more distinct rows than ``num_neighbours``, with "cosine" a
                row of zeros, or a parameter out of its range.
        """
        features = self._features(X)
        options = {name: value for name, value in self.get_params(deep=False).items() if name != "random_state"}
        key = jax.random.key(np.uint32(self._seed()))
        made = train_map(features, key=key, neighbours=neighbours, name="X", **options)
        self._see_names(X, reset=True)
        self.n_features_in_ = features.shape[1]
        self.map_ = made
        self.losses_ = np.array(made.losses)
        dtype = conventions.computed_in(features.dtype)
        is_placed = isinstance(made.form, Positions)
        self.embedding_ = np.array(made.variables["params"], dtype) if is_placed else self._mapped(features)
        return self

    def fit_transform(self, X: ArrayLike, y: object = None, *, neighbours: Neighbours | None = None) -> np.ndarray:
        """Train the map and return the features in it `[N, d]`."""
        return self.fit(X, neighbours=neighbours).embedding_.copy()

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Features `[M, D]`, those of fit or new ones, in the map `[M, d]`.

        Raises:
            ValueError: before fit; other columns than in fit; numbers not finite; with "cosine" a row of zeros.
        """
        return self._mapped(self._fitted(X))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "map_")

    @property
    def _n_features_out(self) -> int:
        if not hasattr(self, "map_"):
            raise conventions.not_fitted(type(self).__name__)
        return self.embedding_.shape[1]

    def _mapped(self, features: np.ndarray) -> np.ndarray:
        """In blocks, so that distances to a million fitted features fit into memory."""
        dtype = conventions.computed_in(features.dtype)
        if self.map_.metric == "cosine":
            features = directions("X", features)
        wide = len(self.embedding_) if isinstance(self.map_.form, Positions) else features.shape[1]
        block = max(_DISTANCES // wide, 1)
        parts = [features[start : start + block] for start in range(0, len(features), block)]
        return np.concatenate([np.asarray(self.map_(part)) for part in parts]).astype(dtype, copy=False)
