"""The same training with vector-quantize-pytorch, eager, as its users write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.machine import num_cores
from benchmarks.quantizing import CELLS, COMMITMENT, DECAY, LEVELS, PIXELS, RATE, Case, batches, starts
from tokdyn.data import digits


def torch_training(case: Case) -> Callable[[int], list[float]]:
    """A training: seed to errors `[steps]`.

    Raises:
        ImportError: no PyTorch, or no vector-quantize-pytorch.
    """
    import torch
    from vector_quantize_pytorch import FSQ, ResidualVQ, VectorQuantize

    torch.set_num_threads(num_cores())
    images = torch.from_numpy(digits()[0].reshape(-1, PIXELS))
    # Its defaults (moving averages, rotation of gradients), but for what is given to both.
    options: dict[str, Any] = {"decay": DECAY, "commitment_weight": COMMITMENT}

    def quantizer() -> Any:
        if not case.codes:
            return FSQ(levels=list(LEVELS))
        if case.depth == 1:
            return VectorQuantize(dim=case.channels, codebook_size=case.codes, **options)
        return ResidualVQ(dim=case.channels, codebook_size=case.codes, num_quantizers=case.depth, **options)

    def linear(given: dict[str, np.ndarray], number: int) -> Any:
        inputs, outputs = given[f"kernel{number}"].shape
        layer = torch.nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(given[f"kernel{number}"].T.copy()))
            layer.bias.zero_()
        return layer

    def train(seed: int) -> list[float]:
        given, order = starts(case, seed), torch.from_numpy(batches(case, seed))
        layers = [linear(given, number) for number in range(4)]
        inner = quantizer().train()
        found = [module for module in inner.modules() if type(module).__name__ == "Codebook"]
        for book, codes in zip(found, given.get("codes", ()), strict=True):
            book.embed.data.copy_(torch.from_numpy(codes)[None])
            book.embed_avg.data.copy_(torch.from_numpy(codes)[None])
        weights = [weight for layer in (*layers, inner) for weight in layer.parameters()]
        optimiser = torch.optim.Adam(weights, lr=RATE)
        errors = []
        for rows in order:
            batch = images[rows]
            pattern = layers[1](torch.relu(layers[0](batch))).reshape(-1, CELLS, case.channels)
            values, _, *losses = inner(pattern)
            made = layers[3](torch.relu(layers[2](values.reshape(len(batch), -1))))
            error = torch.nn.functional.mse_loss(made, batch)
            optimiser.zero_grad()
            (error + (losses[0].sum() if losses else 0.0)).backward()
            optimiser.step()
            errors.append(error.detach())
        return [float(error) for error in errors]

    return train
