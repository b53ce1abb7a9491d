"""Fields for passwords: hidden while one types, open for password managers, taken as they are."""

from __future__ import annotations

import re

import pytest

from tests.labeler.conftest import PASSWORD, Visit
from tests.labeler.people.test_page import invite, join, sign_in

LONG = "Ünlike any Other sentence, with 64 characters or Even some More ☂"


def test_password_fields_are_masked_and_known_to_password_managers(visit: Visit) -> None:
    boss = visit("admin")
    pages = {
        "/sign-in": visit(None).get("/sign-in").text,
        "/join": visit(None).get(invite(boss)).text,
        "/account": boss.get("/account").text,
    }
    for address, page in pages.items():
        fields = re.findall(r"<input[^>]*password[^>]*>", page)
        assert fields, address
        for field in fields:
            assert 'type="password"' in field, (address, field)
            assert re.search(r'autocomplete="(current|new)-password"', field), (address, field)
            assert "onpaste" not in field


def test_a_password_is_taken_exactly_as_it_was_typed(visit: Visit) -> None:
    assert len(LONG) >= 64
    assert join(visit(None), invite(visit("admin")), "ann", LONG) == 303
    assert sign_in(visit(None), "ann", LONG) == 303
    for changed in (LONG[:-1], LONG.lower(), LONG.strip() + " ", LONG.replace(" ", "")):
        assert sign_in(visit(None), "ann", changed) == 401, changed


@pytest.mark.parametrize("name", ["admin", "root", "sidelight"])
def test_there_is_no_default_account(visit: Visit, name: str) -> None:
    for password in (name, "password", "", PASSWORD):
        assert sign_in(visit(None), name, password) == 401
