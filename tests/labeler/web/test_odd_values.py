"""Numbers, texts and JSON that no column holds: each page refuses them, on both databases."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import BigInteger, Integer, select
from werkzeug.routing import Rule

from labeler.accounts import invites, sessions
from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.base import MAX_ID, MAX_VOTE_ID, Base, largest_whole
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.web.images.datasets import HASH_DIGITS
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, ids, lease, make_gold, publish_run, queue, vote
from tests.labeler.conftest import Browser
from tests.labeler.web.known_fields import fields_of

ODD_NUMBERS = (
    "0",
    "-1",
    str(2**15),
    str(2**31 - 1),
    str(2**31),
    str(2**63 - 1),
    str(2**63),
    "9" * 5_000,
    "1e400",
    "٣",
)
CHANGE_THE_SESSION = {
    "accounts.do_sign_in",
    "accounts.do_join",
    "accounts.revoke_others",
    "accounts.change_password",
}
NOTHING_TO_READ = {"static", "accounts.sign_out"}


@pytest.fixture
def any_app(any_db: Database, settings: Settings) -> Iterator[Flask]:
    """The site, once on SQLite and once on PostgreSQL."""
    app = create_app(replace(settings, database_url=any_db.url))
    yield app
    app.extensions["sidelight_db"].dispose()


@pytest.fixture
def join(any_app: Flask, any_db: Database, make_annotator: MakeAnnotator) -> Callable[..., Browser]:
    """`join("admin")`: a browser that is signed in with that role."""

    def signed_in(role: str) -> Browser:
        person = make_annotator(any_db, role=role)
        with any_db.write() as session:
            settings = any_app.extensions["sidelight_settings"]
            token = sessions.open_session(session, person, "tests", settings)
        client = any_app.test_client()
        with client.session_transaction() as cookie:
            cookie["token"] = token
        return Browser(client, person.id)

    return signed_in


@pytest.fixture
def known(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> dict[str, Any]:
    """A campaign with votes, gold and a model; returns values that fit each route."""
    dataset_id = make_dataset(any_db, 6)
    publish_run(any_db, dataset_id, dict.fromkeys(queue(any_db), (0.6, 0.3, 0.1)), NOON)
    ada = make_annotator(any_db).id
    voted, *_ = ids(lease(any_db, ada, 3, settings))
    vote_id = vote(any_db, ada, voted, "left", settings).vote_id
    make_gold(any_db, {voted: "left"})
    with any_db.write() as session:
        _, token = invites.create_invite(session)
        image = session.get_one(Image, voted)
        campaign_id = session.scalars(select(Campaign.id)).one()
    return {
        "token": token,
        "sha_prefix": image.sha256[:HASH_DIGITS],
        "filename": "site.css",
        "image_id": voted,
        "vote_id": vote_id,
        "campaign_id": campaign_id,
        "annotator_id": ada,
        "session_id": 999,  # 1 would sign the admin out
    }


def address(rule: Rule, values: dict[str, Any]) -> str:
    return rule.build({name: values.get(name, 1) for name in rule.arguments})[1]  # type: ignore[index]


def walk(app: Flask) -> list[tuple[Rule, str]]:
    return [
        (rule, method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in NOTHING_TO_READ
        for method in sorted((rule.methods or set()) & {"GET", "POST"})
    ]


def client_for(rule: Rule, admin: Browser) -> Browser:
    """The admin's browser; for routes that end or change a session, one that is signed out."""
    if rule.endpoint not in CHANGE_THE_SESSION:
        return admin
    return Browser(admin.client.application.test_client(), None)


def test_a_number_in_the_path_of_any_route(
    any_app: Flask, join: Callable[..., Browser], known: dict[str, Any]
) -> None:
    admin = join("admin")
    token = admin.token()
    met = 0
    for rule, method in walk(any_app):
        for name in rule.arguments - {"token", "sha_prefix", "filename", "topic"}:
            plain = address(rule, known | {name: 424242})
            for number in ODD_NUMBERS:
                path = plain.replace("424242", number)
                answer = admin.client.open(path, method=method, data={"csrf_token": token})
                assert answer.status_code < 500, f"{method} {path[:80]}"
                met += 1
    assert met > 200
    assert admin.get("/admin/").status_code == 200, "the admin was signed in to the end"


@pytest.mark.slow
def test_a_number_in_any_field_of_any_route(
    any_app: Flask, join: Callable[..., Browser], known: dict[str, Any]
) -> None:
    admin = join("admin")
    met = 0
    for rule, method in walk(any_app):
        browser = client_for(rule, admin)
        headers = {"X-CSRFToken": browser.token()}
        path = address(rule, known)
        for name in fields_of(any_app, rule):
            for number in ODD_NUMBERS[2:8]:
                sent = {"query_string": {name: number}}
                if method == "POST":
                    sent = {"data": _whole_form(name, number), "headers": headers}
                answer = browser.client.open(path, method=method, **sent)
                assert answer.status_code < 500, f"{method} {path} {name}={number[:30]}"
                met += 1
    assert met > 1_000
    assert admin.get("/admin/").status_code == 200, "the admin was signed in to the end"


def _whole_form(name: str, number: str) -> dict[str, str]:
    """A form that gets past the checks before the field in question."""
    fine = {"size": "24", "label": "left", "source": "model", "batch": "grid" + "0" * 16}
    fine |= {"seen": "0", "decision": "left", "image_id": "1", "request_id": "12345678"}
    fine |= {"min_votes": "3", "count": "3", "max_uses": "1", "days": "1", "answer": "left"}
    fine |= {"sample": "", "seed": "0", "dataset": "1", "role": "annotator", "username": "someone"}
    if name == "answer-1":
        return fine | {f"answer-{number}": "left"}
    return fine | {name: number}


def test_a_number_in_the_json_of_a_vote(
    join: Callable[..., Browser], known: dict[str, Any]
) -> None:
    browser = join("annotator")
    headers = {"X-CSRFToken": browser.token(), "Content-Type": "application/json"}
    good = {
        "image_id": str(known["image_id"]),
        "answer": '"left"',
        "request_id": '"12345678"',
        "elapsed_ms": "5",
        "then": "1",
    }
    odd = (*ODD_NUMBERS[:-2], "1.5", "1e400", "NaN", "true", "null", "[]", '"\\ud800"', '"\\u0000"')
    for name in good:
        for value in odd:
            body = ", ".join(f'"{key}": {text}' for key, text in (good | {name: value}).items())
            answer = browser.client.post("/label/votes", data=f"{{{body}}}", headers=headers)
            assert answer.status_code < 500, f"{name}={value[:30]}"
    for value in odd:
        answer = browser.client.post("/label/leases", data=f'{{"count": {value}}}', headers=headers)
        assert answer.status_code < 500, value[:30]


@pytest.mark.parametrize(
    "text",
    [
        "a\0b",
        # Each goes into every field of the site, which takes seconds.
        *(
            pytest.param(t, marks=pytest.mark.slow)
            for t in ("\ud800", "\x7f", "\u202e", "\U0010ffff" * 40)
        ),
    ],
)
def test_a_text_that_a_database_may_refuse(
    any_app: Flask, join: Callable[..., Browser], known: dict[str, Any], text: str
) -> None:
    admin = join("admin")
    for rule, method in walk(any_app):
        browser = client_for(rule, admin)
        headers = {"X-CSRFToken": browser.token()}
        path = address(rule, known)
        for name in fields_of(any_app, rule):
            raw = text.encode("utf-8", "surrogatepass")
            if method == "GET":
                answer = browser.client.get(f"{path}?{name}={quote(raw)}")
            else:
                form = _whole_form(name, "1")
                form[name] = raw  # type: ignore[assignment]
                answer = browser.client.post(path, data=form, headers=headers)
            assert answer.status_code < 500, f"{method} {path} {name}={text!r}"
    assert admin.get("/admin/").status_code == 200, "the admin was signed in to the end"


@pytest.mark.parametrize("field", ["file", "list"])
@pytest.mark.parametrize(
    "content",
    [
        b"a\0.jpg\n",
        b"filename,label\na\0.jpg,left\n",
        b"\xff\xfe",
        b'filename,label,"' + b"y" * 140_000 + b'"\n',  # more than the csv module reads
        b'filename,label\n"' + b"y" * 140_000 + b'",left\n',
    ],
    ids=["nul", "nul in a cell", "no UTF-8", "long header", "long cell"],
)
def test_an_uploaded_file_that_is_no_text(
    join: Callable[..., Browser], known: dict[str, Any], field: str, content: bytes
) -> None:
    admin = join("admin")
    address = {"file": "/admin/gold/import", "list": "/admin/campaigns"}[field]
    form: dict[str, Any] = _whole_form("name", "a name")
    form |= {field: (io.BytesIO(content), "list.csv"), "csrf_token": admin.token()}
    assert admin.client.post(address, data=form).status_code == 422


def test_a_part_without_a_name(
    any_app: Flask, join: Callable[..., Browser], known: dict[str, Any]
) -> None:
    admin = join("admin")
    heads = ("", '; filename="a.csv"', '; name"note"')
    for rule, method in walk(any_app):
        if method == "POST":
            browser = client_for(rule, admin)
            headers = {"X-CSRFToken": browser.token()}
            headers["Content-Type"] = "multipart/form-data; boundary=limit"
            for head in heads:
                part = f"--limit\r\nContent-Disposition: form-data{head}\r\n\r\nx\r\n"
                body = f"{part}--limit--\r\n"
                answer = browser.client.post(address(rule, known), data=body, headers=headers)
                assert 400 <= answer.status_code < 500, f"{rule} {head}: {answer.status_code}"


def test_the_largest_numbers_are_those_of_the_columns() -> None:
    keys = [
        column
        for table in Base.metadata.tables.values()
        for column in table.primary_key.columns
        if isinstance(column.type, Integer)
    ]
    assert len(keys) > 15
    for column in keys:
        expected = MAX_VOTE_ID if isinstance(column.type, BigInteger) else MAX_ID
        assert largest_whole(column.type) == expected, column
