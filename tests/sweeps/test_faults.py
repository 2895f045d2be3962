"""A small part of ``faults.py`` in every gate, all of it by hand."""

import faults
import pytest


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return faults.Stores(tmp_path_factory.mktemp("stores"))


@pytest.mark.parametrize("number", range(20))
def test_faults_are_mended_or_said(stores, number):
    assert faults.check(stores, number)


@pytest.mark.slow
def test_two_hundred_faults(stores):
    for number in range(20, 220):
        faults.check(stores, number)
