"""Powers of one number by a table (Brickell, Gordon, McCurley, Wilson 1992, "Fast Exponentiation with
Precomputation"): a product of a number a byte of the exponent, and no squares."""

from __future__ import annotations

from functools import cached_property
from typing import Any


class FixedBase:
    """`base` to the power of any exponent of `size` bytes, modulo `modulus`.

    With the bytes e_i of an exponent, lowest first, base^e = prod_i table[i][e_i], where table[i][j] = base^(j 256^i).
    The table has 256 `size` numbers and is made at its first use; it is not pickled.

    >>> import gmpy2
    >>> powers = FixedBase(gmpy2.mpz(3), gmpy2.mpz(1000), size=2)
    >>> powers.power((300).to_bytes(2, "little")) == pow(3, 300, 1000)
    True
    """

    def __init__(self, base: Any, modulus: Any, size: int):
        self.base, self.modulus, self.size = base, modulus, size

    @cached_property
    def table(self) -> list[list[Any]]:
        table, base = [], self.base % self.modulus
        for _ in range(self.size):
            row = [base**0]
            for _ in range(255):
                row.append(row[-1] * base % self.modulus)
            table.append(row)
            base = row[-1] * base % self.modulus
        return table

    def power(self, exponent: bytes) -> Any:
        """
        Args:
            exponent: its `size` bytes, the lowest first.
        """
        modulus, table = self.modulus, self.table
        product = table[0][exponent[0]]
        for row, byte in zip(table[1:], exponent[1:], strict=True):
            product = product * row[byte] % modulus
        return product

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "table"}
