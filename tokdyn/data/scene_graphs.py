"""Scenes of sprites in CLEVR's format: a scene graph of objects, positions and relations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tokdyn import checks
from tokdyn.data.sprites import COLOURS, FLOOR, MATERIALS, RADII, SHAPES, SIZES, Scene, checked_positions

# CLEVR says that one object is left of another if it is so by more than this, in floor units.
RELATION_MARGIN = 0.2


def to_clevr(scene: Scene, *, image_index: int = 0, split: str = "sprites", size: int = 320) -> dict[str, Any]:
    """The scene as CLEVR's scene graph: plain numbers and lists, ready for ``json.dumps``.

    The picture is CLEVR's floor seen from above, six units wide, with the origin in the middle, ``x`` to the right
    and ``y`` away from the viewer, so that *behind* is *higher in the picture*. ``relationships["left"][i]`` lists the
    objects left of object ``i``. As in CLEVR, objects are related in this way only if they differ by more than 0.2
    floor units.

    Args:
        scene: one scene, with known numbers.
        image_index: number of the scene in the data set.
        split: name of the data set.
        size: width in pixels of the picture to which ``pixel_coords`` refers; their third component is the distance
            from the lower edge in floor units, which is smaller for nearer objects.

    Returns:
        A dictionary with CLEVR's keys (in CLEVR's spelling, ``color``), with objects in the order of the slots.

    Raises:
        ValueError: a traced or stacked scene, a negative number, an empty size.

    Example:
        >>> import jax
        >>> from tokdyn.data import scene_graphs, sprites
        >>> drawn = sprites.scene(jax.random.key(0), num_objects=2, max_objects=5)
        >>> record = scene_graphs.to_clevr(drawn)
        >>> len(record["objects"]), sorted(record["relationships"])
        (2, ['behind', 'front', 'left', 'right'])
    """
    image_index = checks.whole_number("image_index", image_index, at_least=0)
    size = checks.whole_number("size", size, at_least=1)
    if not all(checks.is_concrete(leaf) for leaf in scene):
        raise checks.bad("scene", "known numbers (call it outside jit and vmap)", "traced ones")
    checked_positions(scene)
    found = np.flatnonzero(np.asarray(scene.present))
    place = np.asarray(scene.positions, dtype=np.float64)[found]
    floor = FLOOR * np.stack([place[:, 0] - 0.5, 0.5 - place[:, 1]], axis=-1)
    # ``json`` can only write Python's own numbers, hence tolist.

    objects = []
    for slot, (x, y), (right, away) in zip(found.tolist(), place.tolist(), floor.tolist(), strict=True):
        shape = SHAPES[int(scene.shapes[slot])]
        radius = FLOOR * float(RADII[int(scene.sizes[slot])])
        objects.append(
            {
                "shape": shape,
                "size": SIZES[int(scene.sizes[slot])],
                "material": MATERIALS[int(scene.materials[slot])],
                "color": COLOURS[int(scene.colours[slot])],
                # CLEVR's solids rest on the floor, and the size of a cube is half its diagonal.
                "3d_coords": [right, away, radius / math.sqrt(2) if shape == "cube" else radius],
                "pixel_coords": [x * size, y * size, FLOOR * (1 - y)],
                "rotation": 0.0,
            }
        )
    directions = {
        "right": [1.0, 0.0, 0.0],
        "left": [-1.0, 0.0, 0.0],
        "behind": [0.0, 1.0, 0.0],
        "front": [0.0, -1.0, 0.0],
        "above": [0.0, 0.0, 1.0],
        "below": [0.0, 0.0, -1.0],
    }
    relationships = {
        name: [
            [other for other in range(len(found)) if (floor[other] - floor[one]) @ direction[:2] > RELATION_MARGIN]
            for one in range(len(found))
        ]
        for name, direction in directions.items()
        if direction[2] == 0
    }
    return {
        "split": split,
        "image_index": image_index,
        "image_filename": f"CLEVR_{split}_{image_index:06d}.png",
        "objects": objects,
        "relationships": relationships,
        "directions": directions,
    }
