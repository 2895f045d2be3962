"""A training survives the disk, and what is no training is refused in one sentence."""

import chex
import jax
import numpy as np
import pytest
from compiled import compiled
from constant_keys import constant_key

import tokdyn as td
from tokdyn import autoencoder as ae
from tokdyn import cli
from tokdyn.autoencoder.files import FORMAT, SCHEMA_VERSION
from tokdyn.data import words
from tokdyn.dynamics import files

CORPUS = words.corpus(["the sun warms the stone", "the stone is cold"], ["the cold moon"])
SIZE = CORPUS.vocabulary_size


def model_with(bottleneck):
    return ae.autoencoder(
        ae.encoders.table(vocabulary_size=SIZE, cells=4, channels=3, embedding=4, width=4),
        bottleneck,
        ae.decoders.linear(vocabulary_size=SIZE),
    )


@pytest.mark.parametrize(
    "bottleneck",
    [
        ae.bottlenecks.gumbel(temperature=td.annealing(start=2.0, end=0.5, num_steps=10)),
        ae.quantizers.finite_scalar_quantizer(levels=(4, 3, 5)),
        ae.quantizers.residual_quantizer(ae.quantizers.vector_quantizer(num_codes=4), depth=2),
    ],
    ids=["schedule", "static tuple", "part in a part"],
)
def test_a_run_comes_back(bottleneck, tmp_path):
    model = model_with(bottleneck)
    variables = compiled(model.init)(constant_key(0))
    loss = ae.losses.objective(words=ae.losses.cross_entropy(), spread=ae.losses.diversity(weight=0.3))
    path = ae.save_run(tmp_path / "run", model, variables, CORPUS, loss=loss, history={"loss": np.arange(3.0)})
    assert path == tmp_path / "run.npz"
    run = ae.load_run(path)
    assert run.initial is None
    chex.assert_trees_all_equal(run.variables, variables)
    assert jax.tree.structure(run.model) == jax.tree.structure(model)
    assert td.values(run.model) == td.values(model)
    assert td.values(run.loss) == td.values(loss)
    assert run.corpus.words == CORPUS.words
    np.testing.assert_array_equal(run.corpus.validation, CORPUS.validation)
    np.testing.assert_array_equal(run.corpus.train_lengths, [5, 4])
    np.testing.assert_array_equal(run.history["loss"], [0.0, 1.0, 2.0])

    @compiled
    def logits(model, variables):
        model = td.dynamics.resolved(model, 0)
        return model.apply(variables, np.arange(SIZE), key=constant_key(1))[0].logits

    np.testing.assert_array_equal(logits(model, variables), logits(run.model, run.variables))


def test_a_run_of_an_earlier_release_has_no_sentences(tmp_path):
    model = model_with(ae.bottlenecks.categorical())
    path = ae.save_run(tmp_path / "run.npz", model, {"params": {}, "state": {}}, CORPUS)
    structure, arrays = files.read(path, FORMAT, SCHEMA_VERSION, "a run")
    kept = {name: value for name, value in structure.items() if not name.endswith("_lengths")}
    corpus = ae.load_run(files.write(tmp_path / "old.npz", kept, arrays)).corpus
    assert corpus.train_lengths is corpus.validation_lengths is None
    np.testing.assert_array_equal(corpus.train, CORPUS.train)


def test_the_command_names_the_cause(tmp_path, capsys):
    model = model_with(ae.bottlenecks.categorical())
    path = ae.save_run(tmp_path / "run.npz", model, jax.jit(model.init)(constant_key(0)), CORPUS)
    assert cli.main(["diagnose", str(path)]) == 0
    assert "no_gradient" in capsys.readouterr().out
    assert cli.main(["diagnose", str(path), "--as-json"]) == 0
    assert '"no_gradient"' in capsys.readouterr().out
    assert cli.main(["info", str(path)]) == 0
    assert "Categorical" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["diagnose", "info"])
def test_what_is_no_training_is_refused(command, tmp_path, capsys):
    (tmp_path / "other.npz").write_bytes(b"no archive")
    for name in ("other.npz", "missing.npz"):
        assert cli.main([command, str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "training written by" in said
    dynamics = td.save(td.catalog.soft_kmeans(), tmp_path / "dynamics")
    with pytest.raises(ValueError, match=r"path: expected a training written by autoencoder.save_run, got .*"):
        ae.load_run(dynamics)


def test_a_corpus_is_needed(tmp_path):
    model = model_with(ae.bottlenecks.identity())
    with pytest.raises(ValueError, match=r"corpus: expected a Corpus \(see td.data.corpus\), got a list"):
        ae.save_run(tmp_path / "run", model, jax.jit(model.init)(constant_key(0)), ["the sun"])
