"""gunicorn and the worker of background jobs, started and ended together."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from labeler.config import Settings

THREADS = 4
GRACE_S = 10
_MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"


def run_server(settings: Settings, welcome: Callable[[], None], with_worker: bool) -> None:
    """Serve until SIGTERM or SIGINT; does not return.

    Parameters:
        welcome: called when it is certain that the port is free, before the first request.

    Raises:
        ClickException: the port is taken, or the host is none of this machine's.
    """
    _refuse_taken_port(settings.host, settings.port)
    welcome()
    with _worker() if with_worker else contextlib.nullcontext():
        _Site(settings).run()


def end_with_parent() -> None:
    """End this process gently when its parent is gone, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


class _Site(BaseApplication):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"{_bracketed(self._settings.host)}:{self._settings.port}",
            "workers": self._settings.workers,
            "threads": THREADS,
            "worker_class": "gthread",
            "loglevel": "warning",
            "graceful_timeout": GRACE_S,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        # In the worker process, after the fork: no connection is shared between processes.
        from labeler.app import create_app

        return create_app(self._settings)


@contextlib.contextmanager
def _worker() -> Iterator[None]:
    command = [sys.executable, str(_MANAGE), "worker", "--with-parent"]
    # Its own session: a ctrl-C in the terminal is for us, and we end it below.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _refuse_taken_port(host: str, port: int) -> None:
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"Port {port} of {host} is in use. End what runs there, or choose another one "
                "with --port or SIDELIGHT_PORT."
            ) from None
        raise click.ClickException(
            f"Cannot listen on {host}:{port}: {error.strerror}. SIDELIGHT_HOST must be an address "
            "of this machine."
        ) from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
