"""What CONTRIBUTING.md says to write is run as it stands, and held to the contract that it speaks of."""

import re
from pathlib import Path

import pytest

import tokdyn as td

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
SECTIONS = {
    heading.splitlines()[0]: re.findall(r"```python\n(.*?)```", heading, re.S) for heading in TEXT.split("\n## ")[1:]
}


@pytest.mark.parametrize("heading", [heading for heading, blocks in SECTIONS.items() if blocks])
def test_its_code_runs(heading):
    for block in SECTIONS[heading]:
        names = {"__name__": "contributed"}
        exec(compile(block, f"CONTRIBUTING.md, {heading}", "exec"), names)
        if "tether" in names:
            assert len(td.testing.check_term(names["tether"](strength=0.2))) == 15


def test_every_contract_has_an_example():
    for heading, contract in (
        ("A schedule", "td.schedule("),
        ("A part of an autoencoder", "check_part("),
        ("A metric", "check_metric("),
    ):
        assert any(contract in block for block in SECTIONS[heading])
    assert any("tether" in block for blocks in SECTIONS.values() for block in blocks)
