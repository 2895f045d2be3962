"""Small real data sets of scikit-learn, an optional extra: wine, iris, cancer. ``td.data.digits`` needs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokdyn import checks

EXTRA = "data"


def wine() -> tuple[np.ndarray, np.ndarray]:
    """Wines of three growers: 178 chemical analyses of 13 quantities, in their own units.

    Standardise them first (``td.data.standardised``): one quantity, proline, otherwise decides every distance.

    Returns:
        ``(features, labels)``: features `[178, 13]`, float32, and the grower of each wine `[178]`, int32.

    Raises:
        ValueError: scikit-learn is not installed.

    References:
        S. Aeberhard, M. Forina, Wine, UCI Machine Learning Repository, 1992, doi 10.24432/C5PC7J.

    Example:
        >>> import tokdyn as td
        >>> features, labels = td.data.wine()
        >>> features.shape, sorted(set(labels.tolist()))
        ((178, 13), [0, 1, 2])
    """
    return _loaded("wine")


def iris() -> tuple[np.ndarray, np.ndarray]:
    """Flowers of three species of iris, 50 of each: 4 lengths in centimetres.

    Returns:
        ``(features, labels)``: features `[150, 4]`, float32, and species `[150]`, int32.

    Raises:
        ValueError: scikit-learn is not installed.

    References:
        R. A. Fisher, The use of multiple measurements in taxonomic problems, Annals of Eugenics 7 (1936) 179.

    Example:
        >>> import tokdyn as td
        >>> td.data.iris()[0].shape
        (150, 4)
    """
    return _loaded("iris")


def cancer() -> tuple[np.ndarray, np.ndarray]:
    """Breast tumours: 30 measures of the nuclei of 569 samples, in their own units. Standardise them first.

    Returns:
        ``(features, labels)``: features `[569, 30]`, float32, and labels `[569]`, int32: 0 malignant, 1 benign.

    Raises:
        ValueError: scikit-learn is not installed.

    References:
        W. Wolberg, O. Mangasarian, N. Street, W. Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning
        Repository, 1993, doi 10.24432/C5DW2B.

    Example:
        >>> import tokdyn as td
        >>> td.data.cancer()[0].shape
        (569, 30)
    """
    return _loaded("breast_cancer")


def _loaded(name: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets
    except ImportError:
        expected = f"scikit-learn, which holds the data (pip install 'tokdyn[{EXTRA}]')"
        raise checks.bad(name, expected, "an environment without it") from None
    found: Any = getattr(datasets, f"load_{name}")()
    return found.data.astype(np.float32), found.target.astype(np.int32)
