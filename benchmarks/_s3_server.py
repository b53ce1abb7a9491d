"""A server that speaks S3 on this machine, and a line to it, for a benchmark and for tests."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

START_S = 60.0


class Line:
    """Passes connections on to a server. It can be cut, and be dead for the next connections.

    Parameters:
        port: of the server.
        delay_s: what each request waits, as if the server were far away.

    Attributes:
        url: of its near end.
        received: bytes that the server has sent.
    """

    def __init__(self, port: int, delay_s: float = 0.0) -> None:
        self._far, self._delay_s = port, delay_s
        self._near = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._near.getsockname()[1]}"
        self.received = 0
        self._dead = 0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, dead: int) -> None:
        """End all connections, and the next `dead` ones as soon as they are made."""
        self._dead = dead
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def dead(self) -> Iterator[None]:
        """Be dead for a while."""
        self.cut(1_000_000)
        try:
            yield
        finally:
            self._dead = 0

    def close(self) -> None:
        """Take no more connections."""
        self._near.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                caller, _address = self._near.accept()
                if self._dead > 0:
                    self._dead -= 1
                    caller.close()
                    continue
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        with caller, suppress(OSError), socket.create_connection(("127.0.0.1", self._far)) as far:
            ends = {caller: far, far: caller}
            self._open.update(ends)
            try:
                while True:
                    for end in select.select(list(ends), [], [])[0]:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        self.received += len(data) if end is far else 0
                        if end is caller and self._delay_s:
                            time.sleep(self._delay_s)
                        ends[end].sendall(data)
            finally:
                self._open.difference_update(ends)


@contextmanager
def s3_server(**settings: str) -> Iterator[int]:
    """Run a server in a process of its own; its port.

    Parameters:
        settings: more of its environment.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **settings}, **quiet) as process:
        try:
            began = time.monotonic()
            while not _answers(port):
                if process.poll() is not None or time.monotonic() - began > START_S:
                    raise SystemExit("the S3 server has not started; is moto installed?")
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


def environment_of(url: str) -> dict[str, str]:
    """What names a server and some credentials to clients."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "a-key-of-the-tests",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
