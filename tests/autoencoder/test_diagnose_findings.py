"""From measurements to causes: every bottleneck is measured, every cause has its condition, errors are sentences."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from constant_keys import constant_key

from tokdyn import autoencoder as ae
from tokdyn.autoencoder import bottlenecks, diagnose, quantizers

KEY = constant_key(11)
WORDS = 6


def model_with(bottleneck, channels=4):
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=WORDS, cells=4, channels=channels, embedding=5, width=8),
        bottleneck,
        ae.decoders.linear(vocabulary_size=WORDS),
    )


def measured(bottleneck, **named):
    model = model_with(bottleneck)
    text = diagnose.Words(np.float32([0.0, 0.4, 0.2, 0.2, 0.1, 0.1]), np.array([0, 1, 2]))
    init = jax.jit(model.init)
    program = jax.jit(lambda start, end, key: diagnose.measure(model, end, start, text, key=key, **named))
    found = program(init(KEY), init(constant_key(12)), KEY)
    return {name: float(value) for name, value in found.items()}


def check_measurements(found):
    """What must hold for any model: bounds of information theory, shares from 0 to 1."""
    needed = np.log2(5)  # one of the six words never occurs
    assert found["finite"] == 1.0
    assert found["num_types"] == 5.0
    assert found["accuracy.ceiling"] == pytest.approx(2 / 3)
    for name in ("start", "end"):
        assert 0.0 <= found[f"{name}.input_share"] <= 1.0
        assert 0.0 <= found[f"{name}.word_variance_share"] <= 1.0
        bits, error = found[f"{name}.code_bits"], found[f"{name}.code_bits_error"]
        if np.isfinite(bits):
            slack = 4 * error + 1e-5
            assert -slack <= bits <= min(needed, found["code.capacity_bits"]) + slack
            if np.isfinite(found[f"{name}.usage_bits"]):
                assert bits <= found[f"{name}.usage_bits"] + slack


def test_measure_a_drawn_code():
    found = measured(bottlenecks.gumbel(), loss=ae.losses.objective())
    check_measurements(found)
    assert found["start.code_bits_error"] > 0.0
    assert found["code.capacity_bits"] == 8.0
    assert np.isnan(found["end.usage_bits"])
    # Plain cross-entropy of nothing, of a sure right answer and of a sure wrong one.
    expected = [np.log(WORDS), 0.0, diagnose.probes.SURE]
    np.testing.assert_allclose([found[f"loss.{name}"] for name in ("undecided", "right", "wrong")], expected, atol=1e-4)


def test_measure_numbers():
    found = measured(bottlenecks.sigmoid())
    check_measurements(found)
    assert np.isnan(found["start.code_bits"])
    assert found["code.capacity_bits"] == np.inf
    assert np.isnan(found["loss.right"])


def test_measure_a_codebook():
    found = measured(quantizers.residual_quantizer(quantizers.vector_quantizer(num_codes=12), depth=2))
    check_measurements(found)
    assert found["code.capacity_bits"] == pytest.approx(4 * 2 * np.log2(12))
    assert found["start.code_bits_error"] == 0.0
    assert 1.0 <= found["end.perplexity"] <= 12.0


@pytest.mark.slow
@pytest.mark.parametrize("name", quantizers.CATALOG)
def test_measure_every_quantizer(name):
    check_measurements(measured(quantizers.CATALOG[name](), loss=ae.losses.objective()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["categorical", "straight_through", "identity"])
def test_measure_every_bottleneck(name):
    check_measurements(measured(getattr(bottlenecks, name)(), loss=ae.losses.objective()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ae.losses.CATALOG)
def test_only_the_double_softmax_among_the_losses_is_one(name):
    """Terms without a cross-entropy are judged beside one."""
    term = ae.losses.CATALOG[name](WORDS)
    terms = (
        {"extra": term}
        if name in ("cross_entropy", "double_softmax")
        else {"extra": term, "words": ae.losses.cross_entropy()}
    )
    found = measured(bottlenecks.straight_through(), loss=ae.losses.objective(**terms))
    verdict = {check.name: check.verdict for check in diagnose.decide(found).all}["double_softmax"]
    assert verdict is (name == "double_softmax")


# A sound model of 24 words, as it is measured.
SOUND = {
    "num_words": 26, "num_types": 24, "finite": 1, "accuracy.types": 1, "accuracy.tokens": 1,
    "accuracy.validation": 1, "accuracy.ceiling": 1, "accuracy.constant": 0.1, "accuracy.commonest": 0.1,
    "prediction.dominant_share": 1 / 24, "frequency.entropy": np.log(24), "moved": 0.5, "code.capacity_bits": 25,
    "start.encoder_gradient": 0.3, "start.cross_entropy": 3.5, "end.cross_entropy": 0.01,
    "end.double_cross_entropy": 2.31, "loss.undecided": np.log(26), "loss.right": 0.0, "loss.wrong": 30.0,
    "start.input_share": 0.3, "end.input_share": 1.0, "start.code_bits": 2.5, "end.code_bits": 4.5,
    "start.logit_bits": 2.0, "end.logit_bits": 4.5, "moved.encoder": 0.5, "moved.decoder": 0.5, "weights.ratio": 1.1,
    "loss.stated": 0.01, "loss.stated_error": 0.0, "loss.opposition": 0.0, "loss.rest_share": 0.0, "loss.slope": 0.1,
    "start.hears": 0.5, "end.hears": 1.0, "start.noise_share": 0.0, "end.noise_share": 0.0,
    "start.quiet_share": 0.0, "end.quiet_share": 0.0, "start.code_differs": 0.5,
    "end.code_differs": 0.5, "rewards.reads": 1, "rewards.right": 1, "rewards.inverted": 0, "rewards.shift": 0,
    "rewards.shift_share": 1, "rewards.rewarded": 1, "rewards.steady": 1, "rewards.rest.cross_entropy": 1e-13,
    "rewards.fixed": 1, "loss.rewarded": 0.0,
    "rewards.rest.double_softmax": 0.8, "rewards.rest.squared_error": 0.6, "rewards.rest.linear": 0.8,
    "rewards.rest.tempered": 1e-13, "rewards.temperature": 1, **{f"{stage}.{name}": np.nan for stage in ("start", "end")
    for name in ("usage_bits", "perplexity", "active_share")},
}  # fmt: skip
LOST = {"accuracy.types": 0.1, "accuracy.tokens": 0.1, "end.cross_entropy": 2.5}
LEVELS = diagnose.loss_levels(26)
TWICE = {"rewards.rest.double_softmax": 1e-13, "rewards.rest.linear": 2e-3, "rewards.rest.cross_entropy": 0.8}
CODEBOOK = {f"{stage}.{name}": 12.0 for stage in ("start", "end") for name in ("usage_bits", "perplexity")}
SKEWED = {**LOST, "frequency.entropy": 0.5, "accuracy.tokens": 0.98, "accuracy.commonest": 0.9}
CAUSES = {
    "healthy": ({}, None),
    "diverged": ({**LOST, "finite": 0}, None),
    "double_softmax": (TWICE, None),
    "no_gradient": ({"start.encoder_gradient": 0.0}, None),
    "code_space_too_small": ({"code.capacity_bits": 4.0}, None),
    "dead_codes": ({**LOST, **CODEBOOK, "end.usage_bits": 4.0}, None),
    "decoder_initialised_collapsed": ({**LOST, "start.input_share": 0.001, "start.cross_entropy": 9.0}, None),
    "uninformative_start": ({**LOST, "start.code_bits": 0.001, "end.code_bits": 0.5}, None),
    "inverted_loss": ({"rewards.right": 0.0, "rewards.inverted": 1.0}, None),
    "wrong_targets": ({"rewards.right": 0.02, "rewards.steady": 0.05}, None),
    "frozen_part": ({**LOST, "moved.encoder": 0.0}, None),
    "deaf_decoder": ({**LOST, "start.hears": 0.0, "end.hears": 0.0}, None),
    "temperature": ({**LOST, "rewards.temperature": 300.0}, None),
    "learning_rate_too_high": ({**LOST, "moved": 40.0}, np.r_[3.2, np.full(11, 9.0)]),
    "regularisation_too_strong": ({**LOST, "weights.ratio": 0.01}, np.linspace(3.2, 3.1, 12)),
    "dropout": ({**LOST, "start.noise_share": 0.97}, None),
    "data_unlike_stated": (
        {**LOST, "accuracy.types": 0.5, "accuracy.tokens": 0.5, "loss.stated": 4.0},
        np.linspace(3.2, 0.02, 12) ** 2,
    ),
    "constant_predictor": ({**SKEWED, "prediction.dominant_share": 1.0, "end.cross_entropy": 0.5}, None),
    "learning_rate_too_low": ({**LOST, "moved": 1e-4}, np.linspace(3.2, 3.1, 12)),
    "rare_words_lost": (SKEWED, None),
    "unknown_words_ceiling": ({"accuracy.validation": 0.47, "accuracy.ceiling": 0.47}, None),
    "unexplained": (LOST, np.r_[3.2, np.full(11, 2.5)]),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_its_condition(cause):
    changes, curve = CAUSES[cause]
    findings = diagnose.decide({**SOUND, **changes}, curve)
    assert findings.cause == cause
    assert findings.remedy == diagnose.REMEDIES[cause]
    assert f"cause: {cause}" in str(findings)
    read = json.loads(findings.to_json())  # NaN is no JSON
    assert read["cause"] == cause
    assert len(read["all"]) == len(findings.all)


def test_a_loss_that_reads_no_answer_has_no_temperature():
    """Of a loss whose mask counts no row nothing is left at any temperature: it was named "temperature"."""
    changes = {**LOST, "rewards.reads": 0, "rewards.temperature": 0.01, "rewards.rest.tempered": 0.0}
    assert diagnose.decide({**SOUND, **changes}).cause == "unexplained"


def test_a_deaf_decoder_says_nothing_of_the_code_s_start():
    """A code without probabilities is judged by what the decoder says; one that averages over the batch says nothing.

    It was an "uninformative_start" first and a deaf decoder second.
    """
    numbers = {**LOST, "start.code_bits": np.nan, "start.logit_bits": 0.0, "end.logit_bits": 0.0}
    assert diagnose.decide({**SOUND, **numbers}).cause == "uninformative_start"
    findings = diagnose.decide({**SOUND, **numbers, "start.hears": 0.0, "end.hears": 0.0})
    assert findings.ranked == ("deaf_decoder",)
    assert "the decoder is deaf" in str(findings)


def test_every_cause_is_tested():
    assert set(CAUSES) == set(diagnose.REMEDIES)


def test_a_model_that_keeps_its_types_has_no_likely_fault():
    """What only explains a failure is not named where there is none."""
    changes = {
        "start.input_share": 0.001,
        "start.cross_entropy": 9.0,
        "start.code_bits": 0.0,
        "moved": 0.01,
        **CODEBOOK,
    }
    assert diagnose.decide({**SOUND, **changes, "end.usage_bits": 4.0}).cause == "healthy"


@pytest.mark.parametrize("cause", CAUSES)
def test_only_what_is_proved_is_called_certain(cause):
    changes, curve = CAUSES[cause]
    proved = ("diverged", "double_softmax", "inverted_loss", "wrong_targets", "no_gradient", "code_space_too_small")
    expected = "certain" if cause in proved else "none" if cause in ("healthy", "unexplained") else "likely"
    findings = diagnose.decide({**SOUND, **changes}, curve)
    assert findings.confidence == expected
    assert ("certain" in str(findings).partition("checks:")[0]) is (expected == "certain")
    weights = [check.weight for check in findings.all if check.verdict]
    assert len(weights) == len(findings.ranked)
    assert all(weight > 0 for weight in weights)


def test_one_minus_p_is_nearly_a_double_softmax_and_none():
    near = {"rewards.rest.double_softmax": 2e-3, "rewards.rest.linear": 1e-13, "rewards.rest.cross_entropy": 0.8}
    assert diagnose.decide({**SOUND, **near}).cause == "healthy"


def test_what_others_imitate_is_suggested_and_never_named():
    """Weights near their start and a falling loss are what a low rate leaves, and other faults too."""
    findings = diagnose.decide({**SOUND, **LOST, "moved": 0.05}, np.linspace(3.2, 2.5, 12))
    assert (findings.cause, findings.confidence, findings.ranked) == ("unexplained", "none", ("learning_rate_too_low",))
    assert "perhaps: learning_rate_too_low (possible" in str(findings)
    # Beside a cause that is likely it comes last, whatever its weight.
    both = diagnose.decide({**SOUND, **LOST, "moved": 0.05, "start.noise_share": 0.97}, np.linspace(3.2, 2.5, 12))
    assert both.ranked == ("dropout", "learning_rate_too_low")
    assert both.cause == "dropout"


def test_weights_that_rest_on_a_flat_loss_were_not_too_slow():
    still = {**SOUND, **LOST, "moved": 0.0}
    for slope in (1e-9, np.nan):
        assert diagnose.decide({**still, "loss.slope": slope}).cause == "learning_rate_too_low"
    flat = diagnose.decide({**still, "loss.slope": 0.0})
    assert (flat.cause, flat.ranked) == ("unexplained", ("learning_rate_too_low",))


def test_a_loss_that_fits_no_target_has_no_wrong_one():
    """Rewarded words that giving does not pay (one answer for all rows), or that follow the answer (any certainty)."""
    other = {**SOUND, **LOST, "rewards.right": 0.02}
    assert diagnose.decide(other).cause == "wrong_targets"
    for change in ({"loss.rewarded": 25.0}, {"rewards.fixed": 0.05}):
        assert diagnose.decide({**other, **change}).cause == "unexplained"


def test_weights_that_were_lost_after_learning_were_not_held_by_decay():
    short = {**SOUND, **LOST, "weights.ratio": 0.1}
    assert diagnose.decide(short, np.linspace(3.2, 3.1, 12)).cause == "regularisation_too_strong"
    assert diagnose.decide(short, np.r_[np.linspace(3.2, 0.1, 11), 3.1]).cause == "unexplained"
    unknown = diagnose.decide(short)
    assert (unknown.cause, unknown.ranked) == ("unexplained", ("regularisation_too_strong",))


def test_without_the_loss_its_history_tells_which_softmax_it_was():
    silent = {name: np.nan for name in SOUND if name.startswith(("loss.", "rewards."))}
    numbers = {**SOUND, **LOST, **silent, "end.cross_entropy": 5.0, "end.double_cross_entropy": 2.6}
    falling = np.r_[3.25, 3.0, 2.8, 2.7, 2.65, 2.62, 2.6, 2.6]
    assert diagnose.decide(numbers, falling).cause == "double_softmax"
    plain = {**numbers, "end.cross_entropy": 2.6, "end.double_cross_entropy": 3.0}
    assert diagnose.decide(plain, falling).cause != "double_softmax"
    near = {**numbers, "end.cross_entropy": 2.605}
    checks = {check.name: check.verdict for check in diagnose.decide(near, falling).all}
    assert checks["double_softmax"] is None
    assert {check.name: check.verdict for check in diagnose.decide(numbers).all}["double_softmax"] is None


def test_diagnose_compiles_once_and_says_what_it_assumed():
    model = model_with(bottlenecks.straight_through())
    data = SimpleNamespace(counts=np.array([0, 4, 2, 2, 1, 1]), validation=np.array([0, 1]))
    loss = ae.losses.objective()
    findings = diagnose.diagnose(model, jax.jit(model.init)(KEY), data, key=KEY, loss=loss)
    assert len(findings.notes) == 2  # a new draw for the start, no history
    assert np.isnan(findings.measurements["moved"])
    programs = diagnose.findings._measured._cache_size()
    other = SimpleNamespace(frequencies=np.array([0.0, 0.6, 0.1, 0.1, 0.1, 0.1]), validation=np.array([3, 1]))
    start = jax.jit(model.init)(constant_key(1))
    findings = diagnose.diagnose(
        model, start, other, key=constant_key(2), loss=loss, history={"loss": [2.0, 2.0]}, initial=start, num_steps=3
    )
    assert diagnose.findings._measured._cache_size() == programs
    assert not findings.notes
    assert findings.measurements["moved"] == 0.0
    assert findings.cause == "learning_rate_too_low"


def test_errors_are_sentences():
    model = model_with(bottlenecks.straight_through())
    variables = jax.jit(model.init)(KEY)
    with pytest.raises(ValueError, match="data: expected a corpus with frequencies or counts, got"):
        diagnose.diagnose(model, variables, SimpleNamespace(), key=KEY)
    with pytest.raises(ValueError, match="data: expected one frequency for each of the model's 6 words, got 5"):
        diagnose.diagnose(model, variables, SimpleNamespace(counts=np.ones(5)), key=KEY)
    with pytest.raises(ValueError, match="validation: expected integers .* from 0 to 5, got 6"):
        diagnose.diagnose(model, variables, SimpleNamespace(counts=np.ones(6), validation=[6]), key=KEY)
    with pytest.raises(ValueError, match="key: expected one JAX key"):
        diagnose.diagnose(model, variables, SimpleNamespace(counts=np.ones(6)), key=3)
    with pytest.raises(ValueError, match="history: expected at least one finite loss, got none of 0"):
        diagnose.decide(SOUND, [])
