"""Where a request ends: with a length, in chunks, one after the other, and when it is malformed."""

from __future__ import annotations

import pytest

from labeler.cli.request_framing import MAX_HEAD_BYTES, IncomingRequest

GET = b"GET /guide HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n9\r\n\r\n\r\n0\r\n\r\n\r\n0\r\nTrailer: yes\r\n\r\n"
)


def incoming(data: bytes, max_body_bytes: int = 1000) -> IncomingRequest:
    request = IncomingRequest(max_body_bytes)
    request.add(data)
    return request


@pytest.mark.parametrize("whole", [GET, POST, CHUNKED, b"\r\n\r\n" + GET])
def test_a_request_is_complete_with_its_last_byte(whole: bytes) -> None:
    request = IncomingRequest(1000)
    for number in range(len(whole) - 1):
        request.add(whole[number : number + 1])
        assert not request.is_complete, whole[: number + 1]
    request.add(whole[-1:])
    assert request.is_complete
    assert request.take() == whole.lstrip(b"\r\n")
    assert not request.is_complete
    assert len(request) == 0


def test_requests_that_arrive_together_are_taken_one_by_one() -> None:
    request = incoming(POST + CHUNKED + GET + GET[:7])
    assert [request.take(), request.take(), request.take()] == [POST, CHUNKED, GET]
    assert not request.is_complete
    request.add(GET[7:])
    assert request.take() == GET
    with pytest.raises(ValueError, match="not complete"):
        request.take()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: 5, 5\r\n\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 10_000 + b"\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 10_000,
    ],
)
def test_what_is_malformed_goes_to_the_parser_at_once(rest: bytes) -> None:
    assert incoming(b"POST /x HTTP/1.1\r\n" + rest).is_complete


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 1001\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + b"." * 500 + b"\r\n1f5\r\n",
    ],
)
def test_a_body_that_is_too_long_is_not_waited_for(rest: bytes) -> None:
    request = incoming(b"POST /x HTTP/1.1\r\n" + rest)
    assert request.is_complete
    assert request.is_too_long


def test_a_head_without_an_end() -> None:
    assert not incoming(b"GET /x HTTP/1.1\r\nA: ").has_endless_head
    assert incoming(b"GET /x HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES).has_endless_head


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        (b"GET /healthz HTTP/1.1", True),
        (b"HEAD /healthz?now HTTP/1.1", True),
        (b"GET /healthz2 HTTP/1.1", False),
        (b"POST /healthz HTTP/1.1", False),
        (b"GET", False),
        (b"GET /healthz", False),
    ],
)
def test_what_is_asked_for(line: bytes, asks: bool) -> None:
    assert incoming(line + b"\r\n\r\n").asks_for(b"/healthz") is asks


def test_a_client_may_wait_to_be_invited() -> None:
    assert incoming(b"POST /x HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n").expects_continue
    assert not incoming(GET).expects_continue
