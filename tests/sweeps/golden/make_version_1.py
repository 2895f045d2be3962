"""Made version_1.zip, a store as tokdyn wrote it before version 2 of its format: run at commit c02fc52 or earlier.

``python tests/sweeps/golden/make_version_1.py`` beside a checkout of that commit; worker 0 of 2 leaves it half done.
"""

import shutil
import tempfile
from pathlib import Path

import jax

import tokdyn as td


def evaluate(config, key, *, power=1):
    draw = jax.random.normal(key, (2,))
    return {"x": draw * config["a"] ** power, "positive": (draw > 0).sum(), "any": (draw > 1).any()}


space = td.variants(power=[1, 2]) * td.grid({"a": [1.0, 3.0]})
options = {"seeds": 5, "key": jax.random.key(3), "unit": 2, "chunk": 4, "dims": {"x": ("axis",)}}
with tempfile.TemporaryDirectory() as folder:
    for name, shared in {"whole": {}, "half": {"worker": 0, "of": 2}}.items():
        td.sweep(evaluate, {"a": 1.0}, space, store=Path(folder) / name, **options, **shared)
    shutil.make_archive(str(Path(__file__).with_name("version_1")), "zip", folder)
