"""Nodes of a Ray cluster on this machine, started by `ray start`, for a benchmark and for tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

STORE_BYTES = 200_000_000
START_S = 120.0
END_S = 20.0
STARTED = "Ray runtime started"


@dataclass
class Node:
    """One node: the process of `ray start --block`, whose children are the raylet and others."""

    process: subprocess.Popen[bytes]

    @property
    def processes(self) -> list[int]:
        """The numbers of the node's processes, and of theirs."""
        return _descendants(self.process.pid)

    def kill_raylet(self) -> None:
        """Kill the raylet at once, as when its machine is lost."""
        for pid in self.processes:
            if _program(pid) == "raylet":
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """End the node and all processes that it has left."""
        known = self.processes
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in filter(is_alive, known):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        while any(map(is_alive, known)) and time.monotonic() - began < END_S:
            time.sleep(0.1)


@dataclass
class Nodes:
    """A cluster in a `with` block.

    Attributes:
        address: of its head.
        environment: what programs that connect to it need: the cluster has a token of its own.
    """

    folder: Path
    address: str
    environment: dict[str, str]
    running: list[Node] = field(default_factory=list)

    def add(self, cpus: int = 1, environment: Mapping[str, str] | None = None) -> Node:
        """Start one more node, and wait until it runs. The first one is the head.

        Raises:
            RuntimeError: it does not start, for example because the machine is too busy.
        """
        host, _, port = self.address.partition(":")
        place = (
            ["--address", self.address]
            if self.running
            else ["--head", "--port", port, "--include-dashboard=false"]
        )
        temporary = [] if self.running else ["--temp-dir", str(self.folder)]
        words = ["--block", "--disable-usage-stats", f"--node-ip-address={host}"]
        sizes = [f"--num-cpus={cpus}", f"--object-store-memory={STORE_BYTES}"]
        command = [str(Path(sys.executable).parent / "ray"), "start"]
        self.folder.mkdir(parents=True, exist_ok=True)
        told = self.folder / f"node{len(self.running)}.txt"
        with told.open("w") as output:
            process = subprocess.Popen(
                [*command, *place, *temporary, *words, *sizes],
                env={**self.environment, **(environment or {})},
                stdout=output,
                stderr=output,
            )
        node = Node(process)
        self.running.append(node)
        began = time.monotonic()
        while STARTED not in told.read_text():
            if process.poll() is not None or time.monotonic() - began > START_S:
                raise RuntimeError(f"`ray start` has not started a node:\n{told.read_text()}")
            time.sleep(0.2)
        return node


@contextmanager
def ray_nodes(folder: Path) -> Iterator[Nodes]:
    """A cluster without nodes yet; those that are added end with the block.

    Parameters:
        folder: for Ray's own files; its path must be short, since sockets lie in it.
    """
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_worker_niceness": "0",  # of actors, as of one process; Ray would give them less
    }
    nodes = Nodes(folder, f"127.0.0.1:{_free_port()}", environment)
    try:
        yield nodes
    finally:
        for node in reversed(nodes.running):
            node.end()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    return _status(pid) not in ("", "Z")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _program(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.path.basename(words[0].decode())
    except OSError:
        return ""


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    found = [int(child) for child in children]
    return found + [deeper for child in found for deeper in _descendants(child)]
