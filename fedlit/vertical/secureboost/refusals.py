"""Options of SecureBoost that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import Cipher, IntegerCipher
from fedlit.vertical.protocol import Task
from fedlit.vertical.secureboost.options import Options

_WHOLE = {"depth": (1, 10), "bins": (2, None), "guest_first": (0, None), "known_labels": (2, None)}
_REAL = {"lr": (0, False), "l2": (0, True), "min_child_weight": (0, True), "min_gain": (0, True)}


def check_options(options: Options, task: Task, hosts: Sequence[str], cipher: Cipher) -> None:
    """
    Args:
        hosts: all hosts of the run; none where the guest trains alone.

    Raises:
        InputError: a number is out of its range, or options do not fit each other, the task or the cipher.
    """
    _check_numbers(options)
    if not isinstance(cipher, IntegerCipher):
        raise InputError(
            f"cipher={cipher.name} is not exact, and protocol=secureboost adds whole numbers; write cipher=paillier."
        )
    if options.missing_party not in ("refuse", "guest"):
        raise InputError(f"protocol.missing_party={options.missing_party!r} is not known; write refuse or guest.")
    _check_absent(options, hosts)
    if options.leak not in (None, "instance_space"):
        raise InputError(f"protocol.leak={options.leak!r} is not known; write instance_space or null.")
    if options.leak and task != "binary":
        raise InputError(f"protocol.leak={options.leak} guesses classes, and these data have values; leave it out.")


def _check_numbers(options: Options) -> None:
    for name, (least, most) in _WHOLE.items():
        value = getattr(options, name)
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or value < least or (most is not None and value > most):
            allowed = f"from {least}" if most is None else f"from {least} to {most}"
            raise InputError(f"protocol.{name}={value!r} is out of range; write a whole number {allowed}.")
    for name, (bound, included) in _REAL.items():
        value = getattr(options, name)
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not (bound <= value < float("inf")) or (value == bound and not included):
            allowed = f"{bound} or a number above it" if included else f"a number above {bound}"
            raise InputError(f"protocol.{name}={value!r} is out of range; write {allowed}.")


def _check_absent(options: Options, hosts: Sequence[str]) -> None:
    if isinstance(options.absent, str):
        raise InputError(f"protocol.absent={options.absent} is no list; write protocol.absent=[{options.absent}].")
    for party in options.absent:
        if hosts and party not in hosts:
            raise InputError(f"protocol.absent={party} is not among the hosts ({', '.join(hosts)}); write one of them.")
    if options.absent and options.missing_party == "refuse":
        parties = ", ".join(options.absent)
        raise InputError(
            f"protocol.absent=[{parties}] has no answer at prediction under protocol.missing_party=refuse; write "
            "protocol.missing_party=guest to predict by trees of the guest alone."
        )
