"""The contract of a cipher whose ciphertexts can be added."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from fedlit.vertical.ciphers.weighted_sum import weighted_sum
from fedlit.vertical.party import Message, Part


class Cipher(ABC):
    """Options of a cipher; makes keys. A subclass is a frozen dataclass.

    Class attributes:
        name: the option of `cipher=`.
        hides: False for `plain`, whose parts travel in the clear.
    """

    name: ClassVar[str]
    hides: ClassVar[bool] = True

    def check(self) -> None:  # noqa: B027  (a cipher may have no options)
        """Refuse options and missing packages, before any work."""


class IntegerCipher(Cipher):
    """A cipher of whole numbers modulo n: `plain`, `paillier`, `ou`.

    Attributes:
        workers: processes that share the arithmetic of one party.
    """

    workers: int

    @abstractmethod
    def generate(self) -> OwnerKey:
        """A new key pair, from the operating system's random numbers."""

    @abstractmethod
    def public(self, message: Message) -> PublicKey:
        """The public key in a message that `PublicKey.message` has made."""


class PublicKey(ABC):
    """Encrypts, and computes with ciphertexts. All that a party without the private key gets.

    Whole numbers from -n / 2 to n / 2 are encrypted; a sum outside of it wraps around modulo n.

    Class attributes:
        wraps: False for a cipher whose modulus is secret (`ou`): there a sum outside of that range is lost.

    Attributes:
        modulus: n, or a bound that messages have to stay below.
    """

    wraps: ClassVar[bool] = True

    modulus: int

    @abstractmethod
    def message(self) -> Message:
        """The key, as parts of a message in the clear."""

    @abstractmethod
    def encrypt(self, value: int) -> Any:
        """A ciphertext; another one each time."""

    @abstractmethod
    def add(self, first: Any, second: Any) -> Any:
        """A ciphertext of the sum."""

    @abstractmethod
    def subtract(self, first: Any, second: Any) -> Any:
        """A ciphertext of the difference."""

    @abstractmethod
    def times(self, ciphertext: Any, factor: int) -> Any:
        """A ciphertext of the product with a number that this party knows."""

    @abstractmethod
    def refresh(self, ciphertext: Any) -> Any:
        """Another ciphertext of the same number, which does not show what it was computed from."""

    @abstractmethod
    def zero(self) -> Any:
        """A ciphertext of 0 to begin a sum with; it is not random: `refresh` the sum."""

    @abstractmethod
    def seal(self, ciphertexts: Iterable[Any], shape: tuple[int, ...] | None = None) -> Part:
        """Ciphertexts as a part of a message: `Sealed`, or an array under `plain`."""

    @abstractmethod
    def opened(self, part: Part) -> list[Any]:
        """The ciphertexts in a part that `seal` has made, in a flat list."""

    @abstractmethod
    def spread(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """`[work(task) for task in tasks]`, by `workers` processes that are forked for this call, so that they see what
        `work` refers to without a copy."""

    def weighted_sum(self, ciphertexts: Sequence[Any], factors: Sequence[int]) -> Any:
        """A ciphertext of sum_i factors[i] m_i. It is not random: `refresh` it."""
        return weighted_sum(self.add, self.subtract, self.zero(), ciphertexts, factors)

    def encrypt_all(self, values: Sequence[int]) -> list[Any]:
        """A ciphertext of each value, by all workers."""
        return self.spread(self.encrypt, values)


class OwnerKey(PublicKey):
    """The key pair: decrypts, and encrypts faster."""

    @abstractmethod
    def decrypt(self, ciphertext: Any) -> int:
        """The number, from -n / 2 to n / 2."""

    def decrypt_all(self, ciphertexts: Sequence[Any]) -> list[int]:
        """The number in each, by all workers."""
        return self.spread(self.decrypt, ciphertexts)
