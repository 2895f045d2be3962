"""Every docstring's example as code that a type checker can read: ``python tests/typing/examples.py FOLDER``.

The gate runs mypy and basedpyright over the folder, so that what is documented type-checks, all of it. Examples that
end in an error on purpose are left out.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import sys
import textwrap
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[2] / "tokdyn"


def modules() -> list[ModuleType]:
    """All of the package that have no side effects."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] != "__main__":
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [importlib.import_module(name) for name in names]


def functions_of(module: ModuleType) -> list[str]:
    """The source of a function for each of a module's docstrings that has an example."""
    found = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, module.__name__):
        if not test.examples or any(example.exc_msg for example in test.examples):
            continue
        body = "".join(example.source for example in test.examples)
        # What the module itself defines is at hand in a doctest without an import.
        used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
        bound = {
            alias.asname or alias.name.split(".")[0]
            for node in ast.walk(ast.parse(body))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        stored = {
            node.id
            for node in ast.walk(ast.parse(body))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        own = sorted(name for name in used - bound - stored if name in vars(module))
        imports = "".join(f"from {module.__name__} import {name}\n" for name in own)
        name = test.name.removeprefix(module.__name__).strip(".").replace(".", "_") or "module"
        found.append(f"def example_of_{name}() -> None:\n{textwrap.indent(imports + body, '    ')}")
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for module in modules():
        functions = functions_of(module)
        count += len(functions)
        if functions:
            name = "examples_of_" + module.__name__.replace(".", "_")
            (folder / f"{name}.py").write_text("\n\n".join(functions))
    print(f"{count} examples")


if __name__ == "__main__":
    main()
