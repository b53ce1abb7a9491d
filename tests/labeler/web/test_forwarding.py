"""Forwarding headers and the Host header: what strangers write there is not believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.web import access
from labeler.web.forwarding import TrustedProxies
from tests.labeler.conftest import TOKEN

Make = Callable[..., FlaskClient]
PUBLIC = "https://light.example.org"


@pytest.fixture
def make(db: Database, settings: Settings) -> Iterator[Make]:
    """`make(public_url=...)`: a client of a site with these settings. `/who` tells who calls."""
    made: list[Flask] = []

    def site(**changes: object) -> FlaskClient:
        app = create_app(dataclasses.replace(settings, **changes))  # type: ignore[arg-type]
        who = access.public(lambda: [request.remote_addr, request.scheme, request.host])
        app.add_url_rule("/who", "who", who)
        made.append(app)
        return app.test_client()

    yield site
    for app in made:
        app.extensions["sidelight_db"].dispose()


def who(client: FlaskClient, peer: str, **headers: str) -> list[str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get("/who", headers=names, environ_base={"REMOTE_ADDR": peer})
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.get_json()
    return found


def test_a_made_up_address_does_not_escape_the_limit(make: Make) -> None:
    """The port is open, as with `serve --host 0.0.0.0` and a public address."""
    client = make(public_url="http://192.0.2.7:8000", host="0.0.0.0", login_attempts=1)
    statuses = []
    for number in range(22):
        caller = {"REMOTE_ADDR": "198.51.100.9"}
        page = client.get("/sign-in", headers={"Host": "192.0.2.7:8000"}, environ_base=caller)
        token = TOKEN.search(page.text)
        assert token is not None
        form = {"username": f"guess{number}", "password": "x", "csrf_token": token[1]}
        headers = {"X-Forwarded-For": f"203.0.113.{number}", "Host": "192.0.2.7:8000"}
        answer = client.post("/sign-in", data=form, headers=headers, environ_base=caller)
        statuses.append(answer.status_code)
    assert statuses == [401] * 20 + [429] * 2


def test_by_default_only_this_machine_is_a_proxy_and_only_if_the_port_is_closed(make: Make) -> None:
    header = {"X_Forwarded_For": "203.0.113.5", "Host": "localhost"}
    closed = make(public_url=PUBLIC)
    assert who(closed, "127.0.0.1", **header)[0] == "203.0.113.5"
    assert who(closed, "::1", **header)[0] == "203.0.113.5"
    assert who(closed, "198.51.100.9", **header)[0] == "198.51.100.9"
    for other in (make(public_url=PUBLIC, host="0.0.0.0"), make()):
        assert who(other, "127.0.0.1", **header)[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "caller"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("192.0.2.66, 203.0.113.5", "203.0.113.5"),  # the first was sent by the caller
        ("192.0.2.66, 203.0.113.5, 10.0.0.9", "203.0.113.5"),  # a chain of two proxies
        ("10.0.0.7, 10.0.0.9", "10.0.0.7"),
        ("nonsense", "10.0.0.1"),
        ("203.0.113.5, nonsense", "10.0.0.1"),
        ("203.0.113.5, nonsense, 10.0.0.9", "10.0.0.9"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("", "10.0.0.1"),
    ],
)
def test_the_list_is_walked_from_the_right(make: Make, given: str, caller: str) -> None:
    client = make(public_url=PUBLIC, trusted_proxies=("10.0.0.0/24",))
    header = {"X_Forwarded_For": given, "Host": "light.example.org"}
    assert who(client, "10.0.0.1", **header)[0] == caller


def test_scheme_and_host_come_from_a_trusted_proxy_only(make: Make) -> None:
    client = make(trusted_proxies=("10.0.0.1/32",))
    headers = {
        "Host": "backend:8000",
        "X_Forwarded_Proto": "gopher, https",
        "X_Forwarded_Host": "evil.example, light.example.org",
        "X_Forwarded_Prefix": "/evil",
        "Forwarded": "for=192.0.2.66;host=evil.example",
    }
    assert who(client, "10.0.0.1", **headers) == ["10.0.0.1", "https", "light.example.org"]
    assert who(client, "10.0.0.2", **headers) == ["10.0.0.2", "http", "backend:8000"]


def test_a_socket_of_this_machine_is_trusted_only_when_it_is_named() -> None:
    seen: list[str] = []

    def app(environ: dict[str, str], _start: object) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    for proxies in ((), ("127.0.0.0/8",), ("unix",)):
        environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "203.0.113.5"}
        TrustedProxies(app, proxies)(environ, None)  # type: ignore[arg-type]
    assert seen == ["", "", "203.0.113.5"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("light.example.org", 401),
        ("LIGHT.example.org:443", 401),
        ("light.example.org.", 401),
        ("localhost:8000", 401),
        ("127.0.0.1:8000", 401),
        ("[::1]:8000", 401),
        ("10.1.2.3:8000", 401),  # the address that the site listens on
        ("evil.example", 400),
        ("light.example.org.evil.example", 400),
        ("evil.example:light.example.org", 400),
        ("light.example.org@evil.example", 400),
    ],
)
def test_only_the_own_names_are_answered(make: Make, host: str, status: int) -> None:
    client = make(public_url=PUBLIC, host="10.1.2.3")
    answer = client.get("/admin/people", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert f"Open {PUBLIC} instead" in answer.text or "could not be understood" in answer.text


def test_a_foreign_name_from_a_trusted_proxy_is_refused_too(make: Make) -> None:
    client = make(public_url=PUBLIC)
    headers = {"X-Forwarded-Host": "evil.example", "Host": "light.example.org"}
    for address in ("/admin", "/sign-in", "/nowhere", "/static/site.css"):
        answer = client.get(address, headers=headers)
        assert answer.status_code == 400, address
        assert "evil.example" not in answer.headers.get("Location", "")


def test_programs_get_the_refusal_as_json(make: Make) -> None:
    headers = {"Host": "evil.example", "Accept": "application/json"}
    answer = make(public_url=PUBLIC).get("/me", headers=headers)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (400, "foreign_host")


def test_the_health_check_is_reached_by_any_address(make: Make) -> None:
    answer = make(public_url=PUBLIC).get("/healthz", headers={"Host": "10.9.8.7:8000"})
    assert answer.status_code == 200


@pytest.mark.parametrize("public_url", [None, PUBLIC])
def test_a_redirect_never_carries_the_name_that_was_sent(
    make: Make, public_url: str | None
) -> None:
    client = make(public_url=public_url)
    for host in ("evil.example", "light.example.org"):
        for address in ("/admin", "/admin?x=1", "/"):
            answer = client.get(address, headers={"Host": host, "X-Forwarded-Host": host})
            assert "://" not in answer.headers.get("Location", "")
            if answer.status_code == 308:
                assert answer.location in ("/admin/", "/admin/?x=1")
