"""Every system of the catalogue is held to every law of the contract: a new row gets all of them."""

import pytest

import tokdyn as td
from tokdyn import testing


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", td.catalog.names())
def test_contract(name, law):
    law(testing.make_case(td.catalog.build(name)))


def test_the_published_methods_are_one_program():
    structures = {str(td.tree.jax.tree.structure(td.catalog.published(m))) for m in td.catalog.PUBLISHED_METHODS}
    assert len(structures) == 1


def test_registry_refuses_a_taken_and_an_unknown_name():
    with pytest.raises(ValueError, match="name: expected a name that is not taken, got 'soft_kmeans'"):
        td.catalog.register("soft_kmeans", td.catalog.soft_kmeans)
    with pytest.raises(ValueError, match="name: expected one of 'published/baseline'"):
        td.catalog.build("hard_kmeans")
