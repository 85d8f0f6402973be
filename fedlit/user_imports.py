"""The user's modules, imported under seeded generators: draws at the top of a file are the same in each process.

Without this, a split at the top of `mine.py`, `ORDER = np.random.permutation(60)`, would differ between a run and its
continuation, and between worker processes. The seed is always 0: a sweep over `data.seed` imports a module once.
"""

# Imports no torch at its top: the name of a package that does not exist has to be refused at once.

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from types import ModuleType

from fedlit.old_lightning_name import use_new_name
from fedlit.working_folder import in_folder

UserModule = tuple[str, str]
"""Name, and the folder in which it was imported."""

_imported: dict[str, str] = {}  # name -> the folder in which it was imported, in the order of import


def import_user_module(name: str) -> ModuleType:
    """Import a module of the user's or of a library. If this executes it, its draws from the global generators of
    Python, numpy and torch are seeded, and the generators are restored afterwards."""
    use_new_name()
    package = name.partition(".")[0]
    if name in sys.modules or package == __package__ or find_spec(package) is None:
        return importlib.import_module(name)
    from fedlit.global_generators import isolated_generators

    with isolated_generators(0):
        module = importlib.import_module(name)
    _imported[name] = os.getcwd()
    return module


def imported_user_modules() -> list[UserModule]:
    """The modules so far, for `import_again` in a worker process."""
    return list(_imported.items())


def import_again(modules: Sequence[UserModule]) -> None:
    """In a worker process, before an object of the user's is unpickled: unpickling would import its module unseeded.

    A module that the worker does not find is left out: an earlier run of the main process may have imported it.
    """
    use_new_name()
    for name, folder in modules:
        with suppress(ModuleNotFoundError), in_folder(folder):  # it may read a file by a relative path
            import_user_module(name)


class UserModules:
    """The modules so far; unpickling it imports them. Pickled ahead of an object of the user's."""

    def __reduce__(self) -> tuple[Callable[[Sequence[UserModule]], UserModules], tuple[list[UserModule]]]:
        return _imported_again, (imported_user_modules(),)


def _imported_again(modules: Sequence[UserModule]) -> UserModules:
    import_again(modules)
    return UserModules()
