"""`import pytorch_lightning` gives `lightning.pytorch`, and `pytorch_lightning.x.y` gives `lightning.pytorch.x.y`.

The two packages have one code and different classes: a Trainer of the one refuses a LightningModule of the other.
fedlit trains with `lightning`. A user's file that imports the old name then runs whether or not that package is
installed, and no module can have classes of both.
"""

# Imports no torch: the finder is in place before a user's file is imported.

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

OLD, NEW = "pytorch_lightning", "lightning.pytorch"


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != OLD and not fullname.startswith(f"{OLD}."):
            return None
        new_name = NEW + fullname[len(OLD) :]
        if find_spec(new_name) is None:  # raised, because another finder would make a second copy of a module
            raise ModuleNotFoundError(f"No module named {fullname!r}: fedlit reads it as {new_name!r}", name=fullname)
        return ModuleSpec(fullname, _Loader(new_name))


class _Loader(Loader):
    """Gives a module that is imported under its new name."""

    def __init__(self, new_name: str):
        self.new_name = new_name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.new_name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # importlib has replaced it


_FINDER = _Finder()


def use_new_name() -> None:
    """From now on, in this process. Does nothing where the package of the old name has been imported already, as in a
    notebook: its classes would be half of the one and half of the other package."""
    if _FINDER not in sys.meta_path and OLD not in sys.modules:
        sys.meta_path.insert(0, _FINDER)


def is_of_old_package(value: object) -> bool:
    """Whether an object's class derives from one of the package of the old name."""
    return any(base.__module__.partition(".")[0] == OLD for base in type(value).__mro__)
