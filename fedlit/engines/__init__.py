"""Where jobs run."""

from fedlit.engines.base import Engine
from fedlit.engines.processes import Processes
from fedlit.engines.serial import Serial

__all__ = ["Engine", "Processes", "Serial"]
