"""Inspecting a store: what it holds, whether it is intact, and how damaged tasks are marked for recomputation."""

from __future__ import annotations

import dataclasses

from tokdyn.sweeps.store import Store


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What ``inspect`` found; ``str`` puts it into sentences.

    Attributes:
        num_tasks: number of tasks in all parts.
        num_finished: number of tasks with a marker.
        chunk: runs per task.
        num_parts: number of parts: the original one and the extensions.
        machines: the kinds of machines that computed tasks.
        is_verified: whether all chunks were compared with their checksums.
        damage: a sentence for each damaged task or file.
    """

    num_tasks: int
    num_finished: int
    chunk: int
    num_parts: int
    machines: dict[str, dict[str, object]]
    is_verified: bool
    damage: list[str]

    def __str__(self) -> str:
        tasks = f"{self.num_finished:,} of {self.num_tasks:,} tasks of {self.chunk:,} runs are finished"
        lines = [tasks + (f", in {self.num_parts} parts" if self.num_parts > 1 else "")]
        if len(self.machines) > 1:
            kinds = ", ".join(
                f"{m.get('processor', 'unknown')} with {m.get('jaxlib', '?')}" for m in self.machines.values()
            )
            lines.append(f"computed by {len(self.machines)} kinds of machines, so equal to rounding only: {kinds}")
        if self.is_verified:
            lines.append("every finished task is as it was written" if not self.damage else "damaged:")
        return "\n".join([*lines, *(f"  {sentence}" for sentence in self.damage)])


def inspect(store: Store, *, thoroughly: bool) -> Inspection:
    """Inspect a store.

    Args:
        store: a store from ``open_store``.
        thoroughly: whether to read every chunk and Zarr's own files.
    """
    markers = [part.markers() for part in store.parts]
    damage: list[str] = []
    if thoroughly:
        for part, own in zip(store.parts, markers, strict=True):
            damage += [f"task {task}: {sentence}" for task, sentence in part.damaged(own, own).items()]
            damage += [f"{path} is not what was written" for path in part.strange_markers()]
        damage += [f"{path} is missing or changed" for path in store.wrong_metadata()]
    return Inspection(
        num_tasks=sum(part.layout.num_tasks for part in store.parts),
        num_finished=sum(len(own) for own in markers),
        chunk=store.parts[0].layout.chunk,
        num_parts=len(store.parts),
        machines=store.machines(markers),
        is_verified=thoroughly,
        damage=damage,
    )


def repair(store: Store) -> list[str]:
    """Mark damaged tasks as unfinished, and rewrite Zarr's own files; no result is invented or removed.

    Returns:
        A sentence for each thing that was done.
    """
    said = []
    for part in store.parts:
        markers = part.markers()
        for task, sentence in part.damaged(markers, markers).items():
            part.forget(task)
            said.append(f"{sentence}: task {task} counts as unfinished, and the same sweep computes it again")
        for path in part.strange_markers():
            store.place.remove(path)
            said.append(f"{path} was no marker of this sweep: its task counts as unfinished")
    said += [f"{path} was written again" for path in store.write_metadata()]
    return said or ["nothing is damaged"]
