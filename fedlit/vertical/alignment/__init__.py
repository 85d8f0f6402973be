"""Which people all parties have, before a protocol begins."""

from fedlit.vertical.alignment.base import Alignment
from fedlit.vertical.alignment.ecdh import Ecdh
from fedlit.vertical.alignment.same import Same

__all__ = ["Alignment", "Ecdh", "Same"]
