"""A site under a path of a host, with other sites beside it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from labeler.accounts import invites
from labeler.app import create_app
from labeler.config import OWN_PATHS, Settings
from labeler.database.engine import Database
from tests.conftest import MakeDataset
from tests.labeler.conftest import PASSWORD, TOKEN, Visit

HOST = "https://uni.example"
ADDRESS = re.compile(r'(?:href|src|action|data-[a-z]+)="(/[^"]*)"')
SITES = {  # by what the proxy does: the path with which requests arrive, and headers
    "strips and tells": ("", {"X-Forwarded-Prefix": "/a/light"}),
    "strips": ("", {}),
    "keeps": ("/a/light", {}),
    "keeps and tells": ("/a/light", {"X-Forwarded-Prefix": "/a/light"}),
    "tells another": ("", {"X-Forwarded-Prefix": "/evil"}),
}
Make = Callable[..., Flask]


@pytest.fixture
def make(db: Database, settings: Settings) -> Iterator[Make]:
    made: list[Flask] = []

    def site(path: str = "", **changes: object) -> Flask:
        address = {"public_url": HOST + path}
        app = create_app(dataclasses.replace(settings, **address, **changes))  # type: ignore[arg-type]
        made.append(app)
        return app

    yield site
    for app in made:
        app.extensions["sidelight_db"].dispose()


def test_every_page_could_be_told_from_a_path(app: Flask) -> None:
    firsts = {rule.rule[1:].partition("/")[0] for rule in app.url_map.iter_rules()} - {""}
    assert firsts == set(OWN_PATHS.pattern.split("|"))


@pytest.mark.parametrize("proxy", SITES)
def test_whatever_the_proxy_does_all_addresses_have_the_path(
    make: Make, db: Database, make_dataset: MakeDataset, proxy: str
) -> None:
    make_dataset(db, 2)
    before, headers = SITES[proxy]
    with db.write() as session:
        _, token = invites.create_invite(session)
    client = make("/a/light").test_client(use_cookies=False)
    cookies: dict[str, str] = {}

    def ask(address: str, form: dict[str, str] | None = None):  # type: ignore[no-untyped-def]
        sent = {"Host": "uni.example", "Referer": f"{HOST}/a/light/", **headers}
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        path = before + address
        answer = (
            client.get(path, headers=sent, buffered=True)
            if form is None
            else client.post(path, data=form, headers=sent)
        )
        for line in answer.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            cookies[name] = value
            assert "Path=/a/light;" in f"{line};"
        return answer

    def linked(text: str) -> None:
        found = ADDRESS.findall(text)
        assert found
        assert all(one.startswith("/a/light/") for one in found), found

    page = ask(f"/join/{token}")
    linked(page.text)
    fields = {"username": "ann", "password": PASSWORD, "csrf_token": TOKEN.findall(page.text)[0][0]}
    assert ask(f"/join/{token}", fields).location.startswith("/a/light/")
    for address in ("", "/") if before else ("/",):
        assert ask(address).location in ("/a/light/", "/a/light/label")
    for address in ("/label", "/grid", "/me", "/account", "/nowhere"):
        linked(ask(address).text)
    assert '"site": "/a/light"' in ask("/label").text
    assert '"leases": "/a/light/label/leases"' in ask("/label").text
    assert ask("/static/site.css").status_code == 200
    assert ask("/admin").location == "/a/light/admin/"
    cookies.clear()
    back = ask("/me?x=1")
    assert (back.status_code, 'value="/a/light/me?x=1"' in back.text) == (401, True)


def test_invite_links_have_the_path_once(make: Make, visit: Visit, settings: Settings) -> None:
    site = make("/a/light")
    client, known = site.test_client(), visit("admin").client
    name = known.application.config["SESSION_COOKIE_NAME"]
    cookie = known.get_cookie(name)
    assert cookie is not None
    own = {"domain": "uni.example", "path": "/a/light"}
    client.set_cookie(site.config["SESSION_COOKIE_NAME"], cookie.value, **own)
    page = client.get("/a/light/admin/invites", base_url=HOST)
    form = {"role": "annotator", "max_uses": "1", "days": "1", "note": "x"}
    form |= {"csrf_token": TOKEN.findall(page.text)[0][0]}
    made = client.post(
        "/a/light/admin/invites", data=form, base_url=HOST, headers={"Referer": HOST}
    )
    assert made.location == "/a/light/admin/invites"
    page = client.get(made.location, base_url=HOST)
    assert re.search(r'value="https://uni\.example/a/light/join/[^/"]+"', page.text)
    public = dataclasses.replace(settings, public_url=f"{HOST}/a/light").address
    assert invites.invite_address(public, "T") == f"{HOST}/a/light/join/T"


def test_sites_of_one_host_have_cookies_of_their_own(make: Make) -> None:
    """Browsers send cookies to all ports, and those of the path / to all paths."""
    first, second = make(secret_key="0123456789" * 4), make(secret_key="abcdefghij" * 4)
    names = {app.config["SESSION_COOKIE_NAME"] for app in (first, second)}
    assert len(names) == 2
    again = make(secret_key="0123456789" * 4)
    assert again.config["SESSION_COOKIE_NAME"] == first.config["SESSION_COOKIE_NAME"]


def cookie_of(app: Flask) -> str:
    client: FlaskClient = app.test_client()
    return client.get("/sign-in", base_url=HOST).headers["Set-Cookie"]


def test_over_https_a_cookie_with_a_path_has_the_other_prefix(make: Make) -> None:
    """Browsers take `__Host-` with the path / only."""
    whole, part = make(cookie_secure=True), make("/a", cookie_secure=True)
    assert cookie_of(whole).startswith("__Host-sidelight-")
    assert cookie_of(part).startswith("__Secure-sidelight-")
    assert "Path=/a;" in cookie_of(part)
    assert "Secure;" in cookie_of(part)
