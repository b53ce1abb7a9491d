"""A worker of gunicorn that gives a thread to a request only when all of it has arrived.

gunicorn's own threads wait for heads and bodies, and for people to read the answer. A few silent
connections then hold all of them. Here one loop reads and writes all sockets without waiting, so a
thread works on whole requests only, and a connection that waits costs a few kilobytes.

Every wait has an end: for the head, for the body, for the next request and for the reading of the
answer. If there are too many connections, the one that has waited longest gives way.
"""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.http.unreader import Unreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from labeler.cli.request_framing import IncomingRequest

HEAD_S = 10.0  # from the connection, or from the first byte of a later request
BODY_S = 10.0  # from the head, and longer while the body arrives at the rate below
SEND_S = 20.0  # the same for the answer
LOWEST_RATE = 16 * 1024  # bytes a second
STOP_S = 2.0  # how long a server that stops waits for requests that have begun to arrive
LINGER_S = 2.0  # how long the rest of a refused request is read, so that the answer arrives
LOOK_S = 0.5  # between two looks at the deadlines
READ_BYTES = 64 * 1024
MAX_BODY_BYTES = 17 * 1024 * 1024  # a little more than the site accepts
BIG_BYTES = 128 * 1024  # all connections together hold `MAX_BIG_BYTES` beyond this size
MAX_BIG_BYTES = 64 * 1024 * 1024
SPOOL_BYTES = 256 * 1024  # more of an answer that nobody reads goes to a file
ACCEPTS = 64  # at most in one turn of the loop
HEALTH_PATH = b"/healthz"
HEALTH_THREADS = 2  # beside the others, so that it is answered when all others are busy
OPEN_FILES = 4096  # as many as the system allows, up to this number
SPARE_FILES = 256  # for databases, images and modules

_NO_MEMORY = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _refusal(status: str, words: str, *fields: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Connection: close", "Content-Type: text/plain; charset=utf-8"]
    head += [f"Content-Length: {len(words)}", *fields]
    return ("\r\n".join(head) + "\r\n\r\n" + words).encode()


_LATE = _refusal("408 Request Timeout", "The request did not arrive in time. Send it again.\n")
_LONG_HEAD = _refusal("431 Request Header Fields Too Large", "The head is too long.\n")
_FULL = _refusal(
    "503 Service Unavailable",
    "Too many large uploads arrive at this moment. Try again soon.\n",
    "Retry-After: 5",
)


class _Received(Unreader):
    """The source of gunicorn's parser: one whole request, and nothing after it."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        return b""


class _Outbox:
    """Stands for the socket while a thread writes the answer, and never waits.

    What the network does not take at once is kept, above `SPOOL_BYTES` in a file. The loop sends
    it later.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._kept: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._sent = self._size = 0

    @property
    def is_empty(self) -> bool:
        return self._kept is None

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        if self._kept is not None:
            self.flush()
        if self._kept is None:
            rest = rest[self._send(rest) :]
            if not rest:
                return
            self._kept = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115
            self._sent = self._size = 0
        self._kept.seek(self._size)
        self._kept.write(rest)
        self._size += len(rest)

    def flush(self) -> int:
        """Send what the network takes now; returns the number of bytes."""
        before = self._sent
        while self._kept is not None:
            self._kept.seek(self._sent)
            piece = self._kept.read(SPOOL_BYTES)
            taken = self._send(memoryview(piece))
            self._sent += taken
            if self._sent == self._size:
                self.discard()
            elif taken < len(piece):
                break
        return self._sent - before

    def discard(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _send(self, data: memoryview) -> int:
        sent = 0
        while sent < len(data):
            try:
                sent += self._raw.send(data[sent:])
            except BlockingIOError:
                break
        return sent

    # The rest of what gunicorn asks of a socket.

    def send(self, data: bytes) -> int:
        """Only "100 Continue", which the loop has sent already."""
        return len(data)

    def setblocking(self, _blocking: bool) -> None:
        """It never blocks."""

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, _how: int) -> None:
        raise OSError(errno.ENOTCONN, "the loop closes the connection")

    def close(self) -> None:
        """The loop closes the connection."""


class _Connection(TConn):
    """A connection. Either the loop has it, or a thread has it."""

    def __init__(self, cfg: Any, raw: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, raw, client, server)  # makes the socket non-blocking
        self.raw = raw
        self.sock = self.outbox = _Outbox(raw)
        self.initialized = self.data_ready = True  # nothing to wait for in a thread
        self.parser = http.get_parser(cfg, (), client)
        self.parser.unreader = _Received()
        self.request = IncomingRequest(MAX_BODY_BYTES)
        self.deadline = 0.0
        self.is_lingering = self.is_unread = self.keeps_alive = False
        self.big_bytes = 0


class BufferedWorker(ThreadWorker):
    """gunicorn's threaded worker, with sockets that only the loop reads and writes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._most = self.cfg.worker_connections
        self.worker_connections = sys.maxsize  # `_make_room` keeps the limit
        self._waiting: dict[_Connection, None] = {}  # those that the loop has, longest wait first
        self._big_bytes = 0
        self._next_look = 0.0
        self._health = ThreadPoolExecutor(HEALTH_THREADS, "health")

    def init_process(self) -> None:
        self._most = min(self._most, _raise_file_limit() - SPARE_FILES)
        super().init_process()

    # --- A connection arrives and sends a request.

    def accept(self, listener: Any) -> None:
        """Accept the connections that wait."""
        for _ in range(ACCEPTS):
            try:
                raw, client = listener.accept()
            except OSError as error:
                if error.errno in _NO_MEMORY and self._give_way():
                    continue
                if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, *_NO_MEMORY):
                    raise
                return
            self.nr_conns += 1
            conn = _Connection(self.cfg, raw, client, listener.getsockname())
            while self.nr_conns > self._most and self._give_way():
                pass
            self._wait(conn, selectors.EVENT_READ, HEAD_S, self._on_readable)

    def _give_way(self) -> bool:
        """Close the connection that has waited longest; returns whether there was one."""
        for conn in self._waiting:
            self._drop(conn)
            return True
        return False

    def _on_readable(self, conn: _Connection, _socket: Any) -> None:
        try:
            data = conn.raw.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        began, had_head = len(conn.request) > 0, conn.request.has_head
        conn.request.add(data)
        if not self._count_big(conn):
            self._refuse(conn, _FULL)
        elif conn.request.has_endless_head:
            self._refuse(conn, _LONG_HEAD)
        elif conn.request.is_complete:
            self._release(conn)
            self._hand_over(conn)
        elif conn.request.has_head:
            now = time.monotonic()
            if not had_head:
                conn.deadline = now + BODY_S
                self._invite(conn)
            else:
                conn.deadline += len(data) / LOWEST_RATE
        elif not began:
            conn.deadline = time.monotonic() + HEAD_S

    def _invite(self, conn: _Connection) -> None:
        """Tell a client that waits for it to send the body."""
        if conn.request.expects_continue:
            with suppress(OSError):
                conn.raw.send(_CONTINUE)

    def _count_big(self, conn: _Connection) -> bool:
        """Whether all large bodies together are within the limit."""
        big = max(0, len(conn.request) - BIG_BYTES)
        self._big_bytes += big - conn.big_bytes
        conn.big_bytes = big
        return not big or self._big_bytes <= MAX_BIG_BYTES

    def _hand_over(self, conn: _Connection) -> None:
        pool = self._health if conn.request.asks_for(HEALTH_PATH) else self.tpool
        conn.is_unread = conn.request.is_too_long
        conn.parser.unreader.unread(conn.request.take())
        future = pool.submit(self.handle, conn)
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    # --- A thread has made the answer.

    def finish_request(self, conn: _Connection, future: Future[Any]) -> None:
        """Send the rest of the answer, then wait for the next request or close."""
        self._big_bytes -= conn.big_bytes
        conn.big_bytes = 0
        keeps = not future.cancelled() and future.exception() is None and bool(future.result())
        # If gunicorn's parser left bytes of the request, nobody knows where the next one begins.
        surplus = bool(conn.parser.unreader.take_buffered())
        conn.keeps_alive = keeps and not conn.is_unread and not surplus
        self._wait(conn, selectors.EVENT_WRITE, SEND_S, self._on_writable, sends=True)

    def _on_writable(self, conn: _Connection, _socket: Any) -> None:
        try:
            conn.deadline += conn.outbox.flush() / LOWEST_RATE
        except OSError:
            self._drop(conn)
            return
        if conn.outbox.is_empty:
            self._release(conn)
            self._after_answer(conn)

    def _after_answer(self, conn: _Connection) -> None:
        if conn.is_unread:
            self._linger(conn)
        elif not conn.keeps_alive:
            self._close(conn)
        elif conn.request.is_complete:
            self._hand_over(conn)
        else:
            seconds = HEAD_S if len(conn.request) else self.cfg.keepalive
            self._wait(conn, selectors.EVENT_READ, seconds, self._on_readable)

    # --- Waiting and its ends.

    def _wait(
        self, conn: _Connection, event: int, seconds: float, then: Any, sends: bool = False
    ) -> None:
        """Let the loop have the connection."""
        if sends and conn.outbox.is_empty:
            self._after_answer(conn)
            return
        limit = seconds if self.alive else min(seconds, STOP_S)
        conn.deadline = time.monotonic() + limit
        self._waiting[conn] = None
        self.poller.register(conn.raw, event, partial(then, conn))

    def _release(self, conn: _Connection) -> None:
        self._waiting.pop(conn, None)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.raw)

    def _refuse(self, conn: _Connection, answer: bytes) -> None:
        with suppress(OSError):
            conn.raw.send(answer)
        self._release(conn)
        self._linger(conn)

    def _linger(self, conn: _Connection) -> None:
        """Read what still arrives for a moment. Otherwise the client might not see the answer."""
        self._big_bytes -= conn.big_bytes
        conn.big_bytes, conn.request = 0, IncomingRequest(0)
        conn.is_lingering = True
        try:
            conn.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        self._wait(conn, selectors.EVENT_READ, LINGER_S, self._on_surplus)

    def _on_surplus(self, conn: _Connection, _socket: Any) -> None:
        with suppress(BlockingIOError):
            try:
                if conn.raw.recv(READ_BYTES):
                    return
            except ConnectionError:
                pass
            self._drop(conn)

    def _drop(self, conn: _Connection) -> None:
        self._release(conn)
        self._close(conn)

    def _close(self, conn: _Connection) -> None:
        self._big_bytes -= conn.big_bytes
        conn.big_bytes = 0
        self.nr_conns -= 1
        conn.outbox.discard()
        conn.raw.close()

    def murder_pending(self) -> None:
        """Close the connections whose time is over."""
        now = time.monotonic()
        if now < self._next_look and self.alive:
            return
        self._next_look = now + LOOK_S
        for conn in [one for one in self._waiting if one.deadline <= now]:
            if len(conn.request) and conn.outbox.is_empty and not conn.is_lingering:
                self._refuse(conn, _LATE)
            else:
                self._drop(conn)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close all connections if the process ends."""
        for conn in list(self._waiting) if force else ():
            self._drop(conn)
        if force:
            self._health.shutdown(wait=False)

    def _cap_keepalive(self, deadline: float) -> None:
        """The process stops: give the connections that wait until `deadline` at most."""
        for conn in self._waiting:
            if conn.outbox.is_empty:
                conn.deadline = min(conn.deadline, deadline)


def _raise_file_limit() -> int:
    """Let this process open up to `OPEN_FILES` files; returns how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return OPEN_FILES if soft == resource.RLIM_INFINITY else int(soft)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
