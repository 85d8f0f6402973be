"""Private names of Ray that fedlit uses, each with the reason. No other file uses one.

Ray promises nothing about these names: where a new version moves one, this file is edited.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def local_options(folder: str) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray that this run starts.

    `_node_ip_address` keeps all its ports on the loopback interface. `_temp_dir` is the folder of its sockets and logs,
    which this run removes; without it Ray writes to /tmp/ray, shared by all users.
    """
    return {"_node_ip_address": "127.0.0.1", "_temp_dir": folder}


def silence_worker_messages() -> None:
    """Keep Ray from printing a paragraph for each worker that dies, which no public option does.

    The run logs such a worker in one line.
    """
    with suppress(ImportError, AttributeError):
        from ray._private.ray_logging import global_worker_stdstream_dispatcher

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")
