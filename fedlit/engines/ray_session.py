"""Ray itself, as one run uses it: imported when it is wanted, begun or joined, and let go of."""

from __future__ import annotations

import contextlib
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

from fedlit.errors import InputError


class RaySession:
    """A Ray of this run's own on the loopback of this machine, or a cluster that is joined.

    `ray` is the package. A joined cluster is left as it was found: what a run starts there ends with the run.
    """

    def __init__(self, address: str | None, cpus: int):
        """
        Args:
            address: of a running cluster; None begins a Ray of this run's own.
            cpus: workers that a Ray of its own has room for.
        """
        self.ray = imported()
        self._folder: str | None = None  # of a Ray of its own: sockets and logs
        logging.getLogger("ray").setLevel(logging.ERROR)
        if address is None:
            self._begin(cpus)
        else:
            self._join(address)
        _only_our_messages()

    def _begin(self, cpus: int) -> None:
        self._folder = tempfile.mkdtemp(prefix="fedlit-", dir=_short_folder())
        try:  # "local", for without an address Ray would join whatever cluster it finds on this machine
            self._init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=self._folder,
            )
        except Exception as error:
            self.leave()
            raise InputError(f"engine=ray: Ray cannot be started here ({_short(error)}).") from error

    def _join(self, address: str) -> None:
        try:
            if not _answers(address):
                raise ConnectionError("no connection")
            self._init(address=address)
        except Exception as error:
            self.leave()
            raise InputError(
                f"engine.address={address}: no Ray cluster answers there ({_short(error)}); write the host:port that "
                "`ray start --head` printed, on a machine of the cluster, or leave it out."
            ) from error

    def _init(self, **how: Any) -> None:
        with _signals_kept():
            self.ray.init(log_to_driver=False, configure_logging=False, **how)

    def has(self, what: str) -> int:
        """How many `CPU` or `GPU` there are."""
        return int(self.ray.cluster_resources().get(what, 0))

    def leave(self) -> None:
        self.ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def imported() -> Any:
    """The package, or one sentence where there is none."""
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
def _signals_kept() -> Iterator[None]:
    """Ray makes SIGTERM end the process at once; a run saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _only_our_messages() -> None:
    """Ray prints a paragraph for each worker that is gone, whatever it is told; the run says it in a line."""
    with contextlib.suppress(ImportError, AttributeError):
        from ray._private.ray_logging import global_worker_stdstream_dispatcher as printed

        printed.remove_handler("ray_print_logs")


def _answers(address: str) -> bool:
    """Whether somebody listens at a host:port; Ray would try for minutes. `auto` and the like are for Ray to find."""
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _short_folder() -> str:
    """For temporary files. Ray puts some 80 characters behind it, and the path of a socket has no more than 107."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 25 or not os.path.isdir("/tmp") else "/tmp"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
