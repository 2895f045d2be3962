"""The model against a transcription in NumPy, its cache against recomputation, its protocol against its masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tokdyn import reasoning
from tokdyn.reasoning.items import END, OTHER_START, PAD, START
from tokdyn.reasoning.layout import COMPONENTS, layout, visible
from tokdyn.reasoning.protocol import PUBLISHED_PROTOCOLS, Protocol, protocol
from tokdyn.reasoning.training import items_of

TASK = reasoning.tasks.pointer_chase(side=2, hops=2, decoys=1, patch=3)
ITEMS = items_of(TASK, jax.random.key(3), 5)
LONG = reasoning.tasks.maze(side=3)


def made(way, task=TASK, **sizes):
    model = reasoning.reasoner(task, way, **{"width": 8, "heads": 2, "layers": 2, "hidden": 12, **sizes})
    return model, model.init(jax.random.key(0))


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


@pytest.mark.parametrize("source", ["state", "constant", "word"])
@pytest.mark.parametrize("task", [TASK, LONG], ids=["one word", "several words"])
def test_step_by_step_is_all_at_once(source, task):
    model, variables = made(protocol(slots=3, source=source, hidden={"format": ["image"]}), task)
    items = items_of(task, jax.random.key(3), 4)
    output, _ = jax.jit(model.apply)(variables, items)
    for i in range(4):
        fed = np.asarray(output.sites.embeddings[i])
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


def test_the_first_latent_may_come_from_before_the_start_marker():
    model, variables = made(protocol(slots=2, first="before_start"))
    output, _ = model.apply(variables, ITEMS)
    states, _, _ = transcribed(variables["params"], output.sites.embeddings[0], model.sees, model.heads)
    start = model.places.starts["slots"]
    np.testing.assert_allclose(output.sites.embeddings[0, start], states[start - 2], atol=2e-5)
    np.testing.assert_allclose(output.sites.embeddings[0, start + 1], states[start], atol=2e-5)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_head_stands_between_state_and_slot(head):
    model, variables = made(protocol(slots=2, head=head))
    output, _ = model.apply(variables, ITEMS)
    start = model.places.starts["slots"]
    params, state = variables["params"], output.states[0, 0]
    for number in range(1 + (head == "mlp")):
        state = dense(gelu(state) if number else state, params[f"head_layers_{number}"])
    np.testing.assert_allclose(output.sites.embeddings[0, start], state, atol=1e-5)


def test_words_of_ones_own_are_those_read_back():
    model, variables = made(protocol(slots=2), LONG)
    items = items_of(LONG, jax.random.key(3), 4)
    free, _ = model.apply(variables, items, teacher=False)
    read, _ = model.apply(variables, items._replace(answer=free.answer))
    np.testing.assert_allclose(free.logits, read.logits, atol=1e-5)


def test_stopping_is_per_sample():
    """With a readout rigged so that the next word is END where one number of the state is above a threshold."""
    model, variables = made(protocol(slots=4, stop="end_word"))
    items = items_of(TASK, jax.random.key(8), 64)
    params = dict(variables["params"])
    states = np.asarray(made(protocol(slots=4))[0].apply(variables, items)[0].states[:, :4])
    number = int(states[:, 0].std(axis=0).argmax())
    threshold = float(np.median(states[:, 0, number]))
    kernel = jnp.zeros_like(params["readout"]["kernel"]).at[number, END].set(1.0)
    bias = jnp.full_like(params["readout"]["bias"], -100.0).at[PAD].set(threshold).at[END].set(0.0)
    variables = {"params": {**params, "readout": {"kernel": kernel, "bias": bias}}, "state": {}}
    output, _ = jax.jit(model.apply)(variables, items)
    ends = np.asarray(output.slot_logits.argmax(-1) == END)[:, :-1]  # what the start marker and slots 0 to 2 say
    expected = np.where(ends.any(axis=1), ends.argmax(axis=1), 4)
    np.testing.assert_array_equal(output.length, expected)
    assert len(set(expected.tolist())) > 1
    slots = model.places.where("slots")
    seen = np.asarray(output.attention)[:, :, :, -1][..., slots].max(axis=(1, 2)) > 0  # by the last word of format
    np.testing.assert_array_equal(seen, np.arange(4) < expected[:, None])


def test_who_does_not_open_the_slots_has_none():
    own, variables = made(protocol(slots=2, start="own"))
    params = variables["params"]
    for word, opens in ((START, True), (OTHER_START, True), (PAD, False)):
        bias = jnp.zeros_like(params["readout"]["bias"]).at[word].set(100.0)
        rigged = {"params": {**params, "readout": {**params["readout"], "bias": bias}}, "state": {}}
        output, _ = own.apply(rigged, ITEMS)
        assert output.triggered.tolist() == [opens] * 5
        inside = own.places.where("slots") | own.places.where("markers")
        mass = np.asarray(output.attention)[:, :, :, -1][..., inside].sum()
        assert (mass > 0) == opens


def test_the_mode_chooses_the_start_marker():
    model, variables = made(protocol(slots=1))
    for mode, word in ((0, START), (1, OTHER_START)):
        output, _ = model.apply(variables, ITEMS._replace(mode=jnp.full(5, mode)))
        marker = output.sites.embeddings[0, model.places.starts["start"]]
        np.testing.assert_array_equal(marker, variables["params"]["word_vectors"][word])


def test_what_is_hidden_has_no_gradient_and_the_rest_has():
    way = protocol(slots=2, source="constant", hidden={"format": ["image", "question"], "slots": ["question"]})
    model, variables = made(way)

    def answer(image, question_vector):
        params = variables["params"]
        vectors = params["word_vectors"].at[ITEMS.question[0, 0]].set(question_vector)
        item = jax.tree.map(lambda leaf: leaf[:1], ITEMS)._replace(image=image[None])
        hidden = {"params": {**params, "word_vectors": vectors}, "state": {}}
        return model.apply(hidden, item)[0].logits[0, 0].max()

    question = variables["params"]["word_vectors"][ITEMS.question[0, 0]]
    by_image, by_question = jax.grad(answer, argnums=(0, 1))(ITEMS.image[0], question)
    assert float(jnp.abs(by_image).max()) > 0  # through the slots
    assert float(jnp.abs(by_question).max()) > 0  # through the markers
    way = protocol(
        slots=2, source="constant", hidden={"format": ["prompt", "start", "end"], "slots": ["question", "start"]}
    )
    model, variables = made(way)
    by_image, by_question = jax.grad(answer, argnums=(0, 1))(ITEMS.image[0], question)
    assert float(jnp.abs(by_image).max()) > 0
    assert float(jnp.abs(by_question).max()) == 0


def test_a_direct_answer_does_not_depend_on_markers():
    model, variables = made(reasoning.direct())
    moved = {"params": {**variables["params"], "word_vectors": variables["params"]["word_vectors"].at[END].add(5.0)}}
    before, _ = model.apply(variables, ITEMS)
    after, _ = model.apply({**moved, "state": {}}, ITEMS)
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


def test_bad_models():
    with pytest.raises(ValueError, match="width: expected a multiple of the 3 heads"):
        reasoning.reasoner(TASK, protocol(slots=1), width=8, heads=3)
    model, variables = made(protocol(slots=1, source="given"))
    with pytest.raises(ValueError, match="given: expected"):
        model.apply(variables, ITEMS)


def test_modes_need_an_earlier_step():
    two = reasoning.two_modes(TASK)
    items = items_of(two, jax.random.key(0), 2000)
    early = np.asarray(items.mode) == 1
    np.testing.assert_array_equal(items.answer[early, 0], items.steps[early, 0])
    np.testing.assert_array_equal(items.answer[~early, 0], items.steps[~early, -1])
    assert abs(early.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)
    with pytest.raises(ValueError, match="early: expected"):
        reasoning.two_modes(TASK, early=1)
