"""Progress in a notebook: the bars of a terminal as an output of the cell, which is replaced while the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import Progress
