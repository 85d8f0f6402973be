"""Packages of the extras `secure` and `he`."""

from __future__ import annotations

from importlib.util import find_spec

from fedlit.errors import InputError


def check_installed(what: str, package: str, extra: str) -> None:
    """
    Args:
        what: what needs the package, for the sentence.
        extra: the extra of fedlit that has it.

    Raises:
        InputError: it is not installed.
    """
    if find_spec(package) is None:
        raise InputError(f"{what} needs the package {package}; run: pip install 'fedlit[{extra}]'.")
