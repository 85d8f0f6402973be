"""Packages of the extras `secure` and `he`."""

from __future__ import annotations

from importlib.util import find_spec

from fedlit.errors import InputError


def check_installed(what: str, module: str, extra: str, package: str | None = None) -> None:
    """
    Args:
        what: what needs the package, for the sentence.
        module: what is imported of it.
        extra: the extra of fedlit that has it.
        package: its name, if it is not the module's.

    Raises:
        InputError: it is not installed.
    """
    if find_spec(module) is None:
        raise InputError(f"{what} needs the package {package or module}; run: pip install 'fedlit[{extra}]'.")
