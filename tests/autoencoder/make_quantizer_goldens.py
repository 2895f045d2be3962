"""Golden values of the quantizers, from vector-quantize-pytorch: ``python make_quantizer_goldens.py`` with torch.

Writes ``goldens/quantizers.npz``. Names are ``variant/array``. Where that library draws (k-means, dead codes), it is
given a rule instead of chance: the first cells of the batch.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from vector_quantize_pytorch import FSQ, LFQ, GroupedResidualVQ, ResidualVQ, VectorQuantize

CHANNELS, CODES, STEPS = 4, 8, 3
SHAPE = (2, 12, CHANNELS)
ARRAYS: dict[str, np.ndarray] = {}


def keep(name, **arrays):
    for key, value in arrays.items():
        value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        value = value.astype(np.int32) if value.dtype == np.int64 else value
        ARRAYS[f"{name}/{key}"] = value.copy()


def random(*shape, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def linear(layer, prefix):
    return {f"{prefix}/kernel": layer.weight.T, f"{prefix}/bias": layer.bias}


def first_cells(samples, num):
    return samples[:, :num]


def place(vq, codes):
    book = vq._codebook
    book.embed.data.copy_(codes[None])
    book.embed_avg.data.copy_(codes[None])


def called(layer, inputs, weights, **options):
    """Outputs of one training pass, and the gradients of the weighted values and of the loss by the inputs."""
    inputs = inputs.clone().requires_grad_(True)
    values, indices, *loss = layer(inputs, **options)
    (by_values,) = torch.autograd.grad((values * weights).sum(), inputs, retain_graph=True)
    found = {"values": values, "indices": indices, "by_values": by_values}
    if loss:
        loss = loss[0].sum()
        (by_loss,) = torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
        found |= {"loss": loss, "by_loss": torch.zeros_like(inputs) if by_loss is None else by_loss}
        codebooks = [value for name, value in layer.named_parameters() if name.endswith("embed")]
        if codebooks:
            found["by_codebook"] = torch.autograd.grad(loss, codebooks[0])[0][0]
    return found


def books_of(layer):
    books = [module for module in layer.modules() if type(module).__name__ == "Codebook"]
    return {
        "codebook": torch.stack([book.embed[0] for book in books]),
        "code_sum": torch.stack([book.embed_avg[0] for book in books]),
        "cluster_size": torch.stack([book.cluster_size[0] for book in books]),
    }


def trained(name, layer, *, seed, masked=False):
    """Several training passes, along a first axis; the state before the first and after each."""
    weights = random(*SHAPE, seed=seed)
    rows = []
    keep(name, weights=weights, **{f"start_{key}": value for key, value in books_of(layer).items()})
    for step in range(STEPS):
        inputs = random(*SHAPE, seed=seed + 1 + step)
        options = {"mask": random(*SHAPE[:-1], seed=seed + 50 + step) > -0.5} if masked else {}
        found = called(layer, inputs, weights, **options)
        rows.append(dict(inputs=inputs, **options, **found, **books_of(layer)))
    keep(name, **{key: np.stack([row[key].detach().numpy() for row in rows]) for key in rows[0]})


def vector(name, *, seed, masked=False, codes=None, **options):
    torch.manual_seed(seed)
    given = {"decay": 0.8, "rotation_trick": False, "commitment_weight": 0.7} | options
    layer = VectorQuantize(dim=CHANNELS, codebook_size=CODES, **given).train()
    layer._codebook.sample_fn = layer._codebook.replace_sample_fn = first_cells
    width = options.get("codebook_dim", CHANNELS)
    codes = random(CODES, width, seed=seed + 100) if codes is None else codes
    if options.get("use_cosine_sim"):
        codes = torch.nn.functional.normalize(codes, dim=-1)
    if not options.get("kmeans_init"):
        place(layer, codes)
    if layer.has_projections:
        keep(name, **linear(layer.project_in, "project_in"), **linear(layer.project_out, "project_out"))
    trained(name, layer, seed=seed, masked=masked)


def stacked(name, make, *, seed):
    torch.manual_seed(seed)
    layer = make(dim=CHANNELS, codebook_size=CODES, decay=0.8, commitment_weight=0.7).train()
    for number, module in enumerate(m for m in layer.modules() if isinstance(m, VectorQuantize)):
        place(module, 0.6 * random(CODES, module.dim, seed=seed + 200 + number))
    trained(name, layer, seed=seed)


def scalar(name, levels, *, seed, **options):
    torch.manual_seed(seed)
    channels = options.pop("dim", len(levels))
    layer = FSQ(levels=list(levels), dim=channels, **options).train()
    if layer.has_projections:
        keep(name, **linear(layer.project_in, "project_in"), **linear(layer.project_out, "project_out"))
    inputs, weights = 1.5 * random(2, 12, channels, seed=seed), random(2, 12, channels, seed=seed + 1)
    every = torch.arange(layer.codebook_size)[None]
    codes = layer._indices_to_codes(every)[0]
    keep(name, levels=levels, inputs=inputs, weights=weights, every_code=codes, **called(layer, inputs, weights))


def lookup_free(name, *, bits, seed, temperature, masked=False):
    torch.manual_seed(seed)
    layer = LFQ(
        dim=CHANNELS, codebook_size=2**bits, entropy_loss_weight=0.3, commitment_loss_weight=0.4, diversity_gamma=1.5
    ).train()
    if layer.has_projections:
        keep(name, **linear(layer.project_in, "project_in"), **linear(layer.project_out, "project_out"))
    inputs, weights = 0.5 * random(*SHAPE, seed=seed), random(*SHAPE, seed=seed + 1)
    options = {"inv_temperature": temperature}
    if masked:
        # With a mask that library takes the mean over cells of nothing, and both entropies are one; so it gets the
        # cells that exist, and nothing else.
        mask = random(*SHAPE[:-1], seed=seed + 2) > -0.5
        (_, _, _), parts = layer(inputs, return_loss_breakdown=True, mask=mask, **options)
        keep(name, mask=mask, fault_cell_entropy=parts[0], fault_codebook_entropy=parts[1])
        keep(name, whole_inputs=inputs, whole_weights=weights)
        inputs, weights = inputs[mask][None], weights[mask][None]
    _, parts = layer(inputs, return_loss_breakdown=True, **options)
    keep(name, cell_entropy=parts[0], codebook_entropy=parts[1], distance=parts[2], temperature=temperature)
    keep(name, bits=bits, inputs=inputs, weights=weights, **called(layer, inputs, weights, **options))


def main():
    vector("euclidean", seed=1)
    vector("cosine", seed=2, use_cosine_sim=True)
    vector("rotation", seed=3, rotation_trick=True)
    vector("learned", seed=4, learnable_codebook=True, ema_update=False)
    vector("masked", seed=5, masked=True)
    vector("projected", seed=6, codebook_dim=3)
    vector("kmeans", seed=7, kmeans_init=True, kmeans_iters=4)
    # Two codes far from all cells die at once; the threshold is what a code without cells falls below in one step.
    far = random(CODES, CHANNELS, seed=8)
    far[2:4] = 100.0 + far[2:4]
    vector("expired", seed=8, codes=far, threshold_ema_dead_code=0.85)
    vector(
        "expired_learned", seed=9, codes=far, threshold_ema_dead_code=0.85, learnable_codebook=True, ema_update=False
    )
    vector("frozen", seed=10, freeze_codebook=True)
    vector("cosine_rotation", seed=11, use_cosine_sim=True, rotation_trick=True)
    vector("cosine_kmeans", seed=12, use_cosine_sim=True, kmeans_init=True, kmeans_iters=4)
    stacked("residual", lambda **options: ResidualVQ(num_quantizers=3, rotation_trick=False, **options), seed=20)
    stacked(
        "residual_rotation", lambda **options: ResidualVQ(num_quantizers=3, rotation_trick=True, **options), seed=21
    )
    stacked(
        "residual_share",
        lambda **options: ResidualVQ(num_quantizers=3, rotation_trick=False, quant_grad_frac=1.0, **options),
        seed=22,
    )
    stacked(
        "grouped_residual",
        lambda **options: GroupedResidualVQ(num_quantizers=2, groups=2, rotation_trick=False, **options),
        seed=23,
    )
    scalar("scalar_8555", (8, 5, 5, 5), seed=30)
    scalar("scalar_444", (4, 4, 4), seed=31)
    scalar("scalar_37", (3, 7), seed=32)
    scalar("scalar_649", (6, 4, 9), seed=33)
    scalar("scalar_projected", (7, 5, 4), seed=34, dim=CHANNELS)
    scalar("scalar_symmetric", (2, 3, 4, 5), seed=35, preserve_symmetry=True)
    lookup_free("lookup_sharp", bits=4, seed=40, temperature=100.0)
    lookup_free("lookup_soft", bits=4, seed=41, temperature=0.7)
    lookup_free("lookup_masked", bits=4, seed=42, temperature=0.7, masked=True)
    lookup_free("lookup_projected", bits=6, seed=43, temperature=2.0)
    versions = {name: version(name) for name in ("vector-quantize-pytorch", "torch", "numpy")}
    ARRAYS["versions"] = np.array([f"{name} {number}" for name, number in versions.items()])
    target = Path(__file__).parent / "goldens" / "quantizers.npz"
    target.parent.mkdir(exist_ok=True)
    np.savez_compressed(target, **ARRAYS)
    print(target.name, target.stat().st_size, "bytes,", len(ARRAYS), "arrays")


if __name__ == "__main__":
    main()
