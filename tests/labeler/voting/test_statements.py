"""How many statements a vote takes on its way through the site: each is a round trip."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from labeler.accounts import sessions
from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database, built_once
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, make_gold, publish_run, queue, set_rules
from tests.labeler.conftest import Browser, lease

MOST = {"sqlite": 6, "postgresql": 7}  # BEGIN and COMMIT are not counted


@pytest.fixture
def app(any_db: Database, settings: Settings) -> Iterator[Flask]:
    """The site on either database."""
    application = create_app(dataclasses.replace(settings, database_url=any_db.url))
    yield application
    application.extensions["sidelight_db"].dispose()


@pytest.fixture
def browser(
    app: Flask, any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> Browser:
    client, ada = app.test_client(), make_annotator(any_db)
    with any_db.write() as session:
        token = sessions.open_session(session, ada, "tests", settings)
    with client.session_transaction() as cookie:
        cookie["token"] = token
    return Browser(client, ada.id)


@pytest.mark.parametrize("method", ["majority", "posterior"])
def test_a_vote_and_the_next_image_take_few_statements(
    any_db: Database,
    app: Flask,
    browser: Browser,
    make_dataset: MakeDataset,
    count_queries: CountQueries,
    method: str,
) -> None:
    make_dataset(any_db, 12)
    order = queue(any_db)
    publish_run(any_db, 1, dict.fromkeys(order, (0.5, 0.3, 0.2)), NOON)
    set_rules(any_db, method=method, gold_rate=0.5, gold_first=0, mirror_views=True)
    make_gold(any_db, {order[-1]: "left"})
    held = [image["image_id"] for image in lease(browser, 3)]
    headers = {"X-CSRFToken": browser.token()}
    browser_db: Database = app.extensions["sidelight_db"]
    for image_id in held:
        request_id = str(uuid.uuid4())
        submitted = {"image_id": image_id, "answer": "left", "request_id": request_id, "then": 1}
        with count_queries(browser_db) as statements:
            answer = browser.client.post("/label/votes", json=submitted, headers=headers)
        assert answer.status_code == 201
        assert len(answer.get_json()["images"]) == 1
        counted = [one for one in statements if not one.startswith("BEGIN")]
        assert 3 <= len(counted) <= MOST[browser_db.engine.dialect.name], counted


def test_a_statement_is_built_by_one_thread() -> None:
    """The first requests of a process come at once; a half-made alias would be kept for good."""
    builds: list[str] = []
    together = threading.Barrier(8)

    @built_once
    def build(name: str) -> list[str]:
        builds.append(name)
        time.sleep(0.02)  # long enough for the others to come
        return [name]

    def ask(_number: int) -> list[str]:
        together.wait()
        return build("statement")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert builds == ["statement"]
    assert all(one is found[0] for one in found)
