"""A cheap HTTP client: it shares the processors with the site.

Each person has one connection that is kept alive. A request without an answer is sent again on a
new connection.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 20.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


@dataclass
class Timing:
    """Of one kind of request: milliseconds from the first attempt to the acknowledgement.

    Attributes:
        retried_ms: of those that had to be sent more than once.
        failures: how often each other answer came, by its status and its words.
    """

    ms: list[float] = field(default_factory=list)
    retried_ms: list[float] = field(default_factory=list)
    attempts: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def note_failure(self, status: int, body: bytes) -> None:
        """One answer that was no acknowledgement; status 0: none came."""
        self.failures[f"{status} {_words(body)}" if status else "no answer"] += 1

    def note(self, waited_s: float, attempts: int) -> None:
        """One request that was acknowledged at last."""
        self.attempts += attempts
        (self.ms if attempts == 1 else self.retried_ms).append(1000 * waited_s)


class RefusedError(Exception):
    """An answer that will be the same next time."""


class Browser:
    """One person's connection."""

    def __init__(self, port: int, cookie: str, annotator_id: int) -> None:
        self._port = port
        self._common = (
            f"Host: 127.0.0.1:{port}\r\nAccept: application/json\r\n"
            f"X-Annotator: {annotator_id}\r\nCookie: "
        )
        self._cookie = cookie
        self._token = ""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def sign_in(self) -> None:
        """Fetch the CSRF token, as a page holds it, with the cookie that belongs to it."""
        request = f"GET /label/state HTTP/1.1\r\n{self._common}{self._cookie}\r\n\r\n"
        _, head, body = await self._exchange(request.encode())
        self._token = json.loads(body)["csrf_token"]
        for line in head.split("\r\n"):
            if line.lower().startswith("set-cookie:"):
                self._cookie = line.split(":", 1)[1].split(";", 1)[0].strip()

    async def post(self, path: str, body: dict[str, Any], timing: Timing) -> dict[str, Any]:
        """Send until it is acknowledged; returns the answer.

        Raises:
            RefusedError: the server does not take it.
        """
        request = self._request(path, json.dumps(body).encode())
        answer = await self._send(path, request, timing, str(body))
        return dict(json.loads(answer))

    async def get(self, path: str, timing: Timing) -> bytes:
        """Ask until there is an answer; returns it.

        Raises:
            RefusedError: the server does not give it.
        """
        request = f"GET {path} HTTP/1.1\r\n{self._common}{self._cookie}\r\n\r\n"
        return await self._send(path, request.encode(), timing)

    async def _send(self, path: str, request: bytes, timing: Timing, sent: str = "") -> bytes:
        started, attempts, pause_s = time.perf_counter(), 0, FIRST_PAUSE_S
        while True:
            attempts += 1
            try:
                status, _, answer = await asyncio.wait_for(self._exchange(request), TIMEOUT_S)
            except (OSError, EOFError, TimeoutError):
                status, answer = 0, b""
            if 200 <= status < 300:
                timing.note(time.perf_counter() - started, attempts)
                return answer
            timing.note_failure(status, answer)
            if 400 <= status < 500:
                raise RefusedError(f"{path} {sent}: {status} {answer.decode()}")
            self.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    def _request(self, path: str, body: bytes) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\n{self._common}{self._cookie}\r\n"
            f"X-CSRFToken: {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            opened = await asyncio.open_connection("127.0.0.1", self._port)
            self._reader, self._writer = opened
        reader, writer = self._reader, self._writer
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        body = await reader.readexactly(_length(head))
        if "connection: close" in head.lower():
            self.close()
        return int(head.split(" ", 2)[1]), head, body


def _words(body: bytes) -> str:
    """The message of an answer for programs, or the beginning of another one."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:80]


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        if line[:15].lower() == "content-length:":
            return int(line[15:])
    return 0
