"""Datasets of the shape that studies make, with numbers out of the air: to see what verdicts do with them."""

import dataclasses
import json

import numpy as np
import xarray

import tokdyn as td
from tokdyn.studies import (
    autoencoder,
    composition,
    context,
    dynamics,
    grounding,
    latent_optimisation,
    mechanisms,
    mediation,
    phase,
    scaling,
    theory,
    topology,
)
from tokdyn.studies.autoencoder import costs, ideas, trainings
from tokdyn.studies.autoencoder.design import default as conditions
from tokdyn.studies.composition import design as parts
from tokdyn.studies.context import design as contexts
from tokdyn.studies.grounding import design as groundings
from tokdyn.studies.latent_optimisation import analysis
from tokdyn.studies.latent_optimisation import design as optimisations
from tokdyn.studies.mechanisms import design as settings
from tokdyn.studies.mediation import design as references
from tokdyn.studies.phase.design import MOMENTUM, REPULSION
from tokdyn.studies.topology import design as topologies

SEEDS = 5


def dataset(study, seed):
    """A study's Dataset; another one for another ``seed``."""
    generator = np.random.default_rng(seed)
    coords, variables, config = SHAPES[study]()

    def drawn(dims, low, high):
        shape = [len(coords[name]) if name in coords else SIZES[name] for name in dims]
        level = generator.uniform(low, high)
        return dims, np.clip(generator.normal(level, 0.2 * (high - low), shape), low, high)

    made = xarray.Dataset({name: drawn(*spec) for name, spec in variables.items()}, coords=coords)
    attrs = {
        "config": json.dumps(dataclasses.asdict(config)),
        "environment": json.dumps(td.environment.describe()),
        "study": study,
        "schema_version": 1,
        "simulation_seconds": generator.uniform(1.0, 1000.0),
    }
    return finished(study, made, generator).assign_attrs(attrs)


def finished(study, made, generator):
    """Counts are whole, flags are true or false, and intervals hold their number."""
    for name in ("right", "collapsed", "at_rest", "period_two"):
        if name in made:
            made[name] = made[name] > generator.uniform(0.2, 0.8)
    for name in (
        "distinct_tokens",
        "answer",
        "clean_answer",
        "right_answer",
        "patterns",
        "patterns_of_one",
        "distinct",
    ):
        if name in made:
            made[name] = made[name].round()
    if "types" in made:  # some seeds bring every word back
        made["types"] = made["types"].where(made["types"] < generator.uniform(0.3, 1.0), 1.0)
    for name in ("correlation", "difference", "lift"):
        if name in made:
            half = generator.uniform(0.01, 0.4)
            made = made.assign({f"{name}_low": made[name] - half, f"{name}_high": made[name] + half})
    if "idea_row" in made.coords:  # every proposal of the notebook has numbers of its own level
        level = generator.uniform(0, 1, (made.sizes["idea_row"], 1))
        made["idea"] = ("idea_row", "seed"), np.clip(generator.normal(level, 0.2, (len(level), SEEDS)), 0, 1)
    return made


SIZES = {"sweep_seed": 4, "map_seed": 4, "seed": SEEDS, "item": 30, "record": 3, "slot": 3, "ratio": 4}


def _dynamics():
    config = dynamics.Config()
    coords = {"rule": list(config.rules), "noise": list(config.noises), "clusters": list(config.clusters)}
    dims = ("rule", "noise", "clusters", "seed")
    spans = {"ari": (0, 1), "nmi": (0, 1), "num_steps": (1, 30), "collapsed": (0, 1), "assignment_entropy": (0, 1)}
    spans |= {"min_token_distance": (0, 3e-3), "distinct_tokens": (2, 4)}
    return coords, {name: (dims, *span) for name, span in spans.items()}, config


def _phase():
    coords = {MOMENTUM: [0.0, 0.5, 0.9], REPULSION: [0.0, 0.1, 1.0]}
    dims = (MOMENTUM, REPULSION, "ratio", "seed")
    return coords, {"at_rest": (dims, 0, 1), "period_two": (dims, 0, 1)}, phase.Config()


def _mediation():
    coords = {
        "reference": list(references.REASONERS),
        "arm": ["clean", "same tensor, embedding", "near-zero embedding", "constant embedding",
                *references.WORDS],
        "place": ["cache", "words, last word"],
        "site": ["embedding", "state"],
        "space": ["raw"],
    }  # fmt: skip
    variables = {
        "accuracy": (("reference", "arm"), 0, 1),
        "lift": (("reference", "place"), 0, 1),
        "cosine_between": (("reference", "site", "slot", "space"), 0, 1),
        "cosine_words": (("reference", "space"), 0, 1),
        "cosine_patches": (("reference", "space"), 0, 1),
    }
    return coords, variables, mediation.Config()


def _latent_optimisation():
    config = latent_optimisation.Config()
    coords = {
        "reference": list(config.references), "noise": list(config.noises), "rule": list(optimisations.METHODS),
        "outcome": list(analysis.OUTCOMES), "measure": ["truncated confidence, slots"],
    }  # fmt: skip
    dims = ("reference", "noise", "rule")
    variables = {
        "correlation": (("reference", "noise", "measure", "outcome"), -1, 1),
        "difference": (dims, -0.3, 0.3),
        "accuracy": (dims, 0, 1),
        "accuracy_before": (dims[:2], 0, 1),
        "holm": (dims, 0, 0.06),
        "equivalent": (dims, 0, 1),
        "reward_gain_low": (dims, 0, 1),
        "answer": ((*dims, "seed", "item"), 0, 1.2),
        "clean_answer": ((*dims[:2], "item"), 0, 1.2),
        **{f"gradient_{name}": ((*dims[:2], "item"), 0.5, 1.5) for name in ("estimated", "smoothed", "exact")},
        "dependence": ((*dims[:2], "item"), -1, 3),
        "dependent_steps": ((*dims[:2], "item"), 0, 1),
        "right_answer": (("reference", "item"), 0, 1.2),
    }
    return coords, variables, config


def _mechanisms():
    config = mechanisms.Config()
    coords = {
        "task": list(config.tasks[:2]), "supervision": list(config.methods), "stage": list(settings.STAGES),
        "arm": ["full", "cache donor", "markers removed", "slots zero", "slots constant", "slots oracle"],
        "gain_base": list(settings.GAIN_BASES), "kept_arm": list(settings.KEPT_ARMS),
        "order": ["entropy_then_mean"], "noise": list(settings.NOISES), "source": ["question", "latents"],
    }  # fmt: skip
    of = ("task", "supervision", "stage")
    variables = {
        "right": ((*of, "seed", "arm", "item"), 0, 1),
        "chance": (("task",), 0, 0.1),
        "denominator_low": ((*of, "gain_base", "kept_arm"), -0.2, 0.3),
        "gain": ((*of, "gain_base", "kept_arm"), -1, 1),
        "entropy_difference": ((*of, "seed", "order"), -1, 1),
        "toward_donor": ((*of, "seed", "arm"), 0, 1),
        "attribute_accuracy": ((*of, "seed", "source"), 0, 1),
    }
    return coords, variables, config


def _autoencoder():
    names = [one.name for one in conditions()]
    models = [*costs.DECODERS, "transformer like dense", "transformer like extreme"]
    coords = {"condition": names, "model": models}
    wide = {"loss": (0, 20), "pattern_std": (0.01, 0.2), "patterns": (1, 189), "distinct": (1, 51), "steps": (1, 200)}
    variables = {}
    for name in trainings.VARIABLES:
        low, high = next((span for begins, span in wide.items() if name.startswith(begins)), (0, 1))
        variables[name] = (("condition", "seed", *(["record"] if name.endswith("curve") else [])), low, high)
    numbers = ("parameters", "operations", "peak_bytes", "seconds", "memory_ratio", "time_ratio")
    variables |= {f"cost_{name}": (("model",), 1, 40) for name in numbers}
    coords["idea_row"] = ideas.row_names()
    return coords, variables | {"seconds": (("condition",), 1, 3e5)}, autoencoder.Config()


def _theory():
    coords = {"rule": list(dynamics.Config().rules)}
    return coords, {"energy_rises": (("rule", "seed"), 0, 1)}, theory.Config()


def _scaling():
    coords = {"size": list(scaling.Config().sizes)}
    return coords, dict.fromkeys(("operations", "peak_bytes"), (("size",), 1, 100)), scaling.Config()


def _composition():
    coords = {
        "model": list(parts.MODELS), "composer": list(parts.COMPOSERS), "world": list(parts.WORLDS),
        "operator": list(parts.OPERATORS),
    }  # fmt: skip
    of = ("model", "composer", "seed")
    variables = {"quality": (of, 0.2, 0.7), "recognised": (of, 0, 1), "first_two": (of, 0, 1)}
    return coords, variables | {"exact": (("world", "operator", "seed"), 0, 1)}, composition.Config()


def _grounding():
    coords = {
        "words": list(groundings.SIZES), "target": list(groundings.TARGETS), "step": np.arange(groundings.STEPS + 1),
        "after": ["before", "published end", "100 steps"], "pair": [" ".join(of) for of in groundings.PAIRS],
    }  # fmt: skip
    of = ("words", "target", "seed")
    return coords, {
        "accuracy": ((*of, "step"), 0, 1), "agreement": (of, 0, 1), "first_alignment": (("target", "seed"), -0.1, 0.2),
        "cosine": (("target", "seed", "after", "pair"), -1, 1),
    }, grounding.Config()  # fmt: skip


def _topology():
    of = ("model", "seed", "end")
    shares = ("reconstruction", "overlap_published", "overlap", "overall", "spread", "topology")
    coords = {
        "model": list(topologies.MODELS), "end": ["before", "after"], "source": list(topologies.SOURCES),
        "dimension": list(topologies.DIMENSIONS),
    }  # fmt: skip
    variables = dict.fromkeys(shares, (of, 0, 1))
    coords["map"] = list(topologies.MAPS)
    variables |= dict.fromkeys(("map_overlap", "pearson", "midpoints"), (("map", "map_seed"), 0, 0.4))
    variables["fitted"] = (("source", "dimension", "sweep_seed"), 0, 1)
    return coords, variables, topology.Config()


def _context():
    config = context.Config()
    coords = {
        "condition": [one.name for one in contexts.CONDITIONS], "reader": list(contexts.READERS),
        "side": list(contexts.SIDES_OF_GRIDS), "binding": ["sum", "roles"], "noise": list(contexts.NOISES),
        "edges": list(contexts.EDGES), "change": ["added", "merged", "split"], "uses": list(contexts.USES),
    }  # fmt: skip
    of, whole = ("condition", "seed"), ("side", "seed", "binding", "noise")
    dims = {
        "recovered": (*of, "reader"), **dict.fromkeys(("expected", "commonest", "chance", "seen"), of),
        "exact": whole, "told_apart": whole, "edges_right": ("side", "seed", "edges"),
        "graph_right": ("side", "seed", "edges"), "coherence": ("seed", "change", "uses"),
        "added_place": ("seed", "uses"), "split_senses": ("seed", "uses"),
        **dict.fromkeys(("added_own", "added_chance", "coherence_anew", "merged_place", "split_oracle"), ("seed",)),
    }  # fmt: skip
    return coords, {name: (each, 0, 1) for name, each in dims.items()}, config


SHAPES = {
    "context": _context,
    "dynamics": _dynamics,
    "phase": _phase,
    "mediation": _mediation,
    "latent-optimisation": _latent_optimisation,
    "mechanisms": _mechanisms,
    "autoencoder": _autoencoder,
    "composition": _composition,
    "grounding": _grounding,
    "topology": _topology,
    "theory": _theory,
    "scaling": _scaling,
}
