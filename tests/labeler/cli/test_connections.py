"""Connections that are slow, silent or too many leave the site to everybody else."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from labeler.cli import buffered_worker
from tests.labeler.cli.test_server import answers, free_port, manage, wait_for

STYLES = {
    "silent": b"",
    "head": b"GET /guide HTTP/1.1\r\nHost: here\r\nX-Slow: ",
    "body": b"POST /sign-in HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\na",
}
MANY = 64  # the site has four threads
PATIENCE_S = 4.0  # of other people; the deadlines are longer, so only threads that are free answer


class Site:
    """A site in a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.port, self.process = port, process

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(data)
        return connection

    def get(self, path: str) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            return answer.status
        finally:
            client.close()


@contextmanager
def running_site(home: Path) -> Iterator[Site]:
    port = free_port()
    with manage(home, "serve", "--port", str(port), "--no-worker") as process:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), home)
        yield Site(port, process)
    assert "Traceback" not in (home / "output.txt").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("home")) as running:
        yield running


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("style", list(STYLES))
def test_half_open_connections_hold_no_thread(site: Site, style: str) -> None:
    with ExitStack() as stack:
        for _ in range(MANY):
            stack.enter_context(site.connect(STYLES[style]))
        assert [site.get("/sign-in") for _ in range(5)] == [200] * 5
        assert site.get("/healthz") == 200


@pytest.mark.slow
def test_half_open_connections_are_closed_in_time(site: Site) -> None:
    with (
        site.connect() as silent,
        site.connect(STYLES["head"]) as head,
        site.connect(STYLES["body"]) as body,
        site.connect(STYLES["body"]) as trickle,
    ):
        assert answer_to_a_trickle(trickle).startswith(b"HTTP/1.1 408 ")
        assert read_all(silent) == b""
        assert read_all(head).startswith(b"HTTP/1.1 408 ")
        assert read_all(body).startswith(b"HTTP/1.1 408 ")


def answer_to_a_trickle(connection: socket.socket) -> bytes:
    """Send a byte now and then until there is an answer; b"" if none comes in time."""
    connection.settimeout(0.2)
    end = time.monotonic() + 2 * buffered_worker.BODY_S
    while time.monotonic() < end:
        connection.sendall(b"a")
        with suppress(TimeoutError):
            return connection.recv(1000)
    return b""


def test_people_who_do_not_read_hold_no_thread(site: Site) -> None:
    ask = b"GET /static/site.css HTTP/1.1\r\nHost: here\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(16):
            slow = socket.socket()
            stack.enter_context(slow)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", site.port))
            slow.sendall(ask * 400)  # more than the network keeps
        time.sleep(1.0)
        assert [site.get("/sign-in") for _ in range(5)] == [200] * 5


def test_an_answer_arrives_whole_at_someone_who_reads_slowly(site: Site) -> None:
    ask = b"GET /static/site.css HTTP/1.1\r\nHost: here\r\n"
    with site.connect(ask + b"Connection: close\r\n\r\n") as quick:
        whole = read_all(quick).split(b"\r\n\r\n", 1)[1]
    slow = socket.socket()
    with slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(60)
        slow.connect(("127.0.0.1", site.port))
        slow.sendall((ask + b"\r\n") * 199 + ask + b"Connection: close\r\n\r\n")
        time.sleep(1.0)
        answer = read_all(slow)
    assert answer.count(whole) == 200


def test_a_body_in_pieces_in_chunks_and_on_invitation(site: Site) -> None:
    head = b"POST /sign-in HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\n"
    for rest in (
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ):
        with site.connect(head) as connection:
            for start in range(len(rest)):
                connection.sendall(rest[start : start + 1])
            assert b'"csrf_failed"' in read_all(connection)
    with site.connect(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n") as connection:
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert b'"csrf_failed"' in read_all(connection)


def test_what_is_too_long_is_refused_before_it_is_read(site: Site) -> None:
    with site.connect(
        b"POST /sign-in HTTP/1.1\r\nHost: here\r\nContent-Length: 999999999\r\n\r\n"
    ) as one:
        assert read_all(one).startswith(b"HTTP/1.1 413 ")
    with site.connect(b"GET /guide HTTP/1.1\r\nX: " + b"x" * 70_000) as one:
        assert read_all(one).startswith(b"HTTP/1.1 431 ")


def test_more_connections_than_the_site_keeps(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(site.connect())
        assert [site.get("/sign-in") for _ in range(5)] == [200] * 5


@pytest.mark.slow
def test_half_open_connections_do_not_delay_the_end(tmp_path: Path) -> None:
    with running_site(tmp_path) as site, ExitStack() as stack:
        for style in STYLES.values():
            stack.enter_context(site.connect(style))
        time.sleep(0.5)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(buffered_worker.HEAD_S - 1) == 0
