"""The contract of a task, for every family of the catalogue and its variants."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from tokdyn import plot
from tokdyn.compiling import watched
from tokdyn.data import scene_graphs
from tokdyn.plot.tasks import task_samples
from tokdyn.reasoning import tasks
from tokdyn.reasoning.items import PAD, SPECIALS, Item, num_patches
from tokdyn.reasoning.training import items_of

NUM_ITEMS, MOST = 64, 200  # most: as many as the laws in test_tasks_laws.py are tried on
TASKS = {name: factory() for name, factory in tasks.CATALOG.items()}
NAMES = sorted(TASKS)
WRONG = [
    (tasks.pointer_chase, {"side": 1}, "side: expected a static integer of at least 2, got 1"),
    (tasks.pointer_chase, {"hops": 9}, "hops: expected less than the 9 places, got 9"),
    (tasks.pointer_chase, {"decoys": 6}, "decoys: expected at most the 5 places that the chain does not visit, got 6"),
    (tasks.pointer_chase, {"patch": 3}, "patch: expected a static integer of at least 4, got 3"),
    (tasks.pointer_chase, {"shuffled_start": 1}, "shuffled_start: expected True or False, got 1"),
    (tasks.visual_search, {"set_size": 17}, "set_size: expected at most the 16 places, got 17"),
    (tasks.visual_search, {"kind": "other"}, "kind: expected one of 'conjunction', 'feature', got 'other'"),
    (tasks.visual_search, {"answers": "all"}, "answers: expected one of 'place', 'presence', got 'all'"),
    (tasks.visual_search, {"patch": 6}, "patch: expected a multiple of 4, got 6"),
    (tasks.counting, {"filters": 5}, "filters: expected at most 4, one for each attribute, got 5"),
    (tasks.counting, {"min_objects": 7}, "max_objects: expected a static integer of at least 7, got 6"),
    (tasks.counting, {"max_objects": 9}, "max_objects: expected at most 8, for which there is room, got 9"),
    (tasks.counting, {"num_colours": 3}, "num_colours: expected 2, 4 or 8, got 3"),
    (tasks.counting, {"patch": 5}, "patch: expected a divisor of size = 32, got 5"),
    (tasks.rotation, {"sizes": (3,)}, "sizes: expected a tuple of different numbers from 4 to 6, got (3,)"),
    (tasks.rotation, {"grid": 3}, "grid: expected a static integer of at least 4, got 3"),
    (tasks.rotation, {"jitter": 3}, "jitter: expected at most 2, to stay in the grid, got 3"),
    (tasks.maze, {"side": 9}, "side: expected at most 8, got 9"),
    (tasks.maze, {"hole_rate": 1.0}, "hole_rate: expected a number from 0 to below 1, got 1.0"),
    (tasks.maze, {"min_moves": 7}, "min_moves: expected at most 2 * (side - 1) = 6, got 7"),
    (tasks.maze, {"max_moves": 5}, "max_moves: expected a static integer of at least 6, got 5"),
    (tasks.reachability, {"nodes": 5}, "nodes: expected a static integer of at least 6, got 5"),
    (tasks.reachability, {"max_hops": 1}, "max_hops: expected a static integer of at least 2, got 1"),
    (tasks.addition, {"terms": 5}, "terms: expected a static integer of at most 4, got 5"),
    (tasks.addition, {"patch": 2}, "patch: expected a static integer of at least 3, got 2"),
    (tasks.reachability, {"edges": 121}, "edges: expected at most nodes * (nodes - 1) / 2 = 120, got 121"),
]


def drawn(task, seed=0):
    return tiny.drawn(task, NUM_ITEMS, seed, most=MOST)


@functools.cache
def replier(task):
    return jax.jit(jax.vmap(task.answer_from))


@pytest.mark.parametrize("name", NAMES)
def test_items_are_as_declared(name):
    task, items = TASKS[name], drawn(TASKS[name])
    height, width, _ = task.image_shape
    patches = num_patches(task)
    assert height % task.patch == 0
    assert width % task.patch == 0
    shapes = {
        "image": task.image_shape,
        "question": (task.question_length,),
        "answer": (task.answer_length,),
        "steps": (task.num_steps,),
        "relevant": (task.num_steps, patches),
        "helper": task.image_shape,
        "attributes": (len(task.attribute_sizes),),
    }
    for field, shape in shapes.items():
        assert getattr(items, field).shape == (NUM_ITEMS, *shape), field
    for field in ("question", "answer", "steps", "attributes"):
        assert getattr(items, field).dtype == np.int32, field
    assert items.relevant.dtype == bool
    for picture in (items.image, items.helper):
        assert picture.dtype == jnp.result_type(float)
        assert ((picture >= 0) & (picture <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_words_are_in_the_vocabulary(name):
    task, items = TASKS[name], drawn(TASKS[name])
    assert task.words[: len(SPECIALS)] == SPECIALS
    assert len(set(task.words)) == len(task.words)
    assert set(task.choices) <= set(range(len(SPECIALS), len(task.words)))
    assert hash(task) == hash(tasks.CATALOG[name]())
    for words in (items.question, items.answer, items.steps):
        used = words[words != PAD]
        assert used.min() >= len(SPECIALS)
        assert used.max() < len(task.words)
    assert np.isin(items.answer[:, 0], task.choices).all()
    assert (items.attributes >= 0).all()
    assert (items.attributes < np.array(task.attribute_sizes)).all()


@pytest.mark.parametrize("name", NAMES)
def test_steps_come_first_and_read_something(name):
    task, items = TASKS[name], drawn(TASKS[name])
    used = items.steps != PAD
    assert used[:, 0].all()
    assert (np.diff(used.astype(int), axis=1) <= 0).all()  # what is unused is at the end
    if num_patches(task):
        np.testing.assert_array_equal(items.relevant.any(axis=2), used)


@pytest.mark.parametrize("name", NAMES)
def test_every_step_leads_to_the_answer_and_the_last_decides_it(name):
    task, items = TASKS[name], drawn(TASKS[name])
    answer_from = replier(task)
    for step in range(task.num_steps):
        state = items.steps[:, step]
        found = answer_from(items, np.full(NUM_ITEMS, step + 1), state)
        used = state != PAD
        np.testing.assert_array_equal(np.asarray(found)[used], items.answer[used])
    # Another item's last result in the place of the own one changes the answer, wherever it is another.
    last = (items.steps != PAD).sum(axis=1)
    own = items.steps[np.arange(NUM_ITEMS), last - 1]
    other = np.roll(own, 1)
    changed = np.asarray(answer_from(items, last, other))
    differs = other != own
    assert differs.any()
    # In a maze a hole, or a cell without a way on, ends the plan where it is; in a graph many nodes reach neither
    # candidate, or the right one.
    expected = {"maze": 0.5, "reachability": 0.2}.get(name, 0.9)
    assert (changed != items.answer).any(axis=1)[differs].mean() > expected
    if task.answer_length == 1:
        assert np.isin(changed[:, 0], task.choices).all()


@pytest.mark.parametrize("name", NAMES)
def test_without_a_step_the_answer_follows_from_the_item(name):
    task, items = TASKS[name], drawn(TASKS[name])
    if name in ("pointer_chase", "visual_search"):
        start = items.question[:, 0] if name == "pointer_chase" else np.full(NUM_ITEMS, len(SPECIALS))
    else:
        start = np.full(NUM_ITEMS, task.choices[0])  # does not matter
    found = replier(task)(items, np.zeros(NUM_ITEMS, int), start)
    np.testing.assert_array_equal(found, items.answer)


@pytest.mark.parametrize("name", NAMES)
def test_single_draws_are_those_of_vmap_and_another_key_does_not_recompile(name):
    task, seen = TASKS[name], []
    items = jax.tree.map(np.asarray, items_of(task, jax.random.key(0), MOST))
    with watched(seen.append):
        others = jax.tree.map(np.asarray, items_of(task, jax.random.key(1), MOST))
    assert not seen
    assert any((left != right).any() for left, right in zip(items, others, strict=True))
    single = jax.jit(task.draw)
    for i, key in enumerate(jax.random.split(jax.random.key(0), MOST)[:4]):
        for one, many in zip(single(key), items, strict=True):
            np.testing.assert_array_equal(one, many[i])
    assert single._cache_size() == 1


@pytest.mark.parametrize(("factory", "changes", "sentence"), WRONG)
def test_what_is_wrong_is_named(factory, changes, sentence):
    with pytest.raises(ValueError) as caught:
        factory(**changes)
    assert str(caught.value) == sentence


def test_a_scene_is_written_as_clevr_does():
    task = TASKS["counting"]
    key = jax.random.key(0)
    record = scene_graphs.to_clevr(jax.jit(task.scene)(key))
    assert task.min_objects <= len(record["objects"]) <= task.max_objects
    assert sorted(record["relationships"]) == ["behind", "front", "left", "right"]


def test_baselines_are_measured_on_held_out_items():
    task = tasks.pointer_chase(side=2, hops=1)
    found = tasks.baselines(task, key=jax.random.key(0), num_train=512, num_test=512, factor=1, num_steps=300)
    assert found["chance"] == 1 / 3
    assert abs(found["blind"].estimate - 1 / 3) < 4.5 * (2 / 9 / 512) ** 0.5  # a right one fails once in 100,000
    assert found["blind"].low < found["blind"].estimate < found["blind"].high
    assert found["glance"].low > 0.9  # one hop, and the whole picture: 4 starts and 3 signs to learn
    assert found["largest"] * 512 == round(found["largest"] * 512)
    assert found["majority"].estimate <= found["largest"]


def test_baselines_refuse_what_they_cannot_do():
    task = TASKS["pointer_chase"]
    with pytest.raises(ValueError, match="factor: expected a divisor of height = 12 and width = 12, got 5"):
        tasks.baselines(task, key=jax.random.key(0), num_train=128, num_test=1, factor=5)
    with pytest.raises(ValueError, match="num_train: expected a static integer of at least 128, got 1"):
        tasks.baselines(task, key=jax.random.key(0), num_train=1, num_test=1)


@dataclasses.dataclass(frozen=True)
class Told:
    """A task without pictures."""

    words: tuple[str, ...] = (*SPECIALS, "[Q]", "left", "right")
    image_shape: tuple[int, int, int] = (0, 0, 1)
    patch: int = 1

    def draw(self, key):
        empty, word = jnp.zeros(self.image_shape), jnp.full(1, 7, jnp.int32)
        question = jnp.array([5, 6, 7, PAD], jnp.int32)
        return Item(empty, question, word, word, jnp.zeros((1, 0), bool), empty, word)


def test_samples_are_drawn_with_their_words(tmp_path):
    made = task_samples({"pointer_chase": TASKS["pointer_chase"], "told": Told()}, jax.random.key(0), samples=2)
    made.canvas.draw()
    box = made.get_tightbbox(made.canvas.get_renderer())
    width, height = made.get_size_inches()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01
    assert [panel.get_ylabel() for panel in made.axes[::4]] == ["pointer chase", "told"]
    steps, answer = made.axes[1].get_title().split("\n")
    assert steps.split()[-1] == answer.removeprefix("answer: ")
    assert len(made.axes[0].patches) == 2 * 3  # a patch for each hop, twice for the rim
    assert sorted(text.get_text() for text in made.axes[0].texts) == ["1", "2", "3"]
    assert [text.get_text() for text in made.axes[4].texts] == ["[Q] left right"]
    assert plot.save(made, tmp_path / "tasks.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="tasks: expected at least one task, got none"):
        task_samples({}, jax.random.key(0))
