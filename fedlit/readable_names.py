"""Names as text under any locale. Under LC_ALL=C, Python reads the bytes of a name that is not ASCII as lone surrogates
(`surrogateescape`), which no file in UTF-8 takes; under a Latin-1 locale it reads other letters."""

from __future__ import annotations

import os


def utf8_name(name: str) -> str:
    """The name of a file, read as UTF-8: the same under every locale, such as for a key of random draws."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def readable(text: str) -> str:
    """Text that any file takes: bytes that were read as surrogates are read as UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
