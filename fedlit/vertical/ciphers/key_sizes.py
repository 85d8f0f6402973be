"""How many bits a modulus has to have that nobody may factor."""

from __future__ import annotations

import logging

from fedlit.errors import InputError

LEAST, RECOMMENDED = 1024, 2048

log = logging.getLogger(__name__)


def check_bits(bits: int, insecure: bool) -> None:
    """
    Raises:
        InputError: fewer than 1,024 bits, unless `insecure`, or no even number of bits.
    """
    if not isinstance(bits, int) or (bits < LEAST and not insecure):
        raise InputError(
            f"cipher.bits={bits!r} is a key that can be factored, and 1024 is the least; write cipher.bits=2048."
        )
    if bits < 64 or bits % 2:
        raise InputError(f"cipher.bits={bits} is no even number from 64; write cipher.bits=2048.")


def warn_of_bits(cipher: str, bits: int) -> None:
    if bits < RECOMMENDED:
        log.warning(
            "cipher=%s: a key of %s bits may be factored; NIST SP 800-57 asks for 2048 until 2030", cipher, f"{bits:,}"
        )
