"""Where the random bytes of keys come from: the operating system, or for debugging the seed of the run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from fedlit.errors import InputError
from fedlit.round import Round

log = logging.getLogger(__name__)

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


def warn_of_insecure_keys(insecure_keys: str | None, what: str) -> None:
    """A warning before a run whose keys come from its seed.

    Args:
        what: what takes the keys.
    """
    if insecure_keys is not None:
        log.warning(
            "%s takes its keys from the run's seed (insecure_keys=%s): everybody who knows the seed knows them",
            what,
            insecure_keys,
        )


def check_insecure_keys(value: Any) -> None:
    """
    Raises:
        InputError: the value is neither None nor "seed".
    """
    if value not in (None, "seed"):
        raise InputError(f"secure.insecure_keys={value!r} is not allowed; write null, or seed for debugging.")
