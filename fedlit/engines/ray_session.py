"""Ray as one run uses it: imported only if it is needed, started or joined, and left at the end."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedlit.engines.ray_compat import local_options, silence_worker_messages
from fedlit.errors import InputError


class RaySession:
    """A local Ray that this run starts and stops, or a running cluster that it joins.

    Attributes:
        ray: the package.
    """

    def __init__(self, address: str | None, cpus: int):
        """
        Args:
            address: of a running cluster; None starts a local Ray.
            cpus: workers that a local Ray has room for.
        """
        self.ray = import_ray()
        self._folder: str | None = None  # of a local Ray: sockets and logs
        logging.getLogger("ray").setLevel(logging.ERROR)
        if address is None:
            self._start(cpus)
        else:
            self._join(address)
        silence_worker_messages()

    def _start(self, cpus: int) -> None:
        self._folder = tempfile.mkdtemp(prefix="fedlit-", dir=_short_temp_folder())
        try:  # without the address "local", Ray would join any cluster that runs on this machine
            self._init(address="local", num_cpus=cpus, include_dashboard=False, **local_options(self._folder))
        except Exception as error:
            self.leave()
            raise InputError(f"engine=ray: Ray cannot be started here ({_shorten(error)}).") from error
        except BaseException:  # Ctrl-C
            self.leave()
            raise

    def _join(self, address: str) -> None:
        try:
            if not _is_listening(address):
                raise ConnectionError("no connection")
            self._init(address=address)
        except Exception as error:
            self.leave()
            raise InputError(
                f"engine.address={address}: no Ray cluster answers there ({_shorten(error)}); write the host:port that "
                "`ray start --head` printed, on a machine of the cluster, or leave it out."
            ) from error

    def _init(self, **options: Any) -> None:
        with _signal_handlers_restored():
            self.ray.init(log_to_driver=False, configure_logging=False, **options)

    def count(self, resource: str) -> int:
        """The number of `CPU` or `GPU` in the cluster."""
        return int(self.ray.cluster_resources().get(resource, 0))

    def leave(self) -> None:
        """Disconnect from a cluster, or stop a local Ray and remove its folder."""
        self.ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def import_ray() -> Any:
    """The package, or a sentence for the user if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(
            'engine=ray: Ray is not installed; write pip install "fedlit[ray]", or engine=processes on one machine.'
        ) from error
    return ray


@contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """Undo the handler of Ray that ends the process at once on SIGTERM: the run saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _is_listening(address: str) -> bool:
    """Whether a host:port accepts connections; Ray itself would retry for minutes. Other forms (`auto`) are Ray's."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _short_temp_folder() -> str:
    """The path of a socket is at most 107 characters long, and Ray appends about 80 to this folder."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 25 or not os.path.isdir("/tmp") else "/tmp"


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
