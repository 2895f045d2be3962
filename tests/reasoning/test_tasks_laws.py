"""Items solved once more, in plain NumPy and from what the asker sees alone; and what the question gives away."""

import collections
import functools
import itertools
import math

import hypothesis
import jax
import numpy as np
import pytest
import tiny
from hypothesis import strategies as st
from scipy import stats

from tokdyn.data import sprites
from tokdyn.reasoning import tasks
from tokdyn.reasoning.items import PAD, SPECIALS

FIRST = len(SPECIALS)
NUM_ITEMS = 200
NUM_DRAWS = 20_000
# Six tests of uniformity at fixed keys: a right one fails with probability 6e-6 at most.
LEVEL = 1e-6
INK = {"red": (0.9, 0.2, 0.2), "green": (0.2, 0.8, 0.2), "blue": (0.3, 0.4, 1.0), "yellow": (0.9, 0.8, 0.1)}


def drawn(task):
    return tiny.drawn(task, NUM_ITEMS, seed=0, most=NUM_ITEMS)


@functools.cache
def answers(task):
    """Question, answer, steps and attributes only: nothing else is computed."""

    def words(key):
        item = task.draw(key)
        return item.question, item.answer, item.steps, item.attributes

    return tuple(map(np.asarray, jax.jit(jax.vmap(words))(jax.random.split(jax.random.key(1), NUM_DRAWS))))


def one_by_one(items):
    for i in range(len(items.answer)):
        yield type(items)(*(leaf[i] for leaf in items))


def spelt(task, words):
    return [task.words[word] for word in words if word != PAD]


def patch_of(task, image, place):
    row, column = divmod(place, task.image_shape[1] // task.patch)
    return image[row * task.patch : (row + 1) * task.patch, column * task.patch : (column + 1) * task.patch]


def place_of(word):
    row, column = (int(number) - 1 for number in word.split("."))
    return row, column


def even(counts):
    return stats.chisquare(counts).pvalue > LEVEL


# Pointer chase


def sign_at(task, image, place):
    """(row, column) of the white pixels' block on the small map, or None."""
    lit = np.argwhere((patch_of(task, image, place) > 0.95).all(axis=-1))
    return None if not len(lit) else tuple((lit[0] // ((task.patch - 1) // task.side)).tolist())


CHASES = [
    {},
    {"side": 2, "hops": 1, "decoys": 0},
    pytest.param({"side": 3, "hops": 8}, marks=pytest.mark.slow),
    {"side": 4, "hops": 5, "decoys": 5, "patch": 9},
]


@pytest.mark.parametrize("knobs", CHASES)
def test_signs_lead_to_the_answer(knobs):
    task = tasks.pointer_chase(**knobs)
    for item in one_by_one(drawn(task)):
        place = item.question[0] - FIRST
        visited = [place]
        for step in range(task.hops):
            assert item.relevant[step].nonzero()[0].tolist() == [place]
            colour = patch_of(task, item.image, place)[-1, -1]
            assert np.abs(np.array(list(INK.values())) - colour).sum(axis=1).argmin() == item.attributes[step]
            row, column = sign_at(task, item.image, place)
            place = row * task.side + column
            visited.append(place)
        assert len(set(visited)) == task.hops + 1
        np.testing.assert_array_equal(item.steps, np.array(visited[1:]) + FIRST)
        assert item.answer.tolist() == [place + FIRST]
        # All signs form one ring.
        named = [sign_at(task, item.image, place) for place in range(task.side**2)]
        shown = {place for place, sign in enumerate(named) if sign is not None}
        assert len(shown) == task.hops + 1 + task.decoys
        assert {row * task.side + column for row, column in (sign for sign in named if sign)} == shown
        read = [patch_of(task, item.helper, place).any() for place in range(task.side**2)]
        np.testing.assert_array_equal(read, item.relevant.any(axis=0))


def test_a_glance_at_signs_tells_nothing():
    task = tasks.pointer_chase()
    image = drawn(task).image.reshape(NUM_ITEMS, 3, 4, 3, 4, 3)
    means = image.mean(axis=(2, 4))
    colours = image[:, :, 3, :, 3]
    np.testing.assert_allclose(means, (1 + 7 * colours) / 16, rtol=1e-6)


def test_the_answer_of_a_chase_is_uniform_given_the_start():
    question, answer, *_ = answers(tasks.pointer_chase())
    counts = np.zeros((9, 9))
    np.add.at(counts, (question[:, 0] - FIRST, answer[:, 0] - FIRST), 1)
    assert not np.diag(counts).any()
    assert even(counts[~np.eye(9, dtype=bool)])
    fixed, *_ = answers(tasks.pointer_chase(shuffled_start=False))
    assert set(fixed[:, 0].tolist()) == {FIRST}


# Addition


@pytest.mark.parametrize("knobs", [{}, {"side": 3, "terms": 4, "patch": 4}])
def test_numbers_add_up_to_the_answer(knobs):
    task = tasks.addition(**knobs)
    for item in one_by_one(drawn(task)):
        total = 0
        for step, word in enumerate(item.question):
            place = np.ravel_multi_index(place_of(task.words[word]), (task.side, task.side))
            assert item.relevant[step].nonzero()[0].tolist() == [place]
            row, column = sign_at(task, item.image, place)
            total = (total + row * task.side + column) % task.side**2
            assert item.steps[step] == FIRST + total
            colour = patch_of(task, item.image, place)[-1, -1]
            assert np.abs(np.array(list(INK.values())) - colour).sum(axis=1).argmin() == item.attributes[step]
        assert item.answer.tolist() == [FIRST + total]
        assert len(set(item.question.tolist())) == task.terms


def test_a_sum_is_uniform_given_the_question_and_the_first_term():
    question, answer, steps, _ = answers(tasks.addition())
    counts = np.zeros((12, 4, 4))
    pairs = {pair: number for number, pair in enumerate(itertools.permutations(range(4), 2))}
    asked = [pairs[tuple(pair)] for pair in (question - FIRST - 4).tolist()]
    np.add.at(counts, (asked, steps[:, 0] - FIRST, answer[:, 0] - FIRST), 1)
    assert even(counts.ravel())


# Visual search

GLYPHS = {  # rows of dots, upright
    "tee": ("###", ".#.", ".#."),
    "corner": ("#..", "#..", "###"),
    "stairs": ("#..", "##.", ".##"),
    "cup": ("#.#", "###", "..."),
}


def seen(task, image, place):
    """(colour, shape, turn), or None."""
    tile = patch_of(task, image, place)[:: task.patch // 4, :: task.patch // 4][:3, :3]
    lit = tile.any(axis=-1)
    if not lit.any():
        return None
    ink = tile[lit][0]
    colour = min(INK, key=lambda name: np.abs(np.array(INK[name]) - ink).sum())
    for shape, rows in GLYPHS.items():
        drawing = np.array([[dot == "#" for dot in row] for row in rows])
        for turn in range(4):
            if (np.rot90(drawing, turn) == lit).all():
                return colour, shape, turn
    raise AssertionError("no glyph")


SEARCHES = [
    {},
    {"kind": "feature"},
    pytest.param({"answers": "presence"}, marks=pytest.mark.slow),
    {"kind": "feature", "answers": "presence", "side": 2, "set_size": 2},
    pytest.param({"side": 3, "set_size": 9, "patch": 8}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("knobs", SEARCHES)
def test_the_target_is_where_it_is_said_to_be(knobs):
    task = tasks.visual_search(**knobs)
    for item in one_by_one(drawn(task)):
        colour, shape = spelt(task, item.question)
        scene = {place: seen(task, item.image, place) for place in range(task.side**2)}
        scene = {place: what for place, what in scene.items() if what}
        assert len(scene) == task.set_size
        assert all(what[0] == colour or what[1] == shape for what in scene.values()) or task.kind == "feature"
        alike = [place for place, what in scene.items() if what[0] == colour]
        found = [place for place in alike if scene[place][1] == shape]
        assert len(found) <= 1
        visited = [place for place in alike if not found or place <= found[0]]
        words = [f"{place // task.side + 1}.{place % task.side + 1}" for place in visited] + ["none"] * (not found)
        assert spelt(task, item.steps) == words
        reply = ["yes" if found else "no"] if task.answers == "presence" else words[-1:]
        assert spelt(task, item.answer) == reply
        for step, place in enumerate(visited):
            assert item.relevant[step].nonzero()[0].tolist() == [place]
        if found:
            assert item.attributes[0] == scene[found[0]][2]
        else:
            candidates = alike if task.kind == "conjunction" else sorted(scene)
            assert item.relevant[len(visited)].nonzero()[0].tolist() == candidates
        if task.kind == "conjunction":
            assert len(alike) == 1 + (task.set_size - 1) // 2  # with the target or without


def test_the_answer_of_a_search_is_uniform_given_the_question():
    task = tasks.visual_search()
    question, answer, *_ = answers(task)
    counts = np.zeros((4, 4, 16))
    np.add.at(counts, (*(question - question.min(axis=0)).T, answer[:, 0] - FIRST), 1)
    assert even(counts.ravel())
    task = tasks.visual_search(answers="presence")
    question, answer, *_ = answers(task)
    counts = np.zeros((4, 4, 2))
    np.add.at(counts, (*(question - question.min(axis=0)).T, answer[:, 0] - task.choices[0]), 1)
    assert even(counts.ravel())


# Counting

ATTRIBUTES = {
    **dict.fromkeys(sprites.SHAPES, "shapes"),
    **dict.fromkeys(sprites.COLOURS, "colours"),
    **dict.fromkeys(sprites.SIZES, "sizes"),
    **dict.fromkeys(sprites.MATERIALS, "materials"),
}
NAMES_OF = {
    "shapes": sprites.SHAPES,
    "colours": sprites.COLOURS,
    "sizes": sprites.SIZES,
    "materials": sprites.MATERIALS,
}
COUNTS = [
    {},
    pytest.param({"kind": "exist", "filters": 4}, marks=pytest.mark.slow),
    pytest.param({"kind": "compare", "min_objects": 1, "max_objects": 8, "num_colours": 2}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("knobs", COUNTS)
def test_objects_are_counted(knobs):
    task = tasks.counting(**knobs)
    keys = jax.random.split(jax.random.key(0), NUM_ITEMS)
    items, scenes = drawn(task), jax.tree.map(np.asarray, jax.jit(jax.vmap(task.scene))(keys))
    for number, item in enumerate(one_by_one(items)):
        scene = sprites.Scene(*(leaf[number] for leaf in scenes))
        kind, *words = spelt(task, item.question)
        chains = [words[: task.filters], words[task.filters + 1 :]] if kind == "compare" else [words]
        counts, finals = [], []
        for chain in chains:
            left = set(np.flatnonzero(scene.present).tolist())
            assert len({ATTRIBUTES[word] for word in chain}) == task.filters
            for word in chain:
                field = ATTRIBUTES[word]
                left = {i for i in left if NAMES_OF[field][getattr(scene, field)[i]] == word}
                counts.append(str(len(left)))
            finals.append(len(left))
        reply = {
            "count": str(finals[0]),
            "exist": "yes" if finals[0] else "no",
            "compare": ["equal", "more", "fewer"][int(np.sign(finals[0] - finals[-1]))],
        }[kind]
        assert spelt(task, item.answer) == [reply]
        assert spelt(task, item.steps) == counts + [reply] * (kind == "compare")
        # The first filter reads every object: no other patch has anything but background.
        for place in range((task.size // task.patch) ** 2):
            assert item.relevant[0, place] == (patch_of(task, item.image, place) != 0.75).any()
        assert (item.helper != 0.75).any() == any(finals)
        lowest = scene.positions[scene.present][scene.positions[scene.present][:, 1].argmax()]
        assert item.attributes[0] == min(int((lowest[0] - 0.12) / 0.76 * 4), 3)


# Rotation


def corner(panel):
    found = np.argwhere(panel)
    return tuple(map(tuple, (found - found.min(axis=0)).tolist()))


ROTATIONS = [
    {},
    {"distractors": "mixed"},
    {"distractors": "mixed", "sizes": (4,), "grid": 5, "jitter": 0},
    pytest.param({"sizes": (6, 4)}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("knobs", ROTATIONS)
def test_the_option_is_c_turned_as_b_is_a_turned(knobs):
    task = tasks.rotation(**knobs)
    for item in one_by_one(drawn(task)):
        panels = [patch_of(task, item.image, place).any(axis=-1) for place in range(8)]
        turns = [turn for turn in range(4) if corner(np.rot90(panels[0], turn)) == corner(panels[1])]
        assert len(turns) == 1
        assert turns[0] > 0
        assert not panels[3].any()
        turned = corner(np.rot90(panels[2], turns[0]))
        options = [corner(panel) for panel in panels[4:]]
        assert len(set(options)) == 4
        assert options.count(turned) == 1
        assert item.answer[0] == task.choices[options.index(turned)]
        assert spelt(task, item.steps) == [f"turn{90 * turns[0]}", f"option{options.index(turned) + 1}"]
        assert corner(patch_of(task, item.helper, 3).any(axis=-1)) == turned
        assert len({len(option) for option in options}) == 1  # cells: a glance does not tell options apart
        if task.distractors == "rotations":
            assert set(options) == {corner(np.rot90(panels[2], turn)) for turn in range(4)}


def test_the_answer_of_a_rotation_is_uniform_and_so_is_the_turn():
    question, answer, steps, attributes = answers(tasks.rotation())
    assert len(np.unique(question)) == 1
    counts = np.zeros((4, 3, 16))
    turn = steps[:, 0] - steps[:, 0].min()
    np.add.at(counts, (answer[:, 0] - answer.min(), turn, 4 * attributes[:, 0] + attributes[:, 1]), 1)
    assert even(counts.ravel())


def test_polyominoes_without_symmetry():
    # Free polyominoes with the trivial group (OEIS A006749): 0, 0, 0, 1, 5, 20; each with its mirror image.
    assert [len(tasks.asymmetric_polyominoes(cells)) for cells in range(1, 7)] == [0, 0, 0, 2, 10, 40]
    for cells in (4, 5, 6):
        shapes = {corner(shape) for shape in tasks.asymmetric_polyominoes(cells)}
        for shape in tasks.asymmetric_polyominoes(cells):
            assert shape.sum() == cells
            turned = {corner(np.rot90(shape, turn)) for turn in range(4)}
            mirrored = {corner(np.rot90(shape[:, ::-1], turn)) for turn in range(4)}
            assert len(turned | mirrored) == 8
            assert len(turned & shapes) == len(mirrored & shapes) == 1


# Maze

DELTAS = {"L": (0, -1), "R": (0, 1), "U": (-1, 0), "D": (1, 0)}
TILES = {"ice": (0.7, 0.88, 1.0), "hole": (0.1, 0.1, 0.35), "start": (0.2, 0.7, 0.3), "goal": (1.0, 0.8, 0.1)}


def lake_of(task, image):
    lake = {}
    for place in range(task.side**2):
        tile = patch_of(task, image, place)[-1, -1]
        lake[divmod(place, task.side)] = min(TILES, key=lambda name: np.abs(np.array(TILES[name]) - tile).sum())
    return lake


def distances(lake):
    """Breadth-first search from the goal."""
    goal = next(cell for cell, kind in lake.items() if kind == "goal")
    found, queue = {goal: 0}, collections.deque([goal])
    while queue:
        row, column = queue.popleft()
        for down, right in DELTAS.values():
            cell = (row + down, column + right)
            if lake.get(cell, "hole") != "hole" and cell not in found:
                found[cell] = found[row, column] + 1
                queue.append(cell)
    return found


def walked(lake, moves):
    cell = next(cell for cell, kind in lake.items() if kind == "start")
    visited = []
    for move in moves:
        after = (cell[0] + DELTAS[move][0], cell[1] + DELTAS[move][1])
        cell = after if after in lake else cell
        visited.append(cell)
        if lake[cell] in ("hole", "goal"):
            break
    return visited


def check_maze(task, item):
    lake = lake_of(task, item.image)
    start = next(cell for cell, kind in lake.items() if kind == "start")
    found = distances(lake)
    assert task.min_moves <= found[start] <= task.max_moves
    if task.kind == "plan":
        moves, cell = [], start
        while lake[cell] != "goal":
            after = {move: (cell[0] + down, cell[1] + right) for move, (down, right) in DELTAS.items()}
            move = next(move for move in "LRUD" if found.get(after[move]) == found[cell] - 1)
            moves.append(move)
            cell = after[move]
        assert spelt(task, item.answer) == moves
    else:
        moves = spelt(task, item.question)[1:]
        end = lake[walked(lake, moves)[-1]]
        assert spelt(task, item.answer) == [{"goal": "success", "hole": "hole"}.get(end, "short")]
    visited = walked(lake, moves)
    assert spelt(task, item.steps) == [f"{row + 1}.{column + 1}" for row, column in visited]
    scratched = [bool((patch_of(task, item.image, row * task.side + column)[0, 0] == 1).all()) for row, column in lake]
    goal = next(cell for cell, kind in lake.items() if kind == "goal")
    for attribute, (row, column) in zip(item.attributes, (visited[0], goal), strict=True):
        assert attribute == scratched[row * task.side + column]
    for step, (row, column) in enumerate(visited):
        assert item.relevant[step].nonzero()[0].tolist() == [row * task.side + column]
    return moves


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"kind": "judge"},
        {"side": 8, "min_moves": 6},
        pytest.param({"side": 3, "hole_rate": 0.95, "patch": 3}, marks=pytest.mark.slow),
    ],
)
def test_mazes_are_solved_by_breadth_first_search(knobs):
    task = tasks.maze(**knobs)
    items = drawn(task)
    for item in one_by_one(items):
        check_maze(task, item)
    # The package's simulation of any moves is that of this file.
    lengths = task.max_moves + 3
    moves = np.random.default_rng(0).integers(0, 4, (NUM_ITEMS, lengths)) + FIRST
    outcomes = jax.jit(jax.vmap(task.outcome))(items, moves)
    for outcome, way, item in zip(np.asarray(outcomes).tolist(), moves, one_by_one(items), strict=True):
        lake = lake_of(task, item.image)
        end = lake[walked(lake, spelt(task, way))[-1]]
        assert outcome == {"goal": 0, "hole": 1}.get(end, 2)


def test_plans_reach_the_goal():
    task = tasks.maze()
    items = drawn(task)
    assert not np.asarray(jax.jit(jax.vmap(task.outcome))(items, items.answer)).any()


# Reachability


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        pytest.param({"nodes": 4, "edges": 2, "min_hops": 1, "max_hops": 1}, marks=pytest.mark.slow),
        {"nodes": 8, "edges": 6, "min_hops": 3},
    ],
)
def test_only_the_answer_can_be_reached(knobs):
    task = tasks.reachability(**knobs)
    for item in one_by_one(drawn(task)):
        words = spelt(task, item.question)
        *listed, _, first, second, _, root = words
        edges = list(zip(listed[::2], listed[1::2], strict=True))
        assert len(set(edges)) == len(edges) <= task.edges
        after = collections.defaultdict(list)
        for parent, child in edges:
            after[parent].append(child)
        found, queue = {root: 0}, collections.deque([root])
        while queue:
            node = queue.popleft()
            for child in after[node]:
                if child not in found:
                    found[child] = found[node] + 1
                    queue.append(child)
        (answer,) = spelt(task, item.answer)
        assert {first, second} & set(found) == {answer}
        steps = spelt(task, item.steps)
        assert task.min_hops <= len(steps) == found[answer] <= task.max_hops
        assert steps[-1] == answer
        way = [root, *steps]
        assert all(child in after[parent] for parent, child in itertools.pairwise(way))
        assert item.attributes[0] == min(len(after[steps[0]]), 3)
        # No cycles: nodes can be taken away from the ends one after the other.
        left = set(edges)
        while left:
            ends = {child for _, child in left} - {parent for parent, _ in left}
            assert ends
            left = {edge for edge in left if edge[1] not in ends}


def test_candidates_are_swapped_and_names_are_even():
    items = drawn(tasks.reachability())
    is_first = items.question[:, -4] == items.answer[:, 0]
    assert even([is_first.sum(), (~is_first).sum()])
    assert even(np.bincount(items.answer[:, 0] - FIRST, minlength=16))


def test_deep_answers_are_as_frequent_as_graphs_allow():
    lengths = (drawn(tasks.reachability()).steps != PAD).sum(axis=1)
    assert set(lengths.tolist()) <= {2, 3, 4}
    # As graphs come, without a wish for hops, it is one of seventeen (57 of 1,000).
    assert (lengths == 3).mean() - 4 * math.sqrt(0.25 / NUM_ITEMS) > 0.057


# Knobs at random, smallest and largest among them


@hypothesis.settings(max_examples=4)
@hypothesis.given(st.data())
def test_chases_of_any_size_lead_to_the_answer(data):
    side = data.draw(st.integers(2, 4))
    hops = data.draw(st.integers(1, side**2 - 1))
    decoys = data.draw(st.integers(0, side**2 - 1 - hops))
    task = tasks.pointer_chase(side=side, hops=hops, decoys=decoys, patch=data.draw(st.integers(side + 1, 10)))
    item = jax.tree.map(np.asarray, jax.jit(task.draw)(jax.random.key(data.draw(st.integers(0, 2**31 - 1)))))
    place = item.question[0] - FIRST
    for _ in range(hops):
        place = np.dot(sign_at(task, item.image, place), [side, 1])
    assert item.answer.tolist() == [place + FIRST]


@pytest.mark.slow
@hypothesis.settings(max_examples=8)
@hypothesis.given(st.integers(3, 8), st.sampled_from(["plan", "judge"]), st.floats(0, 0.99), st.integers(0, 2**31 - 1))
def test_mazes_of_any_size_are_solvable(side, kind, hole_rate, seed):
    task = tasks.maze(side=side, kind=kind, hole_rate=hole_rate)
    check_maze(task, jax.tree.map(np.asarray, jax.jit(task.draw)(jax.random.key(seed))))


def test_chance_is_what_the_answers_say():
    for task in (tasks.pointer_chase(), tasks.visual_search(), tasks.rotation()):
        *_, answer = answers(task)[:2]
        largest = np.bincount(answer[:, 0]).max() / NUM_DRAWS
        best = max(task.chance, 1 / len(task.choices))
        assert abs(largest - 1 / len(task.choices)) < 6 * math.sqrt(best / NUM_DRAWS)
