import collections
import functools
import json
import math

import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

from tokdyn.data import scene_graphs, sprites

NUM_SCENES = 400
NUM_SLOTS = 8
SIZE = 64
AREA = {"cube": 2.0, "sphere": math.pi, "cylinder": 3 * math.sqrt(3) / 4}  # in squared radii
PERIMETER = {"cube": 4 * math.sqrt(2), "sphere": 2 * math.pi, "cylinder": 3 * math.sqrt(3)}  # in radii


# Few programs for many tests, and how often each was traced.
TRACES = collections.Counter()


@functools.partial(compiled, static_argnames="max_objects")
def draw(seed, num_objects, options, *, max_objects):
    TRACES["draw"] += 1

    def one(key):
        return sprites.scene(key, num_objects=num_objects, max_objects=max_objects, **options)

    return jax.vmap(one)(jax.random.split(jax.random.key(seed), NUM_SCENES))


def stack_of_scenes(*, num_objects=NUM_SLOTS, max_objects=NUM_SLOTS, seed=0, **options):
    options = {"min_distance": 0.16, "margin": 0.12} | options
    return draw(seed, num_objects, options, max_objects=max_objects)


@compiled
def render_all(scenes, background=0.75):
    TRACES["render"] += 1
    return jax.vmap(lambda scene: sprites.render(scene, size=SIZE, background=background))(scenes)


@compiled
def render(scene):
    return sprites.render(scene, size=SIZE)


def made_of(positions, *, shapes, sizes, colours=None, materials=None, present=None):
    count = len(positions)
    return sprites.Scene(
        positions=np.asarray(positions, np.float32),
        shapes=np.asarray(shapes, np.int32),
        colours=np.arange(count, dtype=np.int32) if colours is None else np.asarray(colours, np.int32),
        sizes=np.asarray(sizes, np.int32),
        materials=np.zeros(count, np.int32) if materials is None else np.asarray(materials, np.int32),
        present=np.ones(count, bool) if present is None else np.asarray(present),
        valid=np.asarray(True),
    )


def closest(positions):
    gaps = np.linalg.norm(positions[:, None] - positions, axis=-1)
    return gaps[~np.eye(len(positions), dtype=bool)].min()


def test_masks_partition_the_foreground():
    image, masks, labels = render_all(stack_of_scenes(min_distance=0.05))
    shown = masks.sum(axis=1)
    assert shown.max() == 1  # no pixel belongs to two objects
    np.testing.assert_array_equal(shown.reshape(NUM_SCENES, -1) > 0, labels > 0)
    for slot in range(8):
        np.testing.assert_array_equal(masks[:, slot].reshape(NUM_SCENES, -1), labels == slot + 1)
    assert image.min() >= 0
    assert image.max() <= 1


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("shape", range(3))
def test_areas_are_those_of_the_outlines(shape, size):
    # The cells of the covered pixels lie in the outline thickened by d = h / sqrt 2, half the diagonal of a cell, and
    # cover the outline thinned by d: for a convex outline at most A + P d + pi d^2 (Steiner) and at least A - P d.
    radius = float(sprites.RADII[size])
    d = 1 / SIZE / math.sqrt(2)
    area = AREA[sprites.SHAPES[shape]] * radius**2
    band = PERIMETER[sprites.SHAPES[shape]] * radius * d
    scenes = stack_of_scenes(num_objects=1, seed=shape)
    scenes = scenes._replace(shapes=scenes.shapes * 0 + shape, sizes=scenes.sizes * 0 + size)
    covered = render_all(scenes).masks.sum(axis=(1, 2, 3)) / SIZE**2
    assert covered.min() >= area - band
    assert covered.max() <= area + band + math.pi * d**2
    # With a random offset against the grid the mean is the area itself: five standard errors.
    assert abs(covered.mean() - area) <= 5 * covered.std(ddof=1) / math.sqrt(NUM_SCENES)


def test_every_pixel_of_an_object_has_its_colour_and_the_rest_the_background():
    scenes = stack_of_scenes(min_distance=0.05)
    image, masks, _ = render_all(scenes, 0.5)
    tones = compiled(jax.vmap(sprites.tones))(scenes)
    for number in range(50):
        for slot in range(8):
            pixels = image[number][masks[number, slot]]
            np.testing.assert_array_equal(pixels, np.broadcast_to(tones[number, slot], pixels.shape))
    assert (image[~masks.any(axis=1)] == 0.5).all()


def test_rubber_has_the_colours_of_clevr_and_all_tones_can_be_told_apart():
    kinds = [(colour, material) for colour in range(8) for material in range(2)]
    colours, materials = zip(*kinds, strict=True)
    everything = made_of(np.zeros((16, 2)), shapes=[0] * 16, sizes=[0] * 16, colours=colours, materials=materials)
    tones = compiled(sprites.tones)(everything)
    np.testing.assert_allclose(tones[::2] * 255, sprites.RGB, rtol=1e-6)
    with_background = np.concatenate([tones, np.full((1, 3), 0.75)])
    assert closest(with_background) > 0.16


def test_absent_objects_leave_no_trace():
    few = stack_of_scenes(num_objects=3, max_objects=8)
    exact = stack_of_scenes(num_objects=3, max_objects=3)
    for name, padded, bare in zip(few._fields, few, exact, strict=True):
        if name == "valid":
            continue
        np.testing.assert_array_equal(padded[:, :3], bare, err_msg=name)  # the number of slots changes nothing
        assert not padded[:, 3:].any(), name
    with_room, without = render_all(few), render_all(exact)
    np.testing.assert_array_equal(with_room.image, without.image)
    np.testing.assert_array_equal(with_room.labels, without.labels)
    assert not with_room.masks[:, 3:].any()


def test_a_garbage_slot_that_is_not_present_is_not_drawn():
    scene = made_of([[0.5, 0.5], [0.5, 0.55]], shapes=[0, 1], sizes=[1, 1])
    hidden = scene._replace(present=np.array([True, False]))
    alone = made_of([[0.5, 0.5], [0.0, 0.0]], shapes=[0, 0], sizes=[1, 0], present=[True, False])
    np.testing.assert_array_equal(render(hidden).image, render(alone).image)


def test_no_object_gives_an_empty_picture():
    scenes = stack_of_scenes(num_objects=0)
    picture = render_all(scenes, np.float32([0.1, 0.2, 0.3]))
    assert scenes.valid.all()
    assert not picture.masks.any()
    assert not picture.labels.any()
    np.testing.assert_allclose(picture.image, np.broadcast_to([0.1, 0.2, 0.3], picture.image.shape), rtol=1e-6)


def test_a_scene_is_the_beginning_of_the_scene_with_one_object_more():
    shorter = stack_of_scenes(num_objects=4)
    longer = stack_of_scenes(num_objects=5)
    for a, b in zip(shorter[:-2], longer[:-2], strict=True):
        np.testing.assert_array_equal(a[:, :4], b[:, :4])


@pytest.mark.parametrize("min_distance", [0.16, 0.3])
def test_valid_tells_exactly_whether_the_distance_was_kept(min_distance):
    scenes = stack_of_scenes(num_objects=7, min_distance=min_distance)
    kept = np.array([closest(positions[:7]) >= min_distance for positions in scenes.positions.astype(np.float64)])
    np.testing.assert_array_equal(scenes.valid, kept)
    if min_distance == 0.16:
        assert kept.all()
    else:
        assert 0 < kept.sum() < NUM_SCENES  # both outcomes are seen


def test_an_impossible_distance_is_flagged_and_spreads_the_objects():
    scenes = stack_of_scenes(num_objects=2, min_distance=2.0)
    assert not scenes.valid.any()
    # The farthest of 64 draws: the mean distance of two uniform points in the square is 0.521 of its side.
    far = np.linalg.norm(scenes.positions[:, 0] - scenes.positions[:, 1], axis=-1).mean()
    assert far > 0.76 * 0.521 * 1.3


def test_centres_keep_the_margin_and_are_uniform_where_nothing_forbids():
    scenes = stack_of_scenes(num_objects=1, margin=0.2)
    centres = scenes.positions[:, 0]
    assert centres.min() >= 0.2
    assert centres.max() <= 0.8
    # Mean and variance of the uniform law on [0.2, 0.8], each within five standard errors (kurtosis 9/5).
    np.testing.assert_allclose(centres.mean(axis=0), 0.5, atol=5 * 0.6 / math.sqrt(12 * NUM_SCENES))
    np.testing.assert_allclose(centres.var(axis=0), 0.03, atol=5 * 0.03 * math.sqrt(0.8 / NUM_SCENES))


def test_attributes_are_uniform_and_independent_of_each_other():
    scenes = stack_of_scenes(num_objects=8)
    options = {"shapes": 3, "colours": 8, "sizes": 2, "materials": 2}
    drawn = {name: getattr(scenes, name).ravel() for name in options}
    for name, count in options.items():
        share = np.bincount(drawn[name], minlength=count) / drawn[name].size
        assert share.size == count
        np.testing.assert_allclose(share, 1 / count, atol=5 * math.sqrt(1 / count * (1 - 1 / count) / drawn[name].size))
    for one in options:
        for other in options:
            if one < other:
                assert abs(np.corrcoef(drawn[one], drawn[other])[0, 1]) < 5 / math.sqrt(NUM_SLOTS * NUM_SCENES)


def test_what_stands_lower_hides_what_stands_higher():
    higher, lower = [0.5, 0.45], [0.5, 0.55]
    for order in ([higher, lower], [lower, higher]):  # whatever the order of the slots
        masks = render(made_of(order, shapes=[1, 1], sizes=[1, 1])).masks
        front, back = (1, 0) if order[0] is higher else (0, 1)
        alone = render(made_of([lower] * 2, shapes=[1, 1], sizes=[1, 1])).masks[1]
        np.testing.assert_array_equal(masks[front], alone)
        assert 0 < masks[back].sum() < masks[front].sum()


def test_at_equal_depth_the_later_slot_is_in_front():
    masks = render(made_of([[0.5, 0.5], [0.5, 0.5]], shapes=[0, 0], sizes=[1, 1])).masks
    assert not masks[0].any()
    assert masks[1].any()


def test_far_objects_do_not_hide_each_other():
    # Both outlines lie in circles of the large radius, 0.1167, so centres 0.234 apart cannot overlap.
    scenes = stack_of_scenes(num_objects=4, min_distance=0.234)
    assert scenes.valid.all()
    together = render_all(scenes).masks
    for slot in range(4):
        alone = scenes._replace(present=scenes.present & (np.arange(NUM_SLOTS) == slot))
        np.testing.assert_array_equal(together[:, slot], render_all(alone).masks[:, slot])


def test_outlines_turn_the_right_way():
    # The cylinder's triangle stands on its base: wide below, a point above, symmetric about its axis.
    mask = render(made_of([[0.5, 0.5]] * 2, shapes=[0, 2], sizes=[0, 1])).masks[1]
    widths = mask.sum(axis=1)[mask.any(axis=1)]
    assert (np.diff(widths) >= 0).all()
    assert widths[0] <= 2 < widths[-1]
    np.testing.assert_array_equal(mask, mask[:, ::-1])


def test_vmap_equals_a_loop():
    scenes = stack_of_scenes(min_distance=0.05)
    pictures = render_all(scenes)

    @compiled
    def draw_one(number):
        key = jax.random.split(jax.random.key(0), NUM_SCENES)[number]
        return sprites.scene(key, num_objects=NUM_SLOTS, max_objects=NUM_SLOTS, min_distance=0.05)

    for number in range(3):
        scene = draw_one(number)
        pairs = zip([*scene, *render(scene)], [*scenes, *pictures], strict=True)
        for one, many in pairs:
            # Not bit for bit: a product and a sum may be fused in one program and not in the other.
            np.testing.assert_allclose(one, many[number], rtol=1e-6, atol=1e-7)


def test_old_style_keys_work():
    scene = jax.jit(lambda key: sprites.scene(key, num_objects=2, max_objects=NUM_SLOTS))(jax.random.PRNGKey(0))
    assert scene.present.tolist() == [True, True] + [False] * 6


def test_other_numbers_are_no_new_program():
    @jax.jit
    def features(image, weight):
        TRACES["features"] += 1
        return sprites.pixel_features(image, colour_weight=weight, position_weight=2 * weight)

    counts = []
    for seed, count in enumerate((2, 5, 0)):
        scenes = stack_of_scenes(num_objects=count, seed=seed, min_distance=0.1 + 0.01 * seed, margin=0.1 * seed)
        features(render_all(scenes, 0.1 * seed).image[0], 1.0 + seed)
        counts.append(TRACES.copy())
    assert counts[0] == counts[1] == counts[2]
    assert counts[0]["features"] == 1
    assert counts[0]["draw"] >= 1
    assert counts[0]["render"] >= 1


def test_a_second_call_outside_jit_compiles_nothing():
    programs = []

    def listen(name, *_, **__):
        if "backend_compile" in name:
            programs.append(name)

    def everything(seed, count):
        scene = sprites.scene(jax.random.key(seed), num_objects=count, max_objects=NUM_SLOTS)
        return sprites.pixel_features(sprites.render(scene, size=24).image)

    everything(0, 2)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(lambda x: x + 1.2345)(1.0)
        assert programs  # the listener hears
        programs.clear()
        everything(1, 5)
        assert not programs
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_a_traced_number_outside_the_slots_is_clipped_and_flagged():
    for count, number, valid in ((NUM_SLOTS + 1, NUM_SLOTS, False), (-1, 0, False), (NUM_SLOTS, NUM_SLOTS, True)):
        scenes = stack_of_scenes(num_objects=count)
        assert (scenes.present.sum(axis=1) == number).all()
        assert (scenes.valid == valid).all()


def test_pixel_features_are_colours_and_places_in_the_order_of_the_labels():
    image = np.random.default_rng(0).random((4, 3, 3), np.float32)
    features = np.asarray(sprites.pixel_features(image, colour_weight=2.0, position_weight=0.5))
    for row in range(4):
        for column in range(3):
            expected = [*(2 * image[row, column]), 0.5 * (column + 0.5) / 3, 0.5 * (row + 0.5) / 4]
            np.testing.assert_allclose(features[3 * row + column], expected, rtol=1e-6)
    shown = render(made_of([[0.25, 0.75], [0.0, 0.0]], shapes=[0, 0], sizes=[0, 0], present=[True, False]))
    places = np.asarray(sprites.pixel_features(shown.image))[:, 3:][shown.labels == 1]
    np.testing.assert_allclose(places.mean(axis=0), [0.25, 0.75], atol=0.5 / SIZE)


def test_to_clevr_says_what_the_scene_holds_and_survives_json():
    scene = jax.tree.map(lambda leaf: leaf[5], stack_of_scenes(num_objects=6))
    record = scene_graphs.to_clevr(scene, image_index=7, split="val", size=100)
    assert json.loads(json.dumps(record)) == record
    assert record["image_filename"] == "CLEVR_val_000007.png"
    assert (record["image_index"], record["split"], len(record["objects"])) == (7, "val", 6)
    for slot, thing in enumerate(record["objects"]):
        assert sprites.SHAPES.index(thing["shape"]) == scene.shapes[slot]
        assert sprites.SIZES.index(thing["size"]) == scene.sizes[slot]
        assert sprites.COLOURS.index(thing["color"]) == scene.colours[slot]
        assert sprites.MATERIALS.index(thing["material"]) == scene.materials[slot]
        right, away, _ = thing["3d_coords"]
        np.testing.assert_allclose([right / 6 + 0.5, 0.5 - away / 6], scene.positions[slot], atol=1e-7)
        np.testing.assert_allclose(np.array(thing["pixel_coords"][:2]) / 100, scene.positions[slot], atol=1e-7)


def test_relationships_are_antisymmetric_and_follow_the_directions():
    scenes = stack_of_scenes(num_objects=7)
    for number in range(10):
        record = scene_graphs.to_clevr(jax.tree.map(lambda leaf, number=number: leaf[number], scenes))
        relations = record["relationships"]
        floor = np.array([thing["3d_coords"][:2] for thing in record["objects"]])
        for name, opposite in (("left", "right"), ("front", "behind")):
            pairs = {(one, other) for one in range(7) for other in relations[name][one]}
            assert {(other, one) for one, other in pairs} == {
                (one, other) for one in range(7) for other in relations[opposite][one]
            }
            assert not pairs & {(other, one) for one, other in pairs}
        for one in range(7):
            assert relations["left"][one] == np.flatnonzero(floor[one, 0] - floor[:, 0] > 0.2).tolist()
            # In front means lower in the picture, which is also who hides whom.
            nearer = np.array([thing["pixel_coords"][1] for thing in record["objects"]]) / 320
            assert relations["front"][one] == np.flatnonzero(nearer - nearer[one] > 0.2 / 6).tolist()


def test_depth_falls_towards_the_viewer():
    record = scene_graphs.to_clevr(made_of([[0.5, 0.2], [0.5, 0.8]], shapes=[0, 0], sizes=[0, 0]))
    behind, front = (thing["pixel_coords"][2] for thing in record["objects"])
    assert behind > front
    assert record["relationships"]["behind"] == [[], [0]]


SCENE = {"num_objects": 2, "max_objects": 4}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_objects": 5}, "num_objects: expected an integer from 0 to max_objects = 4, got 5"),
        ({"num_objects": -1}, "num_objects: expected an integer from 0"),
        ({"num_objects": 2.0}, "num_objects: expected an integer from 0"),
        ({"num_objects": "two"}, "num_objects: expected an integer from 0"),
        ({"num_objects": np.array([1, 2])}, "num_objects: expected an integer from 0"),
        ({"max_objects": 0}, "max_objects: expected a static integer of at least 1, got 0"),
        ({"num_candidates": 0}, "num_candidates: expected a static integer of at least 1, got 0"),
        ({"min_distance": -0.1}, "min_distance: expected a number"),
        ({"min_distance": [0.1, 0.2]}, "min_distance: expected one number, got shape"),
        ({"margin": 0.5}, "margin: expected a number"),
        ({"margin": math.nan}, "margin: expected a number"),
    ],
)
def test_a_bad_scene_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(ValueError) as caught:
        sprites.scene(constant_key(0), **{**SCENE, **options})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda scene: sprites.render(scene, size=0), "size: expected a static integer of at least 1, got 0"),
        (lambda scene: sprites.render(scene, size=16.0), "size: expected a static integer of at least 1, got 16.0"),
        (lambda scene: sprites.render(scene, size=4, background=1.5), "background: expected one or three numbers"),
        (lambda scene: sprites.render(scene, size=4, background=[0, 1]), "background: expected one or three numbers"),
        (lambda scene: sprites.render(scene, size=4, background="grey"), "background: expected one or three numbers"),
        (
            lambda scene: sprites.render(scene._replace(positions=np.zeros((4, 3), np.float32)), size=4),
            "scene.positions: expected a floating-point array [M, 2], got shape (4, 3)",
        ),
        (
            lambda scene: scene_graphs.to_clevr(jax.tree.map(lambda leaf: np.stack([leaf, leaf]), scene)),
            "scene.positions: expected a floating-point array [M, 2], got shape (2, 4, 2)",
        ),
        (lambda scene: jax.jit(scene_graphs.to_clevr)(scene), "scene: expected known numbers"),
        (lambda scene: scene_graphs.to_clevr(scene, image_index=-1), "image_index: expected a static integer"),
        (
            lambda _: sprites.pixel_features(np.zeros((4, 4), np.float32)),
            "image: expected a floating-point array [H, W, 3]",
        ),
        (
            lambda _: sprites.pixel_features(np.zeros((4, 4, 1), np.float32)),
            "image: expected a floating-point array [H, W, 3]",
        ),
        (
            lambda _: sprites.pixel_features(np.zeros((4, 4, 3), np.float32), colour_weight=-1.0),
            "colour_weight: expected a number",
        ),
    ],
)
def test_other_bad_arguments_are_refused_in_one_sentence(call, sentence):
    with pytest.raises(ValueError) as caught:
        call(made_of(np.zeros((4, 2)), shapes=[0] * 4, sizes=[0] * 4))
    assert str(caught.value).startswith(sentence)
