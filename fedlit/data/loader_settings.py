"""The settings of a user's loaders that count in a federation, and those that do not."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
)

from fedlit.data.loaded import KEPT
from fedlit.data.loaders import sampler_of

_DEFAULTS = {
    **dict.fromkeys(KEPT, (None,)),
    "num_workers": (0,),
    "pin_memory": (False,),
    "timeout": (0,),
    "prefetch_factor": (None, 2),  # 2 with workers
}


class Note(NamedTuple):
    """A sentence on a loader; empty if all its settings are defaults."""

    text: str
    changes_numbers: bool  # a setting that is not used would change what is trained or measured


def settings_note(loader: DataLoader[Any], where: str, in_memory: bool, batch_size: int | None) -> Note:
    """Which of the settings that a user chose are used, and which are not.

    Args:
        loader: of training or test samples.
        where: the hook that returned it.
        in_memory: its samples are tensors in memory, so that it is not used to load them.
        batch_size: the run's, for a loader of training samples; None for another loader, whose batches do not matter.
    """
    loading = [_written(name, getattr(loader, name)) for name in KEPT if getattr(loader, name) not in _DEFAULTS[name]]
    used = [*([] if in_memory else loading), *([] if loader.collate_fn is default_collate else ["collate_fn"])]
    lost = _lost(loader, batch_size)
    idle = loading if in_memory else []
    clauses = [f"its {setting} is not used" for setting in (*lost, *idle)]
    clauses += [f"its {setting} is used" for setting in used]
    because = " (fedlit forms the batches)" if lost else ""
    return Note(f"{where}: {', '.join(clauses)}{because}." if clauses else "", bool(lost))


def _lost(loader: DataLoader[Any], batch_size: int | None) -> list[str]:
    """Settings that decide about samples and batches: those of the run take their place."""
    lost = []
    if batch_size is not None and loader.batch_size not in (None, 1, batch_size):
        lost.append(f"batch_size={loader.batch_size}, unlike the run's batch_size={batch_size},")
    if batch_size is not None and loader.drop_last:
        lost.append("drop_last=True")
    sampler, size = sampler_of(loader), len(loader.dataset)  # type: ignore[arg-type]
    draws = isinstance(sampler, RandomSampler) and (sampler.replacement or sampler.num_samples != size)
    if draws or not isinstance(sampler, SequentialSampler | RandomSampler | SubsetRandomSampler):
        lost.append(type(sampler).__name__)
    if type(loader.batch_sampler) is not BatchSampler and sampler is not loader.batch_sampler:
        lost.append(type(loader.batch_sampler).__name__)
    if type(loader).__iter__ is not DataLoader.__iter__:
        lost.append(f"{type(loader).__name__}.__iter__")
    return lost


def _written(name: str, value: Any) -> str:
    return name if callable(value) or name == "multiprocessing_context" else f"{name}={value}"
