"""Loggers: everything that a run writes for its user. TensorBoard is slow to import and stays in its own file."""

from fedlit.tracking.logger import About, Logger, Loggers
from fedlit.tracking.metrics_file import MetricsFile

__all__ = ["About", "Logger", "Loggers", "MetricsFile"]
