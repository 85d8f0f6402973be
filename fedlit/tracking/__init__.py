"""What a person sees of a run. Loggers that cost a heavy import (TensorBoard) are imported from their own files."""

from fedlit.tracking.logger import About, Logger, Loggers
from fedlit.tracking.metrics_file import MetricsFile

__all__ = ["About", "Logger", "Loggers", "MetricsFile"]
