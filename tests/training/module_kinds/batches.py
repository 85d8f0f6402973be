"""Batches of other forms than a pair of tensors."""

from __future__ import annotations

from collections import UserDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import default_collate

from fedlit.data import LoadedSamples, Samples
from tests.training.module_kinds.case import Case, Listed, loaded, looped, loss_of, step

dicts = loaded(lambda x, y, i: {"x": x, "y": y})
nested = loaded(lambda x, y, i: {"in": [x, {"again": x + 1}], "out": (y, float(i))})
named = loaded(lambda x, y, i: (x, y, f"sample {i}"))

Pair = namedtuple("Pair", "x y")


@dataclass
class Fields:
    x: Tensor
    y: Tensor


class Graphs:
    """An object that moves itself to a device, as a batch of torch_geometric does."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def to(self, device: Any, non_blocking: bool = False) -> Graphs:
        return Graphs(self.x.to(device), self.y.to(device))

    @property
    def num_graphs(self) -> int:
        return len(self.x)


def collated(form: Callable[[Tensor, Tensor], Any]) -> Callable[[], Samples]:
    """Batches of another form, which collate_fn gives."""

    def samples() -> Samples:
        return LoadedSamples(Listed(lambda x, y, i: (x, y)), lambda rows: form(*default_collate(rows)))

    return samples


def of_fields(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = F.cross_entropy(self(batch.x), batch.y)
    self.log("loss", loss, on_epoch=True, batch_size=len(batch.x))
    return loss


def of_dict(self: Any, batch: Any, batch_idx: int) -> Any:
    return {"loss": F.cross_entropy(self(batch["x"]), batch["y"]), "more": batch["x"].mean()}


def of_nested(self: Any, batch: Any, batch_idx: int) -> Any:
    x, more = batch["in"]
    return (F.cross_entropy(self(x + more["again"]), batch["out"][0], reduction="none") * batch["out"][1]).mean()


def without_loss(self: Any, batch: Any, batch_idx: int) -> Any:
    return None if batch_idx == 1 else loss_of(self, batch)


def in_a_vector(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, batch)[None]


BATCHES: dict[str, Case] = {
    "dict batches": step(of_dict, dicts),
    "nested batches": step(of_nested, nested),
    "named tuple batches": step(of_fields, loaded(lambda x, y, i: Pair(x, y))),
    "dataclass batches": looped(step(of_fields, collated(Fields)), "Fields"),
    "object batches": looped(step(of_fields, collated(Graphs)), "Graphs"),
    "UserDict batches": looped(step(of_dict, collated(lambda x, y: UserDict(x=x, y=y))), "UserDict"),
    "batches with strings": looped(step(lambda self, batch, batch_idx: loss_of(self, batch), named)),
    "no loss for some batches": looped(step(without_loss)),
    "loss in a vector": step(in_a_vector),
}
