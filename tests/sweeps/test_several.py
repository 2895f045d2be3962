"""A few processes in one store in every gate, many by hand."""

import pytest
import several


@pytest.fixture(scope="module")
def stores():
    return several.Stores()


@pytest.mark.parametrize("number", range(2))
def test_killed_and_gone_on(stores, tmp_path, number):
    several.kill(stores, number, str(tmp_path / "store"))


@pytest.mark.parametrize("kind", several.STARTS)
def test_three_started_at_once(stores, tmp_path, kind):
    several.start(stores, 0, str(tmp_path / "store"), together=3, kind=kind)


@pytest.mark.slow
def test_killed_sixty_times(stores, tmp_path):
    for number in range(2, 62):
        several.kill(stores, number, str(tmp_path / str(number)))


@pytest.mark.slow
@pytest.mark.parametrize("together", [2, 3, 4])
def test_twenty_rounds_of_starts(stores, tmp_path, together):
    for number in range(1, 21):
        kind = several.STARTS[number % len(several.STARTS)]
        several.start(stores, number, str(tmp_path / str(number)), together=together, kind=kind)
