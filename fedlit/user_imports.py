"""The user's modules, imported under seeded generators: draws at the top of a file are the same in each process.

Without this, a split at the top of `mine.py`, `ORDER = np.random.permutation(60)`, would differ between a run and its
continuation, and between worker processes. The seed is always 0: a sweep over `data.seed` imports a module once.
"""

# Imports neither numpy nor torch: a name that is misspelt has to be refused at once.

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_SEED = 0
_imported: dict[str, None] = {}  # names in the order of import


def import_user_module(name: str) -> ModuleType:
    """Import a module of the user's or of a library. If this executes it, its draws from the global generators of
    Python, numpy and torch are seeded, and the generators are restored afterwards."""
    package = name.partition(".")[0]
    if name in sys.modules or package == __package__:
        return importlib.import_module(name)
    finder = _SeedingFinder(package)
    sys.meta_path.insert(0, finder)
    try:
        module = importlib.import_module(name)
    finally:
        sys.meta_path.remove(finder)
    _imported[name] = None
    return module


def imported_user_modules() -> list[str]:
    """The names so far, for `import_again` in a worker process."""
    return list(_imported)


def import_again(names: Sequence[str]) -> None:
    """In a worker process, before an object of the user's is unpickled: unpickling would import its module unseeded."""
    for name in names:
        import_user_module(name)


class _SeedingFinder(MetaPathFinder):
    """Finds modules as the other finders do, and has each of them executed under generators of its own.

    The draws of a module then depend neither on the module that imports it first nor on libraries that draw while they
    are imported.

    Args:
        package: modules in it are seeded; of other packages only the first import, to save time.
    """

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        package, _, inner = fullname.partition(".")
        if inner and package != self.package:
            return None  # the other finders answer
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                return _seeded(spec)
        return None


def _seeded(spec: ModuleSpec) -> ModuleSpec:
    """The spec, with a loader that executes the module under seeded generators."""
    loader: Loader | None = spec.loader
    execute = getattr(loader, "exec_module", None)
    if loader is not None and execute is not None and not isinstance(loader, type):  # a class: built in or frozen

        def execute_seeded(module: ModuleType) -> None:
            with _seeded_generators(module):
                execute(module)

        loader.exec_module = execute_seeded  # type: ignore[method-assign]
    return spec


@contextmanager
def _seeded_generators(executed: ModuleType) -> Iterator[None]:
    """Seed the generators of the libraries that are imported; on exit restore them, and seed those that are new.

    Args:
        executed: the module that the block executes; on exit it counts as imported.
    """
    numpy, torch = _numpy_random(), _library("torch")
    states = random.getstate(), numpy and numpy.get_state(), torch and torch.get_rng_state()
    random.seed(_SEED)
    _seed(numpy, torch)
    try:
        yield
    finally:
        random.setstate(states[0])
        if numpy:
            numpy.set_state(states[1])
        if torch:
            torch.set_rng_state(states[2])
        _seed(None if numpy else _numpy_random(executed), None if torch else _library("torch", executed))


def _numpy_random(executed: ModuleType | None = None) -> Any:
    if _library("numpy", executed) and "numpy.random" not in sys.modules:
        importlib.import_module("numpy.random")  # numpy imports it at its first use, which may be a draw
    return _library("numpy.random", executed)


def _library(name: str, executed: ModuleType | None = None) -> Any:
    """A library that is imported; None before the end of its import."""
    library = sys.modules.get(name)
    is_being_imported = getattr(getattr(library, "__spec__", None), "_initializing", False)
    return None if is_being_imported and library is not executed else library


def _seed(numpy: Any, torch: Any) -> None:
    if numpy:
        numpy.seed(_SEED)
    if torch:
        torch.default_generator.manual_seed(_SEED)
