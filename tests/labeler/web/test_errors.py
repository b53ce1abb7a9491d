"""One shape for all errors, with the status that is true."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from labeler.web import access
from tests.labeler.conftest import Visit

JSON = {"Accept": "application/json"}


def error_of(answer: Any) -> tuple[int, str]:
    """Status and code, after a look at the shape."""
    body = answer.get_json()
    assert set(body) == {"ok", "error"}
    assert body["ok"] is False
    assert set(body["error"]) == {"code", "message"}
    assert len(body["error"]["message"]) > 10
    return answer.status_code, body["error"]["code"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/nowhere", (404, "not_found")),
        ("/images/999/abc", (404, "not_found")),
        (f"/images/{10**30}/abc", (404, "not_found")),
        ("/join/unknown", (404, "not_found")),
        ("/sign-out", (405, "method_not_allowed")),
        ("/admin/export/labels.csv", (404, "not_found")),
    ],
)
def test_json_where_json_is_asked_for(
    visit: Visit, address: str, expected: tuple[int, str]
) -> None:
    assert error_of(visit("admin").get(address, headers=JSON)) == expected


def test_a_page_where_a_page_is_asked_for(visit: Visit) -> None:
    for browser in (visit("annotator"), visit(None)):
        answer = browser.get("/nowhere")
        assert answer.status_code == 404
        assert "This page does not exist" in answer.text


@pytest.mark.parametrize("role", ["supervisor", "admin"])
def test_errors_lead_those_who_manage_back_to_their_pages(visit: Visit, role: str) -> None:
    boss = visit(role)
    for address in ("/nowhere", "/admin/nowhere"):
        assert 'class="button primary" href="/admin/">Manage</a>' in boss.get(address).text
    areas = (
        ("/admin/campaigns/99", "/admin/campaigns", "Campaigns"),
        ("/admin/images/99", "/admin/images", "Images"),
    )
    for address, back, words in areas:
        page = boss.get(address).text
        assert f'class="button primary" href="{back}">{words}</a>' in page
        assert 'class="button" href="/admin/">Manage</a>' in page
    page = visit("supervisor").get("/admin/audit").text
    assert "You do not have access" in page
    assert 'class="button primary" href="/admin/">Manage</a>' in page
    page = visit("annotator").get("/admin/people").text
    assert "You do not have access" in page
    assert 'class="button primary" href="/label">Continue labelling</a>' in page
    assert 'href="/admin/' not in page


def test_signed_out_page_is_the_sign_in_page_with_the_way_back(visit: Visit) -> None:
    answer = visit(None).get("/me?day=2")
    assert answer.status_code == 401
    assert 'name="next" value="/me?day=2"' in answer.text


def test_programs_get_json_whatever_they_accept(visit: Visit) -> None:
    answer = visit(None).client.post("/label/leases", data="count=1")
    assert error_of(answer) == (401, "not_signed_in")


@pytest.mark.parametrize("body", [[], "text", {"count": 0}, {"count": "1"}, {"count": True}])
def test_malformed_json_values(visit: Visit, body: Any) -> None:
    assert error_of(visit("annotator").send("/label/leases", body)) == (422, "invalid_input")


def test_malformed_json_text(visit: Visit) -> None:
    browser = visit("annotator")
    headers = {"X-CSRFToken": browser.token()}
    answer = browser.client.post(
        "/label/votes", data=b"{", content_type="application/json", headers=headers
    )
    assert error_of(answer) == (400, "bad_request")
    answer = browser.client.post(
        "/label/leases", data=b"x", content_type="text/plain", headers=headers
    )
    assert error_of(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"a":' * 10_000])
@pytest.mark.parametrize("address", ["/label/votes", "/label/leases"])
def test_json_that_is_nested_too_deeply(visit: Visit, address: str, body: bytes) -> None:
    browser = visit("annotator")
    headers = {"X-CSRFToken": browser.token()}
    answer = browser.client.post(
        address, data=body, content_type="application/json", headers=headers
    )
    assert error_of(answer) == (422, "invalid_input")


def test_too_large(visit: Visit) -> None:
    answer = visit("annotator").send("/label/votes", {"answer": "x" * 70_000})
    assert error_of(answer) == (413, "too_large")


def test_a_defect_tells_nothing_about_itself(app: Flask, visit: Visit) -> None:
    def broken() -> str:
        raise RuntimeError("the secret of the defect")

    app.add_url_rule("/broken", view_func=access.public(broken))
    answer = visit("annotator").get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert error_of(visit(None).get("/broken", headers=JSON)) == (500, "internal_error")


def test_numbers_and_texts_that_no_database_holds(visit: Visit) -> None:
    browser = visit("annotator")
    assert browser.submit(f"/label/votes/{2**63}/undo").status_code == 404
    assert browser.submit(f"/label/votes/{2**63 - 1}/undo").status_code == 404
    assert browser.get(f"/label?image={10**30}").status_code == 200
    signing_in = {"username": "a\0b", "password": "x"}
    assert visit(None).submit("/sign-in", signing_in).status_code == 422
