"""Which passwords are refused, and what the message says."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from labeler.accounts.passwords import MAX_LENGTH, check_password_policy
from labeler.errors import InvalidInput
from tests.labeler.conftest import PASSWORD, Visit
from tests.labeler.people.test_page import invite, join

# From usual lists, and what people make of them where ten characters are asked for.
COMMON = [
    "Password1!",
    "Password123",
    "P@ssw0rd123",
    "passw0rd2026",
    "adminadmin",
    "administrator",
    "Administrator1",
    "12345678901",
    "1234567890123",
    "0987654321",
    "1111111111",
    "1212121212",
    "abcdefghij",
    "abcdefghij123",
    "iloveyou1234",
    "iloveyou2026",
    "sidelight2026",
    "Sidelight123!",
    "sidelightsidelight",
    "supervisor",
    "Supervisor1",
    "annotator2026",
    "annotator99",
    "labelling1",
    "qwertyuiop",
    "qwertyuiop1",
    "1qaz2wsx3edc",
    "1q2w3e4r5t6y",
    "asdfghjkl123",
    "zxcvbnm12345",
    "football2026",
    "baseball123",
    "superman2026",
    "sunshine123",
    "princess2026",
    "letmein12345",
    "welcome2026!",
    "changeme1234",
    "trustno1trustno1",
    "dragon123456",
    "monkey1234567",
    "michael2026",
    "ababababababab",
    "graceliu2026",
    "grace.liu.2026",
    "liugraceliu",
]


@pytest.mark.parametrize("password", COMMON)
def test_a_common_password_is_refused_and_the_message_says_why(password: str) -> None:
    with pytest.raises(InvalidInput, match=r"too easy to guess: .+\. Take several unrelated words"):
        check_password_policy(password, "grace.liu")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("Password1!", "common password"),
        ("adminadmin", "repeats"),
        ("12345678901", "common password|sequence"),
        ("sidelight2026", "words of this site"),
        ("grace.liu99", "your user name"),
        ("qazxswedcvfr", "keyboard|common"),
    ],
)
def test_the_reason(password: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check_password_policy(password, "grace.liu")


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "a fine password",
        "quiet-lamp-over-there",
        "the light from the left side",
        "x7Kq9-vL2mPw",
        "ein leises Licht im Flur",
        "静かな灯りが左から差している",
        "correct horse battery staple " * 6,
    ],
)
def test_a_good_password_passes(password: str) -> None:
    check_password_policy(password, "grace.liu")


def test_the_words_of_one_person_do_not_count_for_another() -> None:
    def check(number: int) -> bool:
        own, other = ("vornquil", "plexdrau") if number % 2 else ("plexdrau", "vornquil")
        check_password_policy(f"{other}7k", own)
        with pytest.raises(InvalidInput):
            check_password_policy(f"{own}{number % 10}1", own)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(64)))


def test_the_longest_passwords_take_no_long_time() -> None:
    worst = max(
        _seconds(text * MAX_LENGTH) for text in ("a", "ab", "p4$$w0rd", "@4({[<", "1990", "qwe")
    )
    assert worst < 5.0  # some 0.03 s; without the limit of characters it is minutes


def _seconds(password: str) -> float:
    started = time.monotonic()
    with pytest.raises(InvalidInput):
        check_password_policy(password[:MAX_LENGTH], "ada")
    return time.monotonic() - started


def test_the_form_refuses_a_common_password(visit: Visit) -> None:
    path = invite(visit("admin"))
    answer = visit(None).submit(path, {"username": "ann", "password": "sidelight2026"})
    assert answer.status_code == 422
    assert "too easy to guess" in answer.text
    assert join(visit(None), path) == 303


def test_the_old_password_is_no_new_one(visit: Visit) -> None:
    ann = visit(None)
    assert join(ann, invite(visit("admin"))) == 303
    ann.annotator_id = 1
    answer = ann.submit("/account/password", {"current": PASSWORD, "new": PASSWORD})
    assert answer.status_code == 422
    assert "your current password" in answer.text
