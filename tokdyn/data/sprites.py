r"""Scenes of flat sprites with CLEVR's vocabulary, drawn, rendered and described by pure functions of a key.

A scene is a fixed number of slots of which the first ``num_objects`` are filled, so that scenes with different numbers
of objects have the same shape: they share a compiled program and can be stacked. The picture is the unit square, with
``x`` to the right and ``y`` *down*. As under CLEVR's tilted camera, an object that is lower in the picture is nearer to
the viewer, and hides what is behind it.

CLEVR's solids are drawn as flat outlines inscribed in a circle of the object's radius `r`:

| shape | outline | area | perimeter |
|---|---|---|---|
| cube | square | `2 r^2` | `4 \sqrt 2 r` |
| sphere | circle | `\pi r^2` | `2 \pi r` |
| cylinder | equilateral triangle, point up | `\tfrac{3 \sqrt 3}{4} r^2` | `3 \sqrt 3 r` |

There is no antialiasing and no shading: a pixel belongs to the object that covers its centre, and has exactly that
object's colour. Metal differs from rubber by its lighter tone.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, draws, keys
from tokdyn.numerics import squared_distances

SHAPES = ("cube", "sphere", "cylinder")
SIZES = ("small", "large")
MATERIALS = ("rubber", "metal")
COLOURS = ("gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow")

# CLEVR's own tables: eight-bit colours, and radii on a floor six units wide.
RGB = np.array(
    [
        [87, 87, 87],
        [173, 35, 35],
        [42, 75, 215],
        [29, 105, 20],
        [129, 74, 25],
        [129, 38, 192],
        [41, 208, 208],
        [255, 238, 51],
    ]
)
FLOOR = 6.0
RADII = np.array([0.35, 0.7]) / FLOOR
# How far metal is moved towards white. With 0.3 the two closest of the sixteen tones differ by 0.16 in RGB, the largest
# possible value, and none is closer than that to the default background.
METAL_LIGHTENING = 0.3
# [colour, material, RGB], as a table, so that every program draws exactly the same tone.
TONES = np.stack([RGB / 255, RGB / 255 + METAL_LIGHTENING * (1 - RGB / 255)], axis=1)


class Scene(NamedTuple):
    """The objects of a scene and their positions; under vmap every leaf has a leading axis. Empty slots hold zeros.

    Attributes:
        positions: centres, ``x`` to the right and ``y`` down, in [0, 1] `[M, 2]`.
        shapes: index into ``SHAPES`` `[M]`.
        colours: index into ``COLOURS`` `[M]`.
        sizes: index into ``SIZES`` `[M]`.
        materials: index into ``MATERIALS`` `[M]`.
        present: which slots hold an object, always the first ones `[M]`.
        valid: whether the requested number of objects and their minimal distances were achieved `[]`.
    """

    positions: jax.Array
    shapes: jax.Array
    colours: jax.Array
    sizes: jax.Array
    materials: jax.Array
    present: jax.Array
    valid: jax.Array


class Picture(NamedTuple):
    """A rendered scene.

    Attributes:
        image: red, green, blue in [0, 1] `[H, W, 3]`.
        masks: the pixels that *show* each object, without its hidden parts `[M, H, W]`.
        labels: 0 for the background, otherwise 1 + the slot, row by row `[H * W]`.
    """

    image: jax.Array
    masks: jax.Array
    labels: jax.Array


def scene(
    key: jax.Array,
    *,
    num_objects: jax.Array | int,
    max_objects: int,
    min_distance: float = 0.16,
    margin: float = 0.12,
    num_candidates: int = 64,
) -> Scene:
    r"""A random scene with independent uniform attributes, and uniform centres subject to a minimum distance.

    Objects are placed one after the other. Each gets ``num_candidates`` uniform draws and takes the first one that
    keeps the distance from earlier objects. This is rejection sampling with a limited number of trials, which avoids a
    loop of unknown length. If no draw keeps the distance, the one farthest from the others is taken and ``valid`` is
    False.

    Every object has random streams of its own, so that a scene is the beginning of the scene with one more object, and
    does not depend on ``max_objects``. The default distance can practically always be kept with ten objects, and leaves
    most of each visible. `2 \cdot 0.7 / 6 \approx 0.234` excludes any overlap, but rarely leaves room for ten.

    Args:
        key: a JAX key `[]`.
        num_objects: how many, from 0 to ``max_objects`` `[]`, may be traced. A traced number outside is clipped, and
            ``valid`` is False.
        max_objects: the number of slots `M`, static.
        min_distance: smallest distance between two centres, in widths of the picture `[]`, may be traced.
        margin: smallest distance of a centre from the border `[]`, may be traced. From 0.117 on, no object is cut off.
        num_candidates: number of draws for each object, static.

    Returns:
        A ``Scene`` with ``M`` slots.

    Raises:
        ValueError: a number outside its range, or a traced number that must be static.

    References:
        Johnson et al. 2017, CLEVR: A diagnostic dataset for compositional language and elementary visual reasoning,
        arXiv 1612.06890 (vocabulary, colours, radii).

    Example:
        >>> import jax
        >>> from tokdyn.data import sprites
        >>> drawn = sprites.scene(jax.random.key(0), num_objects=3, max_objects=5)
        >>> drawn.present.tolist(), bool(drawn.valid)
        ([True, True, True, False, False], True)
    """
    max_objects = checks.whole_number("max_objects", max_objects, at_least=1)
    num_candidates = checks.whole_number("num_candidates", num_candidates, at_least=1)
    count = _count(num_objects, max_objects)
    distance = _number("min_distance", min_distance, at_least=0.0)
    border = _number("margin", margin, at_least=0.0, below=0.5)
    return _drawn(key, count, distance, border, max_objects=max_objects, num_candidates=num_candidates)


@functools.partial(jax.jit, static_argnames=("max_objects", "num_candidates"))
def _drawn(
    key: jax.Array, count: jax.Array, distance: jax.Array, border: jax.Array, *, max_objects: int, num_candidates: int
) -> Scene:
    """``scene`` with checked arguments, compiled as one program even when called outside jit."""
    dtype = jnp.result_type(float)
    distance, border = distance.astype(dtype), border.astype(dtype)
    slots = jnp.arange(max_objects)
    present = slots < count
    streams = _streams(key, slots)
    uniform = jax.vmap(lambda k: draws.uniform(k, (num_candidates, 2), dtype))(streams[0])
    candidates = border + (1 - 2 * border) * uniform
    start = (jnp.zeros((max_objects, 2), dtype), jnp.square(distance))
    (positions, _), kept = jax.lax.scan(_place, start, (slots, candidates))

    # A uniform number below 1, times n = 2, 3 or 8, stays below n in float32, which gives the options 0 to n - 1.
    fractions = jax.vmap(jax.vmap(lambda k: draws.uniform(k, (), jnp.float32)))(streams[1:])
    options = jnp.array([[len(SHAPES)], [len(COLOURS)], [len(SIZES)], [len(MATERIALS)]])
    shapes, colours, sizes, materials = jnp.where(present, (fractions * options).astype(jnp.int32), 0)
    return Scene(
        positions=jnp.where(present[:, None], positions, 0),
        shapes=shapes,
        colours=colours,
        sizes=sizes,
        materials=materials,
        present=present,
        valid=jnp.all(kept | ~present) & (count >= 0) & (count <= max_objects),
    )


def radii(scene: Scene) -> jax.Array:
    """Radius of the circle around each object, in widths of the picture; 0 in empty slots.

    Args:
        scene: a scene.

    Returns:
        `[M]`.
    """
    return jnp.where(scene.present, jnp.asarray(RADII, scene.positions.dtype)[scene.sizes], 0)


def tones(scene: Scene) -> jax.Array:
    """The colour in which each object is drawn: CLEVR's for rubber, a lighter one for metal.

    Args:
        scene: a scene.

    Returns:
        Red, green, blue in [0, 1] `[M, 3]`; values for empty slots are meaningless.
    """
    return jnp.asarray(TONES, scene.positions.dtype)[scene.colours, scene.materials]


def render(scene: Scene, *, size: int, background: ArrayLike = 0.75) -> Picture:
    """The picture of a scene, with the exact mask of the visible part of each object.

    Objects are painted in order of depth: an object whose centre is lower in the picture hides one whose centre is
    higher; at equal height the later slot hides the earlier one.

    Args:
        scene: a scene; use ``jax.vmap`` for a stack of scenes.
        size: height and width in pixels, static.
        background: grey level `[]` or red, green, blue `[3]`, in [0, 1], may be traced.

    Returns:
        A ``Picture``; its masks are disjoint, and their union is where ``labels`` is not 0.

    Raises:
        ValueError: not a single scene, a size that is not a static positive integer, or a background that is not one or
            three numbers from 0 to 1.

    Example:
        >>> import jax
        >>> from tokdyn.data import sprites
        >>> drawn = sprites.scene(jax.random.key(0), num_objects=3, max_objects=5)
        >>> image, masks, labels = sprites.render(drawn, size=32)
        >>> image.shape, masks.shape, sorted(set(labels.tolist()))
        ((32, 32, 3), (5, 32, 32), [0, 1, 2, 3])
    """
    size = checks.whole_number("size", size, at_least=1)
    checked_positions(scene)
    return _painted(scene, _background(background), size=size)


@functools.partial(jax.jit, static_argnames="size")
def _painted(scene: Scene, colour: jax.Array, *, size: int) -> Picture:
    """``render`` for a checked scene, compiled as one program even when called outside jit."""
    positions = scene.positions
    colour = colour.astype(positions.dtype)
    centres = (jnp.arange(size, dtype=positions.dtype) + 0.5) / size
    right = centres[None, None, :] - positions[:, 0, None, None]  # [M, 1, W]
    down = centres[None, :, None] - positions[:, 1, None, None]  # [M, H, 1]
    covered = _covers(right, down, radii(scene)[:, None, None], scene.shapes[:, None, None])
    covered &= scene.present[:, None, None]

    # One number for presence and depth: 0 is the background, and no two objects have the same value.
    rank = jnp.argsort(jnp.argsort(positions[:, 1], stable=True))
    nearness = jnp.where(covered, 1 + rank[:, None, None], 0)
    front = jnp.argmax(nearness, axis=0)  # [H, W]
    is_object = jnp.any(covered, axis=0)
    masks = (front == jnp.arange(len(positions))[:, None, None]) & is_object
    image = jnp.where(is_object[..., None], tones(scene)[front], colour)
    return Picture(image, masks, jnp.where(is_object, 1 + front, 0).reshape(-1))


def pixel_features(image: ArrayLike, *, colour_weight: float = 3.0, position_weight: float = 1.0) -> jax.Array:
    """Pixels as features for tokens: weighted colour and weighted position, in the order of ``Picture.labels``.

    Args:
        image: red, green, blue `[H, W, 3]`.
        colour_weight: factor of the three colours `[]`, may be traced.
        position_weight: factor of ``x`` and ``y``, which run over the pixel centres in (0, 1) `[]`, may be traced.

    Returns:
        Red, green, blue, ``x``, ``y`` of every pixel `[H * W, 5]`.

    Raises:
        ValueError: not a floating-point image with three channels, or a weight that is not a number of at least 0.

    Example:
        >>> import jax.numpy as jnp
        >>> from tokdyn.data import sprites
        >>> sprites.pixel_features(jnp.zeros((1, 2, 3)))[:, 3:].tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """
    image = checks.floating("image", image, axes="[H, W, 3]")
    if image.shape[-1] != 3:
        raise checks.bad("image", "a floating-point array [H, W, 3]", checks.describe_array(image))
    colour = _number("colour_weight", colour_weight, at_least=0.0)
    return _weighted(image, colour, _number("position_weight", position_weight, at_least=0.0))


@jax.jit
def _weighted(image: jax.Array, colour: jax.Array, place: jax.Array) -> jax.Array:
    """``pixel_features`` for a checked image, compiled as one program even when called outside jit."""
    height, width, _ = image.shape
    colour, place = colour.astype(image.dtype), place.astype(image.dtype)
    down, right = jnp.meshgrid(
        (jnp.arange(height, dtype=image.dtype) + 0.5) / height,
        (jnp.arange(width, dtype=image.dtype) + 0.5) / width,
        indexing="ij",
    )
    stacked = jnp.concatenate([colour * image, place * jnp.stack([right, down], -1)], axis=-1)
    return stacked.reshape(height * width, 5)


def _streams(key: jax.Array, slots: jax.Array) -> jax.Array:
    """A key for each purpose and slot `[5, M]`, independent of the number of slots.

    They are derived all at once rather than one by one, because hashing is most of what a scene has to compile.
    """
    purposes = ("position", "shape", "colour", "size", "material")
    for_purposes = jnp.stack([keys.for_purpose(key, purpose) for purpose in purposes])
    return jax.vmap(lambda k: jax.vmap(lambda slot: jax.random.fold_in(k, slot))(slots))(for_purposes)


def _place(
    carry: tuple[jax.Array, jax.Array], item: tuple[jax.Array, jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Choose the position of one object: the first candidate far enough from earlier objects, else the farthest."""
    positions, squared_distance = carry
    slot, candidates = item
    is_earlier = jnp.arange(len(positions)) < slot
    nearest = jnp.min(jnp.where(is_earlier, squared_distances(candidates, positions), jnp.inf), axis=1)  # [candidates]
    is_free = nearest >= squared_distance
    kept = jnp.any(is_free)
    chosen = jnp.where(kept, jnp.argmax(is_free), jnp.argmax(nearest))
    return (positions.at[slot].set(candidates[chosen]), squared_distance), kept


def _covers(right: jax.Array, down: jax.Array, radius: jax.Array, shapes: jax.Array) -> jax.Array:
    """Whether a pixel centre, given relative to the object's centre, lies within the object's outline."""
    side = jnp.abs(right)
    in_square = jnp.maximum(side, jnp.abs(down)) <= radius / math.sqrt(2)
    in_circle = right * right + down * down <= radius * radius
    in_triangle = (down <= radius / 2) & (math.sqrt(3) * side - down <= radius)
    return jnp.where(shapes == 0, in_square, jnp.where(shapes == 1, in_circle, in_triangle))


def _count(value: Any, max_objects: int) -> jax.Array:
    """The number of objects as an integer scalar; its range is checked if its value is known."""
    expected = f"an integer from 0 to max_objects = {max_objects}"
    try:
        count = jnp.asarray(value)
    except (TypeError, ValueError, OverflowError):
        raise checks.bad("num_objects", expected, repr(value)) from None
    if count.ndim != 0 or not jnp.issubdtype(count.dtype, jnp.integer):
        raise checks.bad("num_objects", expected, checks.describe_array(count))
    if checks.is_concrete(count) and not 0 <= int(count) <= max_objects:
        raise checks.bad("num_objects", expected, int(count))
    return count


def _number(name: str, value: Any, *, at_least: float, below: float = math.inf) -> jax.Array:
    """A real scalar that may be traced; its range is checked if its value is known."""
    number = jnp.asarray(checks.hyperparameter(name, value, at_least=at_least, below=below))
    if number.ndim != 0:
        raise checks.bad(name, "one number", checks.describe_array(number))
    return number


def _background(value: Any) -> jax.Array:
    expected = "one or three numbers from 0 to 1"
    try:
        colour = jnp.asarray(checks.hyperparameter("background", value, at_least=0.0))
    except ValueError:
        raise checks.bad("background", expected, repr(value)) from None
    if colour.shape not in ((), (3,)):
        raise checks.bad("background", expected, checks.describe_array(colour))
    if checks.is_concrete(colour) and bool((colour > 1).any()):
        raise checks.bad("background", expected, repr(value))
    return colour


def checked_positions(scene: Scene) -> jax.Array:
    """The centres of one scene, ``[M, 2]``.

    Raises:
        ValueError: wrong shape or dtype, for example a stack of scenes.
    """
    positions = checks.floating("scene.positions", scene.positions, axes="[M, 2]")
    if positions.shape[1] != 2:
        raise checks.bad("scene.positions", "a floating-point array [M, 2]", checks.describe_array(positions))
    return positions
