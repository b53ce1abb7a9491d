"""Start and stop gunicorn and the background workers together."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

import labeler
from labeler.cli.buffered_worker import BufferedWorker
from labeler.config import Settings

THREADS = 4  # per process, so that a slow page does not delay votes
CONNECTIONS = 1000  # per process; of more, the one that has waited longest is closed
KEEP_ALIVE_S = 5  # how long a connection may wait for its next request
# How long a thread runs while another one waits for the interpreter; Python's default is 5 ms. A
# vote releases it at each statement, and would wait that long each time with the write lock held.
SWITCH_S = 0.0005
GRACE_S = 10
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # before a worker that ended is started again
POLL_S = 0.5
log = logging.getLogger(__name__)

# Popen waits until all processes have closed its pipe. A process of the site that is forked at that
# moment would keep the pipe open, so the lock prevents that both happen at the same time.
_starting = threading.Lock()
os.register_at_fork(
    before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release
)

_SOURCES = Path(labeler.__file__).resolve().parents[1]


def run_server(settings: Settings, welcome: Callable[[], None], with_worker: bool) -> None:
    """Run the site until SIGTERM or SIGINT. This function does not return.

    Parameters:
        welcome: called when the port is free, before the first request.
        with_worker: also run the background workers.

    Raises:
        ClickException: the port is in use, or the host is not an address of this machine.
    """
    _refuse_taken_port(settings.host, settings.port)
    welcome()
    with _workers() if with_worker else contextlib.nullcontext():
        _Site(settings).run()


class _Site(BaseApplication):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": self._settings.listen_on,
            "workers": self._settings.workers,
            "threads": THREADS,
            "worker_class": BufferedWorker,
            "worker_connections": CONNECTIONS,
            "keepalive": KEEP_ALIVE_S,
            "sendfile": False,  # it would wait for the person who reads
            "loglevel": "warning",
            "graceful_timeout": GRACE_S,
            "control_socket_disable": True,
            # The site itself decides whose forwarding headers it believes: `web.forwarding`.
            "forwarded_allow_ips": "",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # Called after the fork, so that processes share no database connection.
        from labeler.app import create_app

        sys.setswitchinterval(SWITCH_S)
        return create_app(self._settings)


@contextlib.contextmanager
def _workers() -> Iterator[None]:
    """Run background workers during the block. Each is started again if it ends.

    Turning a head takes minutes. One worker does nothing else, so that labels need not wait.
    """
    from labeler.jobs.kinds import QUEUES, TURNING

    ending, owner = threading.Event(), os.getpid()
    shares = [[name for name in QUEUES if name != TURNING], [TURNING]]
    keepers = [
        threading.Thread(target=_keep_worker, args=(ending, ",".join(queues)), name="keep-worker")
        for queues in shares
    ]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        # Forked processes of the site leave the block too, but must not stop the workers.
        if os.getpid() == owner:
            ending.set()
            for keeper in keepers:
                keeper.join()


def _keep_worker(ending: threading.Event, queues: str) -> None:
    pause_s = FIRST_PAUSE_S
    while not ending.is_set():
        started = time.monotonic()
        why = _run_worker(ending, queues)
        if ending.is_set():
            return
        if time.monotonic() - started > LONGEST_PAUSE_S:
            pause_s = FIRST_PAUSE_S
        log.warning("The worker of background jobs %s; another starts in %g s.", why, pause_s)
        ending.wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _run_worker(ending: threading.Event, queues: str) -> str:
    """Start a worker and wait until it or the site ends; returns what happened to it."""
    # -P: do not import modules from the folder in which the site was started.
    command = [sys.executable, "-P", "-m", "labeler.cli"]
    command += ["worker", "--with-parent", str(os.getpid()), "--queues", queues]
    try:
        # Its own session, so that Ctrl+C in the terminal only reaches this process.
        with _starting:
            process = subprocess.Popen(command, env=_environment(), start_new_session=True)
    except OSError as error:
        return f"could not be started ({error.strerror})"
    while process.poll() is None and not ending.wait(POLL_S):
        pass
    process.terminate()  # no effect if it has ended already
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return "has ended"


def _environment() -> dict[str, str]:
    """Return the environment of the worker. In a checkout it adds the folder of the sources."""
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(_SOURCES), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": path}


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"Port {port} of {host} is in use. Stop the program that uses it, or choose "
                "another port with --port or SIDELIGHT_PORT."
            ) from None
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. SIDELIGHT_HOST must be an address "
            "of this machine."
        ) from None
