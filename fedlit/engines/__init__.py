"""Where jobs run."""

from fedlit.engines.base import Engine
from fedlit.engines.serial import Serial

__all__ = ["Engine", "Serial"]
