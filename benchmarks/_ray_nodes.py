"""Nodes of a Ray cluster on this machine, started by `ray start`, for a benchmark and for tests."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rotation.passes.on_ray import WAITS

STORE_BYTES = 200_000_000
START_S = 120.0
END_S = 40.0
STARTED = "Ray runtime started"


@dataclass
class Node:
    """One node: the process of `ray start --block`, whose children are the raylet and others.

    Attributes:
        known: numbers of processes that it had before its raylet was killed.
    """

    process: subprocess.Popen[bytes]
    known: set[int] = field(default_factory=set)

    @property
    def processes(self) -> list[int]:
        """The numbers of the node's processes, and of theirs."""
        return _descendants(self.process.pid)

    def kill_raylet(self) -> None:
        """Kill the raylet at once, as when its machine is lost."""
        self.known |= set(self.processes)  # they are no longer found once it is dead
        for pid in self.known:
            if _program(pid) == "raylet":
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def end(self) -> list[int]:
        """Ask the node to end, wait, and kill what it leaves.

        Returns:
            The numbers of the processes that had to be killed.
        """
        known = self.known | set(self.processes)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)
        wait_until(lambda: not any(map(is_alive, known)), END_S)
        left = [pid for pid in known if is_alive(pid)]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(END_S)
        wait_until(lambda: not any(map(is_alive, left)), END_S)
        return left


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
        told = self.folder / f"node{secrets.token_hex(4)}.txt"
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

    def end(self, node: Node) -> list[int]:
        """End a node: see `Node.end`."""
        self.running = [other for other in self.running if other is not node]
        return node.end()


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
        **{name: value for name, value in WAITS.items() if name not in os.environ},
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "3",  # else a node takes half a minute to end
        "RAY_worker_niceness": "0",  # of actors, as of one process; Ray would give them less
    }
    nodes = Nodes(folder, f"127.0.0.1:{_free_port()}", environment)
    try:
        yield nodes
    finally:
        for node in reversed(nodes.running):
            nodes.end(node)


def wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; whether it is."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            return False
        time.sleep(0.1)
    return True


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
