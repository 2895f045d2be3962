"""The kind of machine, which determines the last digits and is recorded with every task.

XLA compiles for the processor it finds. With other instructions, another release or other flags, the same program
rounds differently, and near a bifurcation a difference in the last digit leads to another end state.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from tokdyn import checks

# Processor features that affect numerical results, as opposed to security and power management.
_INSTRUCTIONS = re.compile(r"(sse|ssse|avx|fma|f16c|bmi|abm|popcnt|amx|xop|asimd|sve|fp$|fphp|bf16|i8mm|neon|vfp)")
# Flags that do not matter: they write files, or split one processor into several devices.
_HARMLESS = re.compile(r"--?xla_(dump\w*|force_host_platform_device_count)(=|$)")
# JAX settings that change what is compiled. The width of numbers is part of the sweep's own fingerprint.
_SETTINGS = ("jax_default_matmul_precision", "jax_disable_most_optimizations")


def machine() -> dict[str, Any]:
    """The kind of machine of this process: what two processes must share to agree to the last bit.

    Returns:
        ``jax``, ``jaxlib``, ``device``, ``processor``, ``instructions`` (a hash of the list), ``flags``, ``settings``.
    """
    import jax

    device = jax.devices()[0]
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if not _HARMLESS.match(flag)]
    processor, instructions = _processor()
    return {
        "jax": jax.__version__,
        "jaxlib": importlib.metadata.version("jaxlib"),
        "device": f"{device.platform}: {device.device_kind}",
        "processor": processor,
        "instructions": hashlib.sha256(" ".join(instructions).encode()).hexdigest()[:12],
        "flags": " ".join(sorted(flags)),
        "settings": {name: str(getattr(jax.config, name, None)) for name in _SETTINGS},
    }


def name_of(machine: dict[str, Any]) -> str:
    """A short name that identifies a kind of machine."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:12]


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """How two kinds of machines differ, in words."""
    told = [
        f"{name} {other.get(name) or 'none'!s} instead of {one.get(name) or 'none'!s}"
        for name in one
        if one.get(name) != other.get(name)
    ]
    return ", ".join(told)


def check_same(begun_on: dict[str, Any], here: dict[str, Any], store: str, *, mixed: bool) -> None:
    """Refuse to continue a store on another kind of machine, unless ``mixed`` allows it.

    Raises:
        ValueError: the kinds differ; the message says how.
    """
    if not mixed and name_of(begun_on) != name_of(here):
        expected = f"the kind of machine that {store} was begun on (mixed=True, or --mixed, goes on, equal to rounding)"
        raise checks.bad("store", expected, difference(begun_on, here))


def _processor() -> tuple[str, list[str]]:
    """Family and model of the processor, and its instruction sets."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return f"{platform.machine()} {platform.processor()}".strip(), []
    fields = dict(re.findall(r"^([^\t:]+?)\s*:\s*(.*)$", text, re.MULTILINE))
    features = (fields.get("flags") or fields.get("Features") or "").split()
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")
    model = " ".join(fields[name] for name in names if name in fields)
    return f"{platform.machine()} {model}".strip(), sorted(f for f in features if _INSTRUCTIONS.match(f))
