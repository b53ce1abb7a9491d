"""The page of the gold questions: files of any honest size are accepted."""

from __future__ import annotations

import io

import pytest

from tests.labeler.conftest import Visit

LONG = "filename,label\n" + "000001.jpg,left\n" * 8_000  # 125 KiB: a form may have 64 KiB


@pytest.mark.usefixtures("dataset_id")
def test_a_long_file_of_gold_questions_is_imported(visit: Visit) -> None:
    boss = visit("supervisor")
    file = (io.BytesIO(LONG.encode()), "gold.csv")
    assert boss.submit("/admin/gold/import", {"file": file}).status_code == 303
    assert "1 gold questions were added" in boss.get("/admin/gold").text


@pytest.mark.usefixtures("dataset_id")
def test_a_long_list_of_gold_questions_is_pasted(visit: Visit) -> None:
    assert visit("supervisor").submit("/admin/gold/import", {"lines": LONG}).status_code == 303


@pytest.mark.usefixtures("dataset_id")
def test_other_forms_of_the_page_stay_small(visit: Visit) -> None:
    answer = visit("supervisor").submit("/admin/gold/promote", {"count": LONG})
    assert answer.status_code == 413
    assert "64 kB" in answer.text
