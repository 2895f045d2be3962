"""A bare ``Any`` tells neither a reader nor a type checker anything: a public parameter has one only for a reason."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import tokdyn

PACKAGE = Path(__file__).parents[1] / "tokdyn"
KEEPS_A_PROTOCOL = "of any class that keeps a documented protocol, derived from it or not"
REASONS = {
    **dict.fromkeys(
        ("model", "loss", "encoder", "bottleneck", "decoder", "quantizer", "part", "term"), KEEPS_A_PROTOCOL
    ),
    **dict.fromkeys(("reward", "log_policy", "operands", "earlier", "batched", "outputs", "content"), "several forms"),
    **dict.fromkeys(("cluster", "client"), "of Dask, which need not be installed"),
    "default": "of a dataclass field: any value",
    "in_axes": "prefixes of pytrees, as jax.vmap has them",
    "input_features": "scikit-learn's, as it has it",
    "jaxpr": "of jax, which gives it no public type",
    "out": "anything with slices of rows that can be assigned",
    "random_state": "scikit-learn's, as it has it",
    "threshold": "stored as it comes",
    "value": "a function that checks what it is",
    "words_from": "a number or a schedule, already checked",
    "xp": "a module: jax.numpy or numpy",
}


def bare(source):
    """``(function, parameter)`` of all public ones that are annotated with Any and nothing else."""
    found = []

    def visit(body):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body)
            if isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
                for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                    if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any":
                        found.append((node.name, argument.arg))

    visit(ast.parse(source).body)
    return found


def test_no_parameter_is_any_without_a_reason():
    without = [
        f"{path.relative_to(PACKAGE)}: {function}({name})"
        for path in sorted(PACKAGE.rglob("*.py"))
        for function, name in bare(path.read_text())
        if name not in REASONS
    ]
    assert not without, "numpy.typing.ArrayLike, tokdyn.typing, object, or a reason in this file"


def test_a_bare_any_is_found():
    source = (
        "def one(x: Any, y: int): ...\nclass Two:\n    def three(self, *, z: Any = None): ...\ndef _four(x: Any): ..."
    )
    assert bare(source) == [("one", "x"), ("three", "z")]


def test_every_reason_is_needed():
    names = {name for path in PACKAGE.rglob("*.py") for _, name in bare(path.read_text())}
    assert set(REASONS) <= names


RUNS = {"run", "run_streamed", "trajectory", "init", "step"}


def public_functions():
    """Every function that a package of ours exports."""
    for module in pkgutil.walk_packages(tokdyn.__path__, "tokdyn."):
        if not module.name.endswith("__main__"):
            exporting = importlib.import_module(module.name)
            exported = (getattr(exporting, name) for name in getattr(exporting, "__all__", ()))
            yield from (function for function in exported if inspect.isfunction(function))


def test_the_key_has_its_place():
    """First in a pure draw, second in what runs a dynamics, last in ``td.diagnose``, which needs none, else by name."""
    places = {}
    for function in public_functions():
        parameters = list(inspect.signature(function).parameters.values())
        for place, one in enumerate(parameters):
            if one.name == "key" and one.kind is not one.KEYWORD_ONLY:
                places[function.__name__] = place
    assert {name for name, place in places.items() if place == 1} == RUNS
    assert {name for name, place in places.items() if place > 1} == {"diagnose"}
