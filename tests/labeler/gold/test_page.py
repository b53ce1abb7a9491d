"""The page of the gold questions: files of any honest size are accepted."""

from __future__ import annotations

import io
import re

import pytest

from labeler.database.engine import Database
from tests.conftest import MakeDataset
from tests.labeler.acting import make_gold
from tests.labeler.conftest import Visit

LONG = "filename,label\n" + "000001.jpg,left\n" * 8_000  # 125 KiB: a form may have 64 KiB


@pytest.mark.usefixtures("dataset_id")
def test_a_long_file_of_gold_questions_is_imported(visit: Visit) -> None:
    boss = visit("supervisor")
    file = (io.BytesIO(LONG.encode()), "gold.csv")
    assert boss.submit("/admin/gold/import", {"file": file}).status_code == 303
    assert "1 gold question added, 0 changed, 0 unchanged." in boss.get("/admin/gold").text


@pytest.mark.usefixtures("dataset_id")
def test_a_long_list_of_gold_questions_is_pasted(visit: Visit) -> None:
    assert visit("supervisor").submit("/admin/gold/import", {"lines": LONG}).status_code == 303


@pytest.mark.usefixtures("dataset_id")
def test_other_forms_of_the_page_stay_small(visit: Visit) -> None:
    answer = visit("supervisor").submit("/admin/gold/promote", {"count": LONG})
    assert answer.status_code == 413
    assert "64 kB" in answer.text


def test_the_list_comes_in_pages(visit: Visit, db: Database, make_dataset: MakeDataset) -> None:
    make_dataset(db, 45)
    make_gold(db, dict.fromkeys(range(1, 46), "left"))
    boss = visit("supervisor")
    address, sizes, seen = "/admin/gold", [], set()
    while address:
        page = boss.get(address).text
        found = re.findall(r"aria-label=\"Remove (\d+\.jpg)", page)
        sizes.append(len(found))
        seen |= set(found)
        older = re.search(r'href="([^"#]+before=\d+)', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert sizes == [20, 20, 5]
    assert len(seen) == 45
    assert "Show the newest" in page


def test_files_of_spreadsheets_are_read_and_all_wrong_lines_named(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss = visit("supervisor")
    lines = "Filename;Label\r\n000001.jpg;Left\r\n000002.jpg;right\r\n"
    assert boss.submit("/admin/gold/import", {"lines": lines}).status_code == 303
    wrong = "Filename;Label\n000001.jpg;up\n000002.jpg;down\n"
    page = boss.submit("/admin/gold/import", {"lines": wrong}).text
    assert "Line 2" in page
    assert "line 3" in page
