"""Long training of whole ensembles, segment by segment, with progress, checkpoints and resumption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from tokdyn import checks, files
from tokdyn.solve import vmap
from tokdyn.train.fit import Fit
from tokdyn.typing import PyTree

_RECORD = "ensemble.json"


class Member(Protocol):
    """The protocol of one member's training, which can be resumed."""

    def __call__(self, config: PyTree, *, start: Fit | None, until: ArrayLike) -> Fit:
        """Return ``fit(..., start=start, until=until)`` for a model made from ``config``."""
        ...


def fit_in_segments(
    member: Member,
    configs: PyTree,
    *,
    num_steps: int,
    segment: int,
    folder: str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Train an ensemble in segments, between which it can be monitored, interrupted and resumed.

    The results are those of ``td.vmap`` of the whole training, to the last bit.

    Args:
        member: ``(config, *, start, until) -> Fit``, which calls ``fit`` and passes ``start`` and ``until`` on.
        configs: a pytree of arrays `[members, ...]`: seeds, learning rates, penalties.
        num_steps: number of steps of the whole training, as in ``fit``.
        segment: number of steps between checkpoints, a multiple of ``record_every`` of ``fit``.
        folder: where orbax checkpoints are kept; an interrupted training resumes from the last one. None keeps none.
        batch_size: as in ``td.vmap``.
        progress: called with the number of steps done and ``num_steps``.

    Returns:
        A ``Fit`` with a leading axis of members.

    Raises:
        ValueError: an invalid argument, which the message names, or a folder with checkpoints of another ensemble.
    """
    num_steps = checks.whole_number("num_steps", num_steps, at_least=1)
    segment = checks.whole_number("segment", segment, at_least=1)
    begin = jax.jit(vmap(lambda config: member(config, start=None, until=0), batch_size=batch_size))
    advance = jax.jit(
        vmap(
            lambda config, start, until: member(config, start=start, until=until), (0, 0, None), batch_size=batch_size
        ),
        donate_argnums=1,
    )
    with _checkpoints(folder, configs, num_steps) as checkpoints:
        state, done = begin(configs), 0
        if checkpoints is not None:
            state, done = checkpoints.latest(state)
        while done < num_steps:
            done = min(done + segment, num_steps)
            state = jax.block_until_ready(advance(configs, state, jnp.int32(done)))
            if checkpoints is not None:
                checkpoints.keep(done, state)
            if progress is not None:
                progress(done, num_steps)
    return state


class _Checkpoints:
    def __init__(self, manager: Any) -> None:
        self.manager = manager

    def latest(self, state: Fit) -> tuple[Fit, int]:
        import orbax.checkpoint as ocp

        step = self.manager.latest_step()
        if step is None:
            return state, 0
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, state._asdict())
        found = self.manager.restore(step, args=ocp.args.StandardRestore(target))
        return Fit(**found), step

    def keep(self, step: int, state: Fit) -> None:
        import orbax.checkpoint as ocp

        self.manager.save(step, args=ocp.args.StandardSave(state._asdict()))


@contextlib.contextmanager
def _checkpoints(folder: Any, configs: Any, num_steps: int) -> Iterator[_Checkpoints | None]:
    if folder is None:
        yield None
        return
    import orbax.checkpoint as ocp

    place = files.path_of("folder", folder, "a folder").absolute()
    record = {"num_steps": num_steps, "configs": _fingerprint(configs)}
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise checks.bad("folder", "a folder that can be written", f"{folder} ({error.strerror})") from None
    known = place / _RECORD
    expected = "an empty place, or the checkpoints of this very ensemble"
    try:
        if known.exists() and files.read_json(known) != record:
            raise checks.bad("folder", expected, f"{folder}")
    except files.Unreadable as error:
        raise checks.bad("folder", expected, f"{known} ({error})") from None
    with files.written(known, "a folder that can be written") as unfinished:  # half of one would block the folder
        unfinished.write_text(json.dumps(record), encoding="utf-8")
    manager = ocp.CheckpointManager(place, options=ocp.CheckpointManagerOptions(max_to_keep=2))
    try:
        yield _Checkpoints(manager)
    finally:
        manager.wait_until_finished()
        manager.close()


def _fingerprint(configs: Any) -> str:
    """A hash of the values and the structure of the configs, which identifies the ensemble."""
    leaves, treedef = jax.tree.flatten(configs)
    digest = hashlib.sha256(str(treedef).encode())
    for leaf in leaves:
        keyed = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if keyed else leaf)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
