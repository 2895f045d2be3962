"""The model against a transcription in NumPy, its cache against recomputation, its protocol against its masks."""

import jax
import numpy as np
import pytest
import tiny
from tiny import TASK

from tokdyn import reasoning
from tokdyn.reasoning.items import END, OTHER_START, PAD, START
from tokdyn.reasoning.layout import COMPONENTS, layout, visible
from tokdyn.reasoning.protocol import PUBLISHED_PROTOCOLS, Protocol, protocol

LONG = reasoning.tasks.maze(side=3)


@pytest.fixture(scope="module")
def items():
    return tiny.drawn(TASK, 5)


def made(way, task=TASK, layers=2):
    model = reasoning.reasoner(task, way, width=8, heads=2, layers=layers, hidden=12)
    return model, tiny.untrained(model)


def applied(model, variables, items, **options):
    """The output alone, compiled once for a model."""
    return jax.tree.map(np.asarray, tiny.program(model.apply, "teacher")(variables, items, **options)[0])


def changed(array, at, value):
    """A copy of an array in which one entry is another."""
    array = np.array(array)
    array[at] = value
    return array


def with_readout(variables, **parts):
    params = variables["params"]
    return {"params": {**params, "readout": {**params["readout"], **parts}}, "state": {}}


def norm(x, scale):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def dense(x, layer):
    return x @ layer["kernel"] + layer.get("bias", 0.0)


def transcribed(params, embeddings, sees, heads):
    """All positions at once in float64: states after the last norm, keys of each layer."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = np.asarray(embeddings, np.float64) + params["place_vectors"]
    keys = []
    layer = 0
    while f"blocks_{layer}" in params:
        block = params[f"blocks_{layer}"]
        h = norm(x, block["RMSNorm_0"]["scale"])
        q, k, v = (dense(h, block[f"Dense_{i}"]) for i in range(3))
        keys.append(k)
        size = q.shape[1] // heads
        mixed = []
        for head in range(heads):
            cut = slice(head * size, (head + 1) * size)
            scores = np.where(sees, q[:, cut] @ k[:, cut].T / np.sqrt(size), -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            mixed.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, cut])
        x = x + dense(np.concatenate(mixed, axis=1), block["Dense_3"])
        inner = gelu(dense(norm(x, block["RMSNorm_1"]["scale"]), block["Dense_4"]))
        x = x + dense(inner, block["Dense_5"])
        layer += 1
    return norm(x, params["last_norm"]["scale"]), np.stack(keys), lambda states: dense(states, params["readout"])


@pytest.mark.parametrize(
    ("task", "source"),
    [
        (TASK, "state"),
        (TASK, "constant"),
        (TASK, "word"),
        (LONG, "state"),
        pytest.param(LONG, "constant", marks=pytest.mark.slow),
        pytest.param(LONG, "word", marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else "one word" if value is TASK else "several words",
)
def test_step_by_step_is_all_at_once(source, task):
    model, variables = made(protocol(slots=3, source=source, hidden={"format": ["image"]}), task)
    items = tiny.drawn(task, 4)
    output = applied(model, variables, items)
    for i in range(4):
        fed = output.sites.embeddings[i]
        states, keys, logits = transcribed(variables["params"], fed, model.sees, model.heads)
        first = model.places.prefix
        np.testing.assert_allclose(output.states[i], states[first:], atol=2e-5)
        np.testing.assert_allclose(output.sites.keys[i], keys, atol=2e-5)
        answer = first + model.places.suffix - task.answer_length
        np.testing.assert_allclose(output.logits[i], logits(states[answer:]), atol=2e-5)
        start = model.places.starts["slots"]
        if source == "state":  # what is fed is the state before, after the norm
            np.testing.assert_allclose(fed[start : start + 3], states[start - 1 : start + 2], atol=2e-5)
        elif source == "word":
            words = logits(states[start - 1 : start + 2]).argmax(-1)
            np.testing.assert_array_equal(fed[start : start + 3], variables["params"]["word_vectors"][words])


def test_the_first_latent_may_come_from_before_the_start_marker(items):
    model, variables = made(protocol(slots=2, first="before_start"))
    output = applied(model, variables, items)
    states, _, _ = transcribed(variables["params"], output.sites.embeddings[0], model.sees, model.heads)
    start = model.places.starts["slots"]
    np.testing.assert_allclose(output.sites.embeddings[0, start], states[start - 2], atol=2e-5)
    np.testing.assert_allclose(output.sites.embeddings[0, start + 1], states[start], atol=2e-5)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_head_stands_between_state_and_slot(head, items):
    model, variables = made(protocol(slots=2, head=head), layers=1)
    output = applied(model, variables, items)
    start = model.places.starts["slots"]
    params, state = variables["params"], output.states[0, 0]
    for number in range(1 + (head == "mlp")):
        state = dense(gelu(state) if number else state, params[f"head_layers_{number}"])
    np.testing.assert_allclose(output.sites.embeddings[0, start], state, atol=1e-5)


def test_words_of_ones_own_are_those_read_back():
    model, variables = made(protocol(slots=2), LONG)
    items = tiny.drawn(LONG, 4)
    free = applied(model, variables, items, teacher=False)
    read = applied(model, variables, items._replace(answer=free.answer))
    np.testing.assert_allclose(free.logits, read.logits, atol=1e-5)


def test_stopping_is_per_sample():
    """With a readout rigged so that the next word is END where one number of the state is above a threshold."""
    model, variables = made(protocol(slots=4, stop="end_word"))
    items = tiny.drawn(TASK, 64, seed=8)
    readout = variables["params"]["readout"]
    kernel, bias = np.zeros_like(readout["kernel"]), np.full_like(readout["bias"], -100.0)
    # With this bias nobody says END: states of a model that does not stop.
    free = applied(model, with_readout(variables, kernel=kernel, bias=changed(bias, PAD, 0.0)), items)
    assert (free.length == 4).all()
    number = int(free.states[:, 0].std(axis=0).argmax())
    threshold = float(np.median(free.states[:, 0, number]))
    bias[[PAD, END]] = threshold, 0.0
    output = applied(model, with_readout(variables, kernel=changed(kernel, (number, END), 1.0), bias=bias), items)
    ends = (output.slot_logits.argmax(-1) == END)[:, :-1]  # what the start marker and slots 0 to 2 say
    expected = np.where(ends.any(axis=1), ends.argmax(axis=1), 4)
    np.testing.assert_array_equal(output.length, expected)
    assert len(set(expected.tolist())) > 1
    slots = model.places.where("slots")
    seen = output.attention[:, :, :, -1][..., slots].max(axis=(1, 2)) > 0  # by the last word of format
    np.testing.assert_array_equal(seen, np.arange(4) < expected[:, None])


def test_who_does_not_open_the_slots_has_none(items):
    own, variables = made(protocol(slots=2, start="own"), layers=1)
    for word, opens in ((START, True), (OTHER_START, True), (PAD, False)):
        bias = changed(np.zeros_like(variables["params"]["readout"]["bias"]), word, 100.0)
        output = applied(own, with_readout(variables, bias=bias), items)
        assert output.triggered.tolist() == [opens] * 5
        inside = own.places.where("slots") | own.places.where("markers")
        mass = output.attention[:, :, :, -1][..., inside].sum()
        assert (mass > 0) == opens


def test_the_mode_chooses_the_start_marker(items):
    model, variables = made(protocol(slots=2), layers=1)
    for mode, word in ((0, START), (1, OTHER_START)):
        output = applied(model, variables, items._replace(mode=np.full(5, mode, np.int32)))
        marker = output.sites.embeddings[0, model.places.starts["start"]]
        np.testing.assert_array_equal(marker, variables["params"]["word_vectors"][word])


def test_what_is_hidden_has_no_gradient_and_the_rest_has(items):
    def gradients(**hidden):
        model, variables = made(protocol(slots=2, source="constant", hidden=hidden))
        word, params = items.question[0, 0], variables["params"]

        def answer(image, question_vector, params):
            vectors = params["word_vectors"].at[word].set(question_vector)
            item = jax.tree.map(lambda leaf: leaf[:1], items)._replace(image=image[None])
            given = {"params": {**params, "word_vectors": vectors}, "state": {}}
            return model.apply(given, item)[0].logits[0, 0].max()

        found = jax.jit(jax.grad(answer, argnums=(0, 1)))(items.image[0], params["word_vectors"][word], params)
        return [float(np.abs(one).max()) for one in found]

    by_image, by_question = gradients(format=["image", "question"], slots=["question"])
    assert by_image > 0  # through the slots
    assert by_question > 0  # through the markers
    by_image, by_question = gradients(format=["prompt", "start", "end"], slots=["question", "start"])
    assert by_image > 0
    assert by_question == 0


def test_a_direct_answer_does_not_depend_on_markers(items):
    model, variables = made(reasoning.direct())
    vectors = variables["params"]["word_vectors"]
    moved = {"params": {**variables["params"], "word_vectors": changed(vectors, END, vectors[END] + 5)}, "state": {}}
    before, after = (applied(model, given, items) for given in (variables, moved))
    np.testing.assert_array_equal(before.logits, after.logits)


def test_masks():
    places = layout(image=3, question=2, slots=2, format=2, answer=3)
    assert places.total == 3 + 2 + 1 + 2 + 1 + 2 + 2
    assert sum(places.lengths.values()) == places.total
    sees = visible(places, {"format": ["slots"], "slots": ["slots"]})
    assert sees.diagonal().all()
    assert sees[:3, :3].all()
    assert not np.triu(sees[3:, 3:], 1).any()
    assert not sees[places.where("format")][:, places.where("slots")].any()
    assert sees[places.where("slots")][:, places.where("slots")].tolist() == np.eye(2, dtype=bool).tolist()
    assert {name for name in COMPONENTS if places.where(name).any()} == set(COMPONENTS)
    assert (places.where("markers") == (places.where("start") | places.where("end"))).all()


def test_protocols_are_values():
    for way in PUBLISHED_PROTOCOLS.values():
        assert isinstance(way, Protocol)
        assert protocol(**way.as_dict()) == way
        assert hash(protocol(**way.as_dict())) == hash(way)
    assert protocol(slots=1, hidden={"format": ["prompt"]}) == protocol(
        slots=1, hidden={"format": ["question", "image"]}
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slots": -1}, "slots: expected"),
        ({"slots": 1, "source": "hidden"}, "source: expected"),
        ({"slots": 1, "hidden": {"picture": ["image"]}}, "component: expected"),
        ({"slots": 1, "stop": "never"}, "stop: expected"),
    ],
)
def test_bad_protocols(arguments, message):
    with pytest.raises(ValueError, match=message):
        protocol(**arguments)


def test_bad_models(items):
    with pytest.raises(ValueError, match="width: expected a multiple of the 3 heads"):
        reasoning.reasoner(TASK, protocol(slots=1), width=8, heads=3)
    model, variables = made(protocol(slots=1, source="given"))
    with pytest.raises(ValueError, match="given: expected"):
        jax.eval_shape(model.apply, variables, items)


def test_modes_need_an_earlier_step():
    two = reasoning.two_modes(TASK)
    items = tiny.drawn(two, 2000, seed=0)
    early = items.mode == 1
    np.testing.assert_array_equal(items.answer[early, 0], items.steps[early, 0])
    np.testing.assert_array_equal(items.answer[~early, 0], items.steps[~early, -1])
    assert abs(early.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    with pytest.raises(ValueError, match="early: expected"):
        reasoning.two_modes(TASK, early=1)
