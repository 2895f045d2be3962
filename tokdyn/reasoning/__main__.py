"""``python -m tokdyn.reasoning``: train the reference reasoners once more and write their weights."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax

from tokdyn import interrupts
from tokdyn.reasoning.references import catalog
from tokdyn.reasoning.shipped import FOLDER, KEY, Shipped, ensemble, save


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, say what came out."""
    parser = argparse.ArgumentParser(prog="python -m tokdyn.reasoning", description=__doc__)
    parser.add_argument("--only", action="append", choices=tuple(catalog()), help="this reference (repeatable)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write; by default into the package")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, reference in catalog().items():
        if options.only and name not in options.only:
            continue
        made = ensemble(reference, jax.random.key(KEY), [options.seed])
        first = jax.tree.map(lambda leaf: leaf[0], made)
        done = Shipped(reference, first["variables"], float(first["accuracy"]), first["history"], options.seed)
        path = save(name, done, options.folder)
        interrupts.keeps("the weights named above were written")
        print(f"{name}: {done.accuracy:.3f} of fresh items right, {path}", flush=True)


if __name__ == "__main__":
    interrupts.install()
    main()
