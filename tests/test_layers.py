"""Imports go one way: a layer imports only the layers before it. Nothing else keeps that true."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tokdyn"
# Members of the lowest layer lean on each other in this order.
BASE_ORDER = [
    "typing", "failures", "interrupts", "environment", "checks", "files", "array_files", "compile_cache", "compiling",
    "keys", "draws", "numerics", "ranges", "tree",
]  # fmt: skip
# A tuple is one layer, whose members do not import each other.
LAYERS = [
    tuple(BASE_ORDER),
    ("claims", "conventions", "nearest", "starts"),
    ("dynamics", "metrics", "stats", "data"),
    ("solve",),
    ("theory", "train"),
    ("testing", "estimator"),
    ("autoencoder",),
    ("geometry",),
    ("reasoning",),
    ("sweeps",),
    ("plot",),
    ("studies",),
    ("inspection",),
    ("cli",),
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported_modules(path: Path) -> set[str]:
    """Second components of every ``tokdyn.X`` that the file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "tokdyn":
                found |= {alias.name for alias in node.names}
            elif node.module.startswith("tokdyn."):
                found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tokdyn.")}
    return found


def violations(home: str, imported: set[str]) -> list[str]:
    """What the file of that layer may not import."""
    wrong = []
    for other in imported - {home, "__version__"}:
        if other not in LEVEL:
            wrong.append(f"{home} imports {other}, which is in no layer")
        elif home in BASE_ORDER and other in BASE_ORDER:
            if BASE_ORDER.index(other) > BASE_ORDER.index(home):
                wrong.append(f"{home} imports {other}")
        elif LEVEL[other] >= LEVEL[home]:
            wrong.append(f"{home} imports {other}")
    return wrong


FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.parent != PACKAGE or path.stem not in ("__init__", "__main__")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    home = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert home in LEVEL, f"{home} is in no layer: give it one"
    assert not violations(home, imported_modules(path))


def test_flax_stays_behind_one_file_of_each_folder():
    """What builds on it can be moved to another library in one place."""
    importing = {
        str(path.relative_to(PACKAGE)) for path in FILES if re.search(r"^\s*(import|from) flax", path.read_text(), re.M)
    }
    assert importing == {"autoencoder/layers.py", "reasoning/transformer.py", "studies/autoencoder/costs.py"}


def test_every_layer_is_there():
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert set(LEVEL) <= there


def test_a_wrong_import_is_found():
    assert violations("dynamics", {"solve"}) == ["dynamics imports solve"]
    assert violations("metrics", {"dynamics"}) == ["metrics imports dynamics"]
    assert violations("checks", {"tree"}) == ["checks imports tree"]
    assert not violations("solve", {"dynamics", "checks"})


def test_no_file_is_two_rooms_in_one():
    long = {str(path): n for path in FILES if (n := len(path.read_text().splitlines())) > 420}
    assert not long


def imports_between_files() -> dict[str, set[str]]:
    """By module of ours those that it imports anywhere, but for what only a type checker reads."""
    names = {".".join(("tokdyn", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    found: dict[str, set[str]] = {name: set() for name in names}
    for name, path in names.items():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
                node.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= {one if one in names else node.module for one in whole} & set(names)
    return found


def circles(imports: dict[str, set[str]]) -> list[str]:
    """Modules that lead back to themselves."""
    left = dict(imports)
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    # What is left leads into a circle; those that also follow from one are on it, or between two.
    while free := [name for name in left if not any(name in others for others in left.values())]:
        for name in free:
            del left[name]
    return sorted(left)


def test_no_imports_in_circles():
    assert circles(imports_between_files()) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]
