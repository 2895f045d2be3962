"""Real images without a download: 1,797 handwritten digits, shipped with the package."""

from __future__ import annotations

import importlib.resources

import numpy as np

from tokdyn import array_files


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits of 43 people, 8 x 8 pixels in 17 levels of grey.

    Data: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    doi 10.24432/C50P49, licence CC BY 4.0. This is its test set of 1,797 images in the original order, unchanged except
    for the scale, which is 0 to 1 instead of 0 to 16.

    Returns:
        ``(images, labels)``: images `[1797, 8, 8]`, float32 in [0, 1] with 1 for ink, and their digits `[1797]`, int32.

    References:
        E. Alpaydin, C. Kaynak, Cascading classifiers, Kybernetika 34, 1998.

    Example:
        >>> from tokdyn.data import digits
        >>> images, labels = digits()
        >>> images.shape, float(images.max()), labels[:5].tolist()
        ((1797, 8, 8), 1.0, [0, 1, 2, 3, 4])
    """
    source = importlib.resources.files("tokdyn.data").joinpath("digits.npz")
    stored = array_files.npz_of(source.read_bytes())
    return stored["images"].astype(np.float32) / np.float32(16), stored["labels"].astype(np.int32)
