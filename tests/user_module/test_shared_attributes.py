"""An attribute that several modules share is one object after a restore, too."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from fedlit.user_module.module_snapshot import ModuleSnapshot

KINDS: list[Callable[[], Any]] = [list, dict, set, lambda: [1], lambda: {"t": 1}, lambda: SimpleNamespace(t=1)]


class Pair(nn.Module):
    def __init__(self, shared: Any):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.shared, self.also, self.layer.shared = shared, shared, shared
        self.inside = [shared]


@pytest.mark.parametrize("make", KINDS)
def test_shared_objects_stay_shared(make: Callable[[], Any]) -> None:
    module = Pair(make())
    snapshot = ModuleSnapshot(module)
    for _ in range(2):
        snapshot.restore()
        assert module.shared == make()
        assert module.also is module.shared and module.layer.shared is module.shared
        assert module.inside[0] is module.shared
        with snapshot.put_aside():
            assert module.also is module.shared and module.layer.shared is module.shared
            module.shared.__init__()  # type: ignore[misc]


def test_hooks_of_a_fit_are_put_aside() -> None:
    module = Pair(None)
    snapshot = ModuleSnapshot(module)
    snapshot.restore()
    module.layer.register_forward_hook(lambda *arguments: None)
    with snapshot.put_aside():
        assert not module.layer._forward_hooks
        module.register_forward_hook(lambda *arguments: None)
    assert len(module.layer._forward_hooks) == 1 and not module._forward_hooks
    snapshot.restore()
    assert not module.layer._forward_hooks
