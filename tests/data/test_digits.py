import numpy as np
from sklearn.datasets import load_digits

from tokdyn.data import digits


def test_they_are_those_of_scikit_learn():
    images, labels = digits()
    theirs = load_digits()
    assert images.dtype == np.float32
    assert labels.dtype == np.int32
    assert np.array_equal(images * 16, theirs.images)
    assert np.array_equal(labels, theirs.target)
    assert (images.min(), images.max()) == (0.0, 1.0)
