"""Batches of other forms than a pair of tensors."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from tests.training.module_kinds.case import Case, loaded, looped, loss_of, step

dicts = loaded(lambda x, y, i: {"x": x, "y": y})
nested = loaded(lambda x, y, i: {"in": [x, {"again": x + 1}], "out": (y, float(i))})
named = loaded(lambda x, y, i: (x, y, f"sample {i}"))


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
    "batches with strings": looped(step(lambda self, batch, batch_idx: loss_of(self, batch), named)),
    "no loss for some batches": looped(step(without_loss)),
    "loss in a vector": step(in_a_vector),
}
