"""Where a request ends in the bytes of a connection, found without waiting for any of them."""

from __future__ import annotations

import re

MAX_HEAD_BYTES = 64 * 1024
MAX_LINE_BYTES = 8 * 1024  # of the length of a chunk
HEAD_END, LINE_END = b"\r\n\r\n", b"\r\n"
_FIELDS = re.compile(
    rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)

_CHUNK_SIZE = re.compile(rb"([0-9a-f]{1,15})[ \t]*(?:;|$)", re.IGNORECASE)


class IncomingRequest:
    """The bytes of a connection that no thread has taken yet.

    It only finds out how many bytes belong to the first request. gunicorn's parser reads and judges
    them afterwards, and gets no byte more. So a mistake here can never move the border between two
    requests; it can only end the connection.

    Parameters:
        max_body_bytes: a longer body is not read; see `is_too_long`.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._data = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._body_at = -1  # -1: the head is not complete
        self._end: int | None = None  # None: not known yet
        self._searched = 0
        self.expects_continue = False
        self.is_too_long = False

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._data += data
        self._look()

    @property
    def has_head(self) -> bool:
        """Whether all lines of the head have arrived."""
        return self._body_at >= 0

    @property
    def is_complete(self) -> bool:
        """Whether a whole request has arrived, or as much of it as will be read."""
        return self._end is not None and len(self._data) >= self._end

    @property
    def has_endless_head(self) -> bool:
        """Whether the head is longer than `MAX_HEAD_BYTES`."""
        return not self.has_head and len(self._data) > MAX_HEAD_BYTES

    def asks_for(self, path: bytes) -> bool:
        """Whether the request is a GET or HEAD of that path."""
        method, _, rest = bytes(self._data[: len(path) + 16]).partition(b" ")
        asked = rest[: len(path)]
        return method in (b"GET", b"HEAD") and asked == path and rest[len(path)] in b" ?"

    def take(self) -> bytes:
        """Take the request that is complete. What follows it stays.

        Raises:
            ValueError: no request is complete.
        """
        if not self.is_complete:
            raise ValueError("The request is not complete.")
        taken = bytes(self._data[: self._end])
        del self._data[: self._end]
        self._begin()
        self._look()
        return taken

    def _look(self) -> None:
        if not self.has_head:
            self._look_for_head()
        if self.has_head and self._end is None:
            self._look_for_last_chunk()

    def _look_for_head(self) -> None:
        while self._data[:2] == LINE_END:  # clients may send an empty line first
            del self._data[:2]
        found = self._data.find(HEAD_END, self._searched)
        if found < 0:
            self._searched = max(0, len(self._data) - len(HEAD_END))
            return
        self._body_at = self._searched = found + len(HEAD_END)
        fields: dict[bytes, bytes] = {}
        for name, value in _FIELDS.findall(self._data, 0, found):
            fields[name.lower()] = value.strip().lower()
        self.expects_continue = fields.get(b"expect") == b"100-continue"
        if b"transfer-encoding" not in fields:
            self._end = self._end_by_length(fields.get(b"content-length", b"0"))

    def _end_by_length(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 18:
            return self._body_at  # the parser refuses the request
        length = int(text)
        self.is_too_long = length > self._max_body_bytes
        return self._body_at + (0 if self.is_too_long else length)

    def _look_for_last_chunk(self) -> None:
        while self._end is None:
            line_end = self._data.find(LINE_END, self._searched)
            if line_end < 0:
                if len(self._data) - self._searched > MAX_LINE_BYTES:
                    self._end = len(self._data)  # no length; the parser refuses it
                return
            size = _chunk_size(bytes(self._data[self._searched : line_end]))
            if size is None:
                self._end = len(self._data)  # the parser refuses it
            elif size == 0:
                self._look_for_trailers(line_end)
                return
            elif line_end + size - self._body_at > self._max_body_bytes:
                self.is_too_long, self._end = True, self._searched
            else:
                following = line_end + len(LINE_END) + size + len(LINE_END)
                if len(self._data) < following:
                    return
                self._searched = following

    def _look_for_trailers(self, line_end: int) -> None:
        found = self._data.find(HEAD_END, line_end)
        if found >= 0:
            self._end = found + len(HEAD_END)
        elif len(self._data) - line_end > MAX_HEAD_BYTES:
            self._end = len(self._data)  # the parser refuses it


def _chunk_size(line: bytes) -> int | None:
    found = _CHUNK_SIZE.match(line)
    return int(found[1], 16) if found else None
