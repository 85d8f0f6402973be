"""Where the random bytes of keys come from: the operating system, or for debugging the seed of the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from fedlit.errors import InputError
from fedlit.round import Round

Draw = Callable[[int], bytes]
"""Gives as many random bytes as it is asked for."""


def key_bytes(insecure_keys: str | None, round: Round, *what: Any) -> Draw:
    """Random bytes for the keys of a round.

    Args:
        insecure_keys: None: from the operating system, so that nobody can repeat them; "seed": from the seed of the
            run, so that anybody who knows it knows all keys.
        what: the client and the purpose; with a seed, each has bytes of its own.
    """
    return os.urandom if insecure_keys is None else round.generator("keys", *what).bytes


def check_insecure_keys(value: Any) -> None:
    """
    Raises:
        InputError: the value is neither None nor "seed".
    """
    if value not in (None, "seed"):
        raise InputError(f"secure.insecure_keys={value!r} is not allowed; write null, or seed for debugging.")
