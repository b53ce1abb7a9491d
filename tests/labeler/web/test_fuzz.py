"""A fuzz run: thousands of random requests to every route, by people of every role.

The routes come from the application, and the fields from its pages and its code, so that a new
page is covered by itself. SIDELIGHT_TEST_FUZZ_SEED=N runs it with other requests.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from labeler.accounts import invites, sessions
from labeler.accounts.passwords import hash_password
from labeler.app import create_app
from labeler.audit.log import Actor
from labeler.campaigns import service as campaigns
from labeler.campaigns.archive import restore_campaign
from labeler.campaigns.participation import set_status
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.doctor import database_checks
from labeler.doctor.findings import Site
from labeler.models.accounts import Annotator
from labeler.models.images import Image
from labeler.web import access
from labeler.web.images.datasets import HASH_DIGITS
from tests.conftest import WRITING, CountQueries, MakeAnnotator, MakeDataset, Statements
from tests.labeler.acting import (
    NOON,
    ids,
    lease,
    make_gold,
    publish_run,
    queue,
    set_rules,
    vote,
    work,
)
from tests.labeler.conftest import PASSWORD, TOKEN
from tests.labeler.web import fuzzing
from tests.labeler.web.known_fields import fields_of
from tests.labeler.web.test_access import PUBLIC, allowed_roles

SEED = int(os.environ.get("SIDELIGHT_TEST_FUZZ_SEED", "1"))
ROUNDS, REQUESTS = 3, 600  # after each round the jobs run, and the database is checked
IMAGES, VOTED = 60, 15
SHOWN = 12  # defects that the failure lists
ROLES = ("admin", "admin", "supervisor", "supervisor", "annotator", "annotator", None)
PARAMETER = re.compile(r"<(?:[^:<>]+:)?(\w+)>")


@dataclass
class Person:
    """Somebody with a browser; `role` None: a stranger."""

    role: str | None
    id: int
    client: FlaskClient
    token: str = ""
    name: str = ""
    forms: dict[str, list[fuzzing.Form]] = field(default_factory=dict)


@dataclass
class Sent:
    """A request, and what may come of it."""

    rule: Rule
    method: str
    path: str
    person: Person
    headers: list[tuple[str, str]]
    body: bytes
    trusted: bool  # the person may use the route, and the token is right

    def __str__(self) -> str:
        body = f"{self.body[:300]!r}" + ("..." if len(self.body) > 300 else "")
        headers = [(name, value[:80]) for name, value in self.headers if name != "X-CSRFToken"]
        return (
            f"{self.person.role or 'a stranger'}: {self.method} {self.path[:300]} ({self.rule})\n"
            f"    {headers} {body}"
        )


class Fuzzer:
    """Sends random requests to a site and notes what is wrong with the answers."""

    def __init__(
        self,
        app: Flask,
        db: Database,
        known: dict[str, Any],
        seed: int,
        log: pytest.LogCaptureFixture,
        statements: Statements,
    ) -> None:
        self.log, self.statements = log, statements
        self.app, self.db, self.known, self.rng = app, db, known, Random(seed)
        self.router = app.url_map.bind("localhost")
        self.fields = {rule.endpoint: fields_of(app, rule) for rule in app.url_map.iter_rules()}
        self.routes = [
            (rule, method)
            for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.endpoint)
            for method in ("GET", "POST")
            if method in (rule.methods or ())
            for _ in range(3 if method == "POST" else 1)
        ]
        self.people = {role: self.arrive(role) for role in sorted(set(ROLES), key=str)}
        self.forms: dict[str, list[fuzzing.Form]] = {}
        self.statuses: dict[str, Counter[int]] = {}
        self.busy = self.count = 0
        self.defects: dict[str, str] = {}

    def arrive(self, role: str | None) -> Person:
        """A new person of that role, signed in."""
        client = self.app.test_client()
        person = Person(role, 0, client)
        if role is not None:
            settings = self.app.extensions["sidelight_settings"]
            with self.db.write() as session:
                name = f"{role}-{self.rng.randrange(10**9)}"
                account = Annotator(
                    username=name, pseudonym=name, role=role, password_hash=self.known["hash"]
                )
                session.add(account)
                session.flush()
                person.id, person.name = account.id, name
                opened = sessions.open_session(session, account, "tests", settings)
            with client.session_transaction() as cookie:
                cookie["token"] = opened
        found = TOKEN.search(client.get("/account" if role else "/sign-in").text)
        assert found is not None
        person.token = found[1] or found[2]
        return person

    def person(self, role: str | None) -> Person:
        """The person of that role. If requests have closed the account, another person comes."""
        person = self.people[role]
        with person.client.session_transaction() as cookie:
            signed_in = "token" in cookie
        if role is not None and signed_in:
            with self.db.read() as session:
                account = session.get_one(Annotator, person.id)
                is_open = account.role == role and account.deactivated_at is None
            page = person.client.get("/account").text  # of another person after signing in
            token = TOKEN.search(page)
            signed_in = is_open and person.name in page and token is not None
            if signed_in and token:
                person.token = token[1] or token[2]
        if signed_in != (role is not None):
            person = self.people[role] = self.arrive(role)
            self.visit(person, ("voting.label", "verification.show", "accounts.show"))
        return person

    def visit(self, person: Person, endpoints: tuple[str, ...] = ()) -> None:
        """Open pages as a person does; all pages without parameters if none are named."""
        for rule, method in self.routes:
            named = rule.endpoint in endpoints if endpoints else rule.endpoint != "static"
            if method == "GET" and named:
                query = "label=left&source=model&size=24" if "grid" in rule.rule else ""
                path = PARAMETER.sub(lambda match: str(self.known.get(match[1], 1)), rule.rule)
                sent = Sent(rule, "GET", f"{path}?{query}", person, [], b"", self.may(person, rule))
                self.send(sent)

    def may(self, person: Person, rule: Rule) -> bool:
        return rule.endpoint in PUBLIC or person.role in allowed_roles(rule)

    def draw(self) -> Sent:
        """A random request."""
        rng = self.rng
        rule, method = rng.choice(self.routes)
        role = rng.choice(ROLES)
        if rng.random() < 0.6 and rule.endpoint not in PUBLIC and role not in allowed_roles(rule):
            role = "admin"  # who may not is tried often enough
        person = self.person(role)
        form = self.draw_form(person, rule, method)
        path = urlsplit(form.action).path if form else ""
        if not form or rng.random() < 0.2:
            path = PARAMETER.sub(lambda match: self.draw_parameter(match[1], person), rule.rule)
        query = urlsplit(form.action).query if form else ""
        names = self.fields[rule.endpoint]
        fields = fuzzing.filled(rng, form) if form else fuzzing.guessed(rng, names)
        odd = rng.random() < 0.6
        if odd:
            fields = fuzzing.mutated(rng, fields, names)
        headers = [rng.choice(fuzzing.ODD_HEADERS)] if rng.random() < 0.1 else []
        if method == "GET":
            query = fuzzing.as_query(fields) or query
            sent = Sent(rule, method, f"{path}?{query}", person, headers, b"", True)
        else:
            sent = self.draw_post(rule, person, fields, odd)
            sent.path, sent.headers = f"{path}?{query}", sent.headers + headers
        sent.trusted = sent.trusted and self.may(person, rule)
        return sent

    def draw_form(self, person: Person, rule: Rule, method: str) -> fuzzing.Form | None:
        """A form that leads to a route: of the person's own pages, or of somebody's."""
        key = f"{method} {rule.endpoint}"
        own, all_ = person.forms.get(key, []), self.forms.get(key, [])
        found = own if own and self.rng.random() < 0.8 else all_
        return self.rng.choice(found) if found and self.rng.random() < 0.85 else None

    def draw_parameter(self, name: str, person: Person) -> str:
        """A part of an address: of something that exists, of the person, or odd."""
        small = str(self.rng.randrange(1, 12))
        fitting = [str(self.known.get(name, small)), small, str(person.id)]
        text = self.rng.choice([*fitting, *fitting, self.rng.choice(fuzzing.ODD_TEXTS[:-1])])
        return quote(text.encode("utf-8", "surrogatepass"), safe="")[:6_000]

    def draw_post(self, rule: Rule, person: Person, fields: fuzzing.Fields, odd: bool) -> Sent:
        rng = self.rng
        trusted = rng.random() < 0.88
        token = person.token if trusted else self.draw_token(person)
        in_header = rng.random() < 0.5
        if not in_header:
            fields = [*fields, ("csrf_token", token)]
        has_files = any(isinstance(value, fuzzing.Upload) for _, value in fields)
        json_only = hasattr(self.app.view_functions[rule.endpoint], "always_json")
        shape = rng.choice(("form", "form", "form", "multipart", "json", "broken"))
        if has_files and shape == "form":
            shape = "multipart"
        if (json_only or rule.rule.startswith("/label")) and rng.random() < 0.6:
            shape = "json"
        if shape == "broken" and not odd:
            shape = "form"
        kind, body = {
            "form": lambda: fuzzing.as_form(fields),
            "multipart": lambda: fuzzing.as_multipart(fields),
            "json": lambda: fuzzing.as_json(rng, fields, odd),
            "broken": lambda: fuzzing.broken(rng, fields),
        }[shape]()
        headers = [("Content-Type", kind)]
        if in_header:
            headers.append(("X-CSRFToken", token))
        return Sent(rule, "POST", "", person, headers, body, trusted)

    def draw_token(self, person: Person) -> str:
        """A token that must not pass."""
        others = [each.token for each in self.people.values() if each is not person]
        return self.rng.choice([*others, "", "x", person.token[:-1], person.token + "x", "\xff"])

    def send(self, sent: Sent) -> None:
        """Send a request, and note what is wrong with the answer."""
        self.count += 1
        self.statements.clear()
        self.log.clear()
        try:
            answer = sent.person.client.open(
                sent.path, method=sent.method, headers=sent.headers, data=sent.body, buffered=True
            )
            status, page, kind = answer.status_code, answer.data, answer.mimetype
            answer.close()
        except Exception as error:  # noqa: BLE001  whatever it is, the site let it through
            self.note(sent, f"{type(error).__name__}: {error}")
            return
        key = f"{sent.method} {sent.rule.endpoint}"
        self.statuses.setdefault(key, Counter())[status] += sent.trusted
        self.check(sent, status, page, kind, answer.headers.get("Retry-After"))
        if status == 200 and kind == "text/html":
            self.harvest(sent.person, page.decode(), sent.path)

    def check(self, sent: Sent, status: int, page: bytes, kind: str, retry: str | None) -> None:
        if status == 503 and retry:
            self.busy += 1
        elif status >= 500:
            self.note(sent, f"status {status}")
        for record in self.log.records:
            if record.exc_info or "Traceback" in record.getMessage():
                self.note(sent, f"traceback: {record.exc_info and record.exc_info[1]!r}")
        if status < 400 and not sent.trusted:
            self.note(sent, f"status {status} without right or token")
        written = {WRITING.search(each)[2] for each in self.statements.writes}  # type: ignore[index]
        if not sent.trusted and written - {"login_session"}:
            self.note(sent, f"status {status}, yet {written} changed without right or token")
        if kind == "text/html" and fuzzing.MARK.encode() in page:
            self.note(sent, "markup from outside is markup on the page")
        if b"Traceback (most recent" in page:
            self.note(sent, "a traceback on the page")

    def harvest(self, person: Person, page: str, address: str) -> None:
        """Keep the forms of a page, the latest of each route."""
        for form in fuzzing.forms_of(page, urlsplit(address).path):
            try:
                endpoint, _ = self.router.match(urlsplit(form.action).path, form.method)
            except HTTPException:
                continue
            for kept in (person.forms, self.forms):
                found = kept.setdefault(f"{form.method} {endpoint}", [])
                found.append(form)
                del found[:-6]

    def note(self, sent: Sent, said: str) -> None:
        kind = f"{sent.method} {sent.rule}: {said.splitlines()[0][:160]}"
        self.defects.setdefault(kind, f"request {self.count}: {said[:600]}\n    {sent}")


@pytest.fixture
def any_app(any_db: Database, settings: Settings) -> Iterator[Flask]:
    """The site, once on SQLite and once on PostgreSQL."""
    app = create_app(replace(settings, database_url=any_db.url))
    yield app
    app.extensions["sidelight_db"].dispose()


@pytest.fixture
def known(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> dict[str, Any]:
    """A campaign in work: votes, gold, a model, a contested image, an invite."""
    dataset_id = make_dataset(any_db, IMAGES)
    set_rules(any_db, required_votes=2, vote_cap=2)
    publish_run(any_db, dataset_id, dict.fromkeys(queue(any_db), (0.6, 0.3, 0.1)), NOON)
    for name, answer in (("ada", "left"), ("bob", "right")):
        person = make_annotator(any_db, name).id
        for image_id in ids(lease(any_db, person, IMAGES, settings)):
            if image_id <= VOTED:
                vote(any_db, person, image_id, answer, settings)
    make_gold(any_db, dict.fromkeys(range(VOTED + 1, VOTED + 13), "left"))
    hashed = hash_password(PASSWORD)
    with any_db.write() as session:
        session.execute(update(Annotator).values(password_hash=hashed))
        _, token = invites.create_invite(session, max_uses=5)
        image = session.get_one(Image, 1)
    return {
        "token": token,
        "sha_prefix": image.sha256[:HASH_DIGITS],
        "filename": "site.css",
        "image_id": 1,
        "hash": hashed,
    }


@pytest.fixture
def fuzzer(
    any_app: Flask,
    any_db: Database,
    known: dict[str, Any],
    count_queries: CountQueries,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Fuzzer]:
    """Ready to send."""
    caplog.set_level(logging.ERROR)
    with count_queries(any_app.extensions["sidelight_db"]) as statements:
        yield Fuzzer(any_app, any_db, known, SEED, caplog, statements)


def _broken() -> str:
    raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("hole", "said"),
    [
        ("none", ""),
        ("role", "status 303 without right or token"),
        ("token", "status 303 without right or token"),
        ("error", "status 500"),
        ("markup", "markup from outside"),
    ],
)
def test_a_hole_is_noticed(
    fuzzer: Fuzzer, hole: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, annotator, admin = fuzzer.app, fuzzer.people["annotator"], fuzzer.people["admin"]
    views = {"error": access.public(_broken), "markup": access.public(lambda: fuzzing.MARK)}
    if hole == "role":
        view = app.view_functions["campaign_states.pause"]
        monkeypatch.setattr(view, "allowed_roles", frozenset(ROLES))
    elif hole == "token":
        monkeypatch.setattr(access, "_check_token", lambda: None)
    elif hole in views:
        monkeypatch.setitem(app.view_functions, "home.guide", views[hole])
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules()}
    pause, guide = rules["campaign_states.pause"], rules["home.guide"]
    path, right = "/admin/campaigns/1/pause", [("X-CSRFToken", annotator.token)]
    fuzzer.send(Sent(guide, "GET", "/guide", annotator, [], b"", True))
    fuzzer.send(Sent(pause, "POST", path, annotator, right, b"", False))
    fuzzer.send(Sent(pause, "POST", path, admin, [], b"", False))
    found = "\n".join(fuzzer.defects)
    assert (said in found) if said else not found
    if hole in ("role", "token"):
        assert re.search(r"'campaign'.* changed without right or token", found)


# A body that ends inside a file leaves Werkzeug's temporary file to the garbage collection.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning")
@pytest.mark.slow
def test_random_requests_do_no_harm(
    fuzzer: Fuzzer, any_db: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    own = replace(settings, database_url=any_db.url)
    wrong: list[str] = []
    for _ in range(ROUNDS):
        for role in ("admin", "supervisor", "annotator"):
            fuzzer.visit(fuzzer.person(role))
        for number in range(REQUESTS):
            if number % 50 == 0:
                keep_labelling_possible(fuzzer, any_db)
            fuzzer.send(fuzzer.draw())
        wrong += jobs_and_database(own, any_db, caplog)
    report(fuzzer, wrong)


def keep_labelling_possible(fuzzer: Fuzzer, db: Database) -> None:
    """Undo what ends most work: another campaign, a pause. At times people have to qualify."""
    with db.write() as session:
        if campaigns.get_campaign(session, 1).archived_at is not None:
            restore_campaign(session, 1)
        campaigns.activate_campaign(session, 1)
        campaigns.resume_campaign(session, 1)
    training = fuzzer.rng.choice((0, 0, 2))
    set_rules(db, training=training)
    for role in ("admin", "supervisor", "annotator"):
        person = fuzzer.person(role)
        with db.write() as session:
            status = "training" if training else "working"
            set_status(session, 1, person.id, status, by=Actor(person.id))
        fuzzer.visit(person, ("voting.label", "qualification.exercise"))


def jobs_and_database(settings: Settings, db: Database, log: pytest.LogCaptureFixture) -> list[str]:
    """Run what the requests have queued; returns what is wrong then."""
    log.clear()
    work(settings)
    wrong = [str(record.exc_info[1]) for record in log.records if record.exc_info]
    site = Site(settings, db, fix=False)
    for check in (
        database_checks.check_integrity,
        database_checks.check_tables,
        database_checks.check_rows,
        database_checks.check_consensus,
    ):
        wrong += [str(found) for found in check(site) if found.status != "ok"]
    return wrong


def report(fuzzer: Fuzzer, wrong: list[str]) -> None:
    """Fail with all that is wrong, and with what is needed to repeat it."""
    found = [*wrong, *fuzzer.defects.values()]
    repeat = f"Repeat with SIDELIGHT_TEST_FUZZ_SEED={SEED}. {len(found)} defects:\n"
    if found:
        pytest.fail(repeat + "\n".join(found[:SHOWN]), pytrace=False)
    assert fuzzer.busy <= fuzzer.count // 100, f"{fuzzer.busy} answers with status 503"
    tried = {key for key in fuzzer.statuses if key.startswith("POST")}
    accepted = {key for key in tried if min(fuzzer.statuses[key]) < 400}
    # Requests that are all refused would show little.
    assert len(accepted) > len(tried) / 2, f"never accepted: {sorted(tried - accepted)}"
