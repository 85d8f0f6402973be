"""Where chunks of clients run: in this process, in worker processes, on a Ray cluster."""

from fedlit.engines.base import Engine
from fedlit.engines.processes import Processes
from fedlit.engines.ray_cluster import Ray
from fedlit.engines.serial import Serial

__all__ = ["Engine", "Processes", "Ray", "Serial"]
