"""A request that finds all rows locked waits for one on PostgreSQL, and blocks nobody meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from labeler.assignment import leases
from labeler.assignment.queue import shared_rows
from labeler.config import Settings
from labeler.consensus.store import lock_image, rebuild
from labeler.database.engine import Database
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import lease, queue


@pytest.mark.postgres
@pytest.mark.parametrize("held_by_others", [0, 4])
def test_nobody_is_told_that_nothing_is_left_while_all_is_counted(
    postgres_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
    held_by_others: int,
) -> None:
    """Neither of images that are free nor of those that others hold as well."""
    campaign_id = make_dataset(postgres_db, 4)
    ada, ben = make_annotator(postgres_db).id, make_annotator(postgres_db).id
    if held_by_others:
        lease(postgres_db, ben, held_by_others, settings)
    with ThreadPoolExecutor(1) as pool:
        with postgres_db.write() as session:
            rebuild(session, campaign_id)
            handed = pool.submit(lease, postgres_db, ada, 2, settings)
            with pytest.raises(TimeoutError):
                handed.result(timeout=0.5)
        assert len(handed.result(timeout=30)) == 2


@pytest.mark.postgres
def test_who_waits_for_a_count_holds_nothing_that_it_comes_to(
    postgres_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An image is locked, turns out to be taken, and another one has to be waited for."""
    make_dataset(postgres_db, 2)
    first, second = sorted(queue(postgres_db))
    ada, ben = make_annotator(postgres_db).id, make_annotator(postgres_db).id
    lease(postgres_db, ben, 2, settings)
    locked = []

    def taken_at_first(*args: Any) -> list[Any]:
        rows = shared_rows(*args)
        locked.append([row.id for row in rows])
        return rows if len(locked) > 1 else []

    monkeypatch.setattr(leases, "shared_rows", taken_at_first)
    with ThreadPoolExecutor(1) as pool:
        with postgres_db.write() as session:
            lock_image(session, 1, first)
            handed = pool.submit(lease, postgres_db, ada, 1, settings)
            with pytest.raises(TimeoutError):
                handed.result(timeout=0.5)
            session.execute(text("SET LOCAL lock_timeout = '5s'"))
            lock_image(session, 1, second)
        assert len(handed.result(timeout=30)) == 1
    assert locked[0] == [second]
