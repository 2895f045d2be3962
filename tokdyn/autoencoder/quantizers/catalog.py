"""A small example of every quantizer, for patterns with 4 channels: contract tests run over all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokdyn.autoencoder.quantizers.lookup_free import lookup_free_quantizer
from tokdyn.autoencoder.quantizers.scalar import finite_scalar_quantizer
from tokdyn.autoencoder.quantizers.stacked import grouped_quantizer, residual_quantizer
from tokdyn.autoencoder.quantizers.vector import vector_quantizer

CATALOG: dict[str, Callable[[], Any]] = {
    "vector": lambda: vector_quantizer(num_codes=12),
    "vector_learned": lambda: vector_quantizer(num_codes=12, learned=True),
    "vector_cosine": lambda: vector_quantizer(num_codes=12, cosine=True, gradient="rotation"),
    "vector_rotation": lambda: vector_quantizer(num_codes=12, gradient="rotation"),
    "vector_kmeans": lambda: vector_quantizer(num_codes=6, start="kmeans", start_steps=3, revive_below=0.1),
    "vector_projected": lambda: vector_quantizer(num_codes=12, codebook_dim=3),
    "finite_scalar": lambda: finite_scalar_quantizer(levels=(8, 5, 5, 4)),
    "finite_scalar_projected": lambda: finite_scalar_quantizer(levels=(7, 5, 4)),
    "finite_scalar_levels": lambda: finite_scalar_quantizer(levels=(2, 3, 4, 5), symmetric=True, joint=False),
    "lookup_free": lambda: lookup_free_quantizer(bits=4, inverse_temperature=1.0),
    "lookup_free_projected": lambda: lookup_free_quantizer(bits=6, inverse_temperature=1.0, joint_bits=4),
    "residual": lambda: residual_quantizer(vector_quantizer(num_codes=12), depth=3),
    "grouped": lambda: grouped_quantizer(vector_quantizer(num_codes=6), groups=2),
    "grouped_residual": lambda: grouped_quantizer(
        residual_quantizer(vector_quantizer(num_codes=6, revive_below=0.1), depth=2), groups=2
    ),
}
