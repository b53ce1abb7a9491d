"""Campaigns over HTTP: created, counted, edited, copied; the guideline; very long lists."""

from __future__ import annotations

import html
import io
import re
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from labeler.campaigns import service as campaigns
from labeler.campaigns.default_guideline import DEFAULT_GUIDELINE, default_guideline
from labeler.config import Settings
from labeler.consensus.cost import Cost, Span, forecast_cost
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.languages.current import in_language
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.proposals import ModelRun
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.presets import PRESETS
from labeler.statistics.intervals import wilson
from labeler.web.campaigns import rule_fields, views
from labeler.web.campaigns.presets import describe_cost
from labeler.web.markdown import render
from tests.conftest import write_images
from tests.labeler.acting import publish_run, waiting
from tests.labeler.conftest import Browser, Visit

RULES = rule_fields.rule_texts(Rules())
BOXES = {name for name, field in rule_fields.FIELDS.items() if field.kind == "yes"}


@pytest.fixture
def celeba(db: Database, tmp_path: Path) -> int:
    """Twelve images with attributes and partitions."""
    folder = write_images(tmp_path / "celeba", 12)
    names = [f"{number:06d}.jpg" for number in range(1, 13)]
    lines = [
        f"{name} {'1' if i % 2 else '-1'} {'1' if i < 4 else '-1'}" for i, name in enumerate(names)
    ]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["12", "Bald Young", *lines]))
    parts = "\n".join(f"{name} {i % 3}" for i, name in enumerate(names))
    (folder / "list_eval_partition.txt").write_text(parts)
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    return dataset_id


def form(dataset_id: int | None = None, **changes: Any) -> dict[str, Any]:
    """What a browser sends: boxes that are not ticked are left out."""
    rules = {name: text for name, text in RULES.items() if name not in BOXES or text == "yes"}
    more = {} if dataset_id is None else {"dataset": str(dataset_id), "sample": "", "seed": "0"}
    return {"name": "Trial", "guideline": "", **rules, **more, **changes}


def images_of(db: Database, name: str) -> int:
    with db.read() as session:
        made = session.scalars(select(Campaign.id).where(Campaign.name == name)).one()
        return session.scalar(select(func.count()).where(Consensus.campaign_id == made)) or 0


def stored(db: Database, name: str) -> Campaign:
    with db.read() as session:
        return session.scalars(select(Campaign).where(Campaign.name == name)).one()


def count(browser: Browser, fields: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-CSRFToken": browser.token(), "Accept": "application/json"}
    answer = browser.client.post("/admin/campaigns/try", data=fields, headers=headers)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.get_json()
    return found


def wrong(page: str) -> dict[str, str]:
    """The sentences at the fields."""
    return dict(re.findall(r'<p class="wrong" id="([a-z_]+)-(?:wrong|help)">([^<]+)</p>', page))


def test_a_campaign_is_made_and_activated(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("supervisor")
    answer = boss.submit(
        "/admin/campaigns", form(celeba, partition=["0", "1"], required_votes="2", guideline="# Hi")
    )
    assert answer.status_code == 303
    assert images_of(db, "Trial") == 8
    made = stored(db, "Trial")
    assert (made.active, made.rules["required_votes"], made.guideline) == (False, 2, "# Hi")
    assert made.created_by_id == boss.annotator_id
    page = boss.get(answer.location).text
    assert "train or valid" in page
    assert boss.confirm(f"/admin/campaigns/{made.id}/activate").status_code == 303
    assert stored(db, "Trial").active
    assert stored(db, "celeba").active, "the other one goes on"
    assert "active" in boss.get("/admin/campaigns").text


@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        ({}, 12),
        ({"partition": "2"}, 4),
        ({"attribute-0": "yes"}, 6),
        ({"attribute-0": "no", "attribute-1": "yes"}, 2),
        ({"sample": "5", "seed": "3"}, 5),
        ({"filenames": "000001.jpg\n000004.jpg\n"}, 2),
        ({"filenames": "000001.jpg\n000004.jpg\n", "partition": "0"}, 2),
        ({"filenames": "000001.jpg\n000004.jpg\n", "partition": "1"}, 0),
    ],
)
def test_the_count_is_what_the_campaign_has(
    visit: Visit, db: Database, celeba: int, fields: dict[str, str], selected: int
) -> None:
    boss = visit("admin")
    found = count(boss, form(celeba, **fields))
    assert (found["selected"], found["problems"], found["preview"]) == (selected, {}, "")
    assert (
        f"{selected} of 12 images are selected"
        in boss.submit("/admin/campaigns/try", form(celeba, **fields)).text
    )
    answer = boss.submit("/admin/campaigns", form(celeba, **fields))
    if selected:
        assert (answer.status_code, images_of(db, "Trial")) == (303, selected)
    else:
        assert answer.status_code == 422
        assert "select no image of" in wrong(answer.text)["selection"]


def test_errors_stand_at_the_fields_and_nothing_is_lost(
    visit: Visit, db: Database, celeba: int
) -> None:
    sent = form(
        celeba,
        name=" ",
        threshold="120",
        vote_cap="many",
        training="101",
        sample="none",
        filenames="a.jpg\n<b>.jpg",
        guideline="kept <i>",
        partition="1",
        **{"attribute-1": "no"},
    )
    answer = visit("admin").submit("/admin/campaigns", sent)
    assert answer.status_code == 422
    assert wrong(answer.text) == {
        "name": "Enter a name of 1 to 100 characters.",
        "threshold": "A number from 50 to 99.99 is needed.",
        "vote_cap": "A whole number is needed.",
        "training": "A whole number from 0 to 100 is needed.",
        "sample": "Enter a whole number.",
    }
    page = answer.text
    for kept in (
        'value="120"',
        'value="many"',
        "a.jpg\n&lt;b&gt;.jpg",
        "kept &lt;i&gt;",
        'value="1" checked',
        '<option value="no" selected>',
    ):
        assert kept in page, kept
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 1


def test_the_preview_has_the_limit_of_the_guideline(visit: Visit, celeba: int) -> None:
    boss = visit("admin")
    wrong_length = "The guideline has 80,000 characters. The limit is 20,000."
    for dataset in (celeba, None):
        started = time.process_time()
        found = count(boss, form(dataset, guideline="[" * 80_000))
        assert time.process_time() - started < 1
        assert (found["preview"], found["problems"]["guideline"]) == ("", wrong_length)
    page = boss.submit("/admin/campaigns/try", form(celeba, guideline="[" * 80_000))
    assert wrong(page.text)["guideline"] == wrong_length
    assert 'maxlength="20000"' in page.text
    assert "<p>" in count(boss, form(celeba, guideline="x" * 20_000))["preview"]


def test_errors_of_the_services_stand_at_the_fields(visit: Visit, celeba: int) -> None:
    boss = visit("admin")
    answer = boss.submit("/admin/campaigns", form(celeba, name="celeba"))
    assert (answer.status_code, list(wrong(answer.text))) == (409, ["name"])
    answer = boss.submit("/admin/campaigns", form(celeba, filenames="000001.jpg\nnowhere.jpg"))
    assert answer.status_code == 404
    assert "nowhere.jpg" in wrong(answer.text)["filenames"].replace("&#39;", "'")
    answer = boss.submit("/admin/campaigns", form(celeba, guideline="x" * 20_001))
    assert wrong(answer.text) == {
        "guideline": "The guideline has 20,001 characters. The limit is 20,000."
    }
    assert boss.submit("/admin/campaigns", form(999)).status_code == 404


def test_a_list_is_uploaded(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("admin")
    text = "filename,label\n" + "".join(f"{n:06d}.jpg,left\n" for n in (2, 3))
    sent = {**form(celeba), "list": (io.BytesIO(text.encode()), "list.csv")}
    assert boss.submit("/admin/campaigns", sent).status_code == 303
    assert images_of(db, "Trial") == 2
    spoilt = {**form(celeba, name="Other"), "list": (io.BytesIO(b"\xff\xfe\x00"), "list.csv")}
    answer = boss.submit("/admin/campaigns", spoilt)
    assert answer.status_code == 422
    assert "no text in UTF-16" in wrong(answer.text)["filenames"]
    assert 'value="Other"' in answer.text


def test_a_long_list_is_taken_here_and_nowhere_else(visit: Visit, celeba: int) -> None:
    boss = visit("admin")
    names = "\n".join(f"{number:06d}.jpg" for number in range(1, 120_000))
    found = count(boss, form(celeba, filenames=names))
    assert "119,987 of the 119,999 listed images are not in" in found["problems"]["filenames"]
    big = {"reason": "x" * 70_000}
    assert boss.submit(f"/admin/people/{boss.annotator_id}/pause", big).status_code == 413


def test_many_images_are_let_in_by_the_worker(
    visit: Visit, db: Database, settings: Settings, celeba: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "AT_ONCE", 10)
    boss = visit("admin")
    answer = boss.submit("/admin/campaigns", form(celeba))
    assert (images_of(db, "Trial"), waiting(db)) == (0, 1)
    assert "of 12 images have been added" in boss.get(answer.location).text
    state = f"{answer.location}/state"
    assert boss.get(state).get_json() == {"ok": True, "images": 0, "selected": 12}
    assert campaigns.fill_campaign(db, stored(db, "Trial").id) == 12
    assert campaigns.fill_campaign(db, stored(db, "Trial").id) == 0
    assert boss.get(state).get_json()["images"] == 12
    assert "images are in" not in boss.get(answer.location).text
    assert boss.submit(f"{answer.location}/fill").status_code == 303


def test_rules_are_changed_and_looked_at_anew(
    visit: Visit, db: Database, settings: Settings, celeba: int
) -> None:
    boss = visit("supervisor")
    page = f"/admin/campaigns/{stored(db, 'celeba').id}"
    assert boss.submit(page, form(name="celeba")).status_code == 303
    assert waiting(db) == 0, "nothing has changed"
    changed = form(name="Renamed", method="majority", blind_share="30", mirror_views="yes")
    changed.pop("use_model")
    assert boss.submit(page, changed).status_code == 303
    assert waiting(db) == 1
    rules = stored(db, "Renamed").rules
    assert (rules["method"], rules["blind_share"]) == ("majority", 0.3)
    assert (rules["mirror_views"], rules["use_model"]) == (True, False)
    shown = boss.get(page).text
    assert 'name="blind_share" value="30"' in shown
    assert boss.submit(page, form(name="Renamed", vote_cap="0")).status_code == 422
    assert boss.submit("/admin/campaigns/999", form(name="x")).status_code == 404


def test_a_taken_name_is_told_at_the_field(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("admin")
    boss.submit("/admin/campaigns", form(celeba))
    answer = boss.submit(
        f"/admin/campaigns/{stored(db, 'Trial').id}", form(name="celeba", guideline="kept")
    )
    assert (answer.status_code, list(wrong(answer.text))) == (409, ["name"])
    assert ">\nkept</textarea>" in answer.text


def test_pause_resume_and_copy(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("supervisor")
    boss.submit("/admin/campaigns", form(celeba, sample="4", seed="9", order="random"))
    page = f"/admin/campaigns/{stored(db, 'Trial').id}"
    boss.submit(f"{page}/pause")
    assert stored(db, "Trial").paused_at is not None
    assert "Paused since" in boss.get(page).text
    boss.submit(f"{page}/resume")
    assert stored(db, "Trial").paused_at is None
    assert boss.submit(f"{page}/clone", {"copy_name": "Again"}).status_code == 303
    one, two = stored(db, "Trial"), stored(db, "Again")
    assert (one.rules, one.selection) == (two.rules, two.selection)
    assert images_of(db, "Again") == 4
    answer = boss.submit(f"{page}/clone", {"copy_name": "Again"})
    assert answer.status_code == 409
    assert "exists already" in answer.text


def test_every_rule_has_a_field_and_comes_back_as_it_was() -> None:
    assert set(rule_fields.FIELDS) == set(Rules().as_dict())
    other = Rules(
        order="mixed",
        method="majority",
        required_votes=4,
        vote_cap=9,
        threshold=0.97,
        use_model=False,
        named=False,
        audit_share=0.07,
        proposals="hidden",
        blind_share=0.29,
        planted_share=0.58,
        mirror_views=True,
        gold_rate=0.14,
        gold_first=3,
        training=8,
        pass_share=0.57,
        min_gold=0.56,
    )
    for rules in (Rules(), other):
        assert rule_fields.parse_rules(rule_fields.rule_texts(rules)) == rules


def test_without_a_data_set_the_next_step_is_named(visit: Visit) -> None:
    boss = visit("admin")
    assert "/admin/data-sets/add" in boss.get("/admin/campaigns").text
    assert boss.get("/admin/campaigns/new").status_code == 404
    for address in ("/admin/gold", "/admin/contested"):
        assert "No campaign is active" in boss.get(address).text
    assert "Nothing has been decided" in boss.get("/admin/decisions").text


def test_the_guideline_is_for_everybody(visit: Visit, db: Database, celeba: int) -> None:
    with db.write() as session:
        campaigns.edit_campaign(
            session, 1, guideline="# Cheeks\n\nLook at **both**.<script>alert(1)</script>"
        )
    page = visit(None).get("/guide").text
    assert "<h2>Cheeks</h2>" in page
    assert "<strong>both</strong>" in page
    assert "<script>alert" not in page


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "![x](https://elsewhere.example/spy.png)",
    "![x](//elsewhere.example/spy.png)",
    '[x](/a "onmouseover=alert(1)")',
    "<a href='/' onclick='alert(1)'>x</a>",
    "<iframe src=//elsewhere.example></iframe>",
    '<form action="/sign-out" method="post"><button>x</button></form>',
    "<style>*{display:none}</style>",
    "[x]: javascript:alert(1)\n\n[x]",
    "`<script>`<svg/onload=alert(1)>",
    "# <base href=//elsewhere.example>",
    '<p id="decision" class="hidden-text" style="x">x</p>',
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_stays_text(text: str) -> None:
    html = str(render(text))
    tags = re.findall(r"<\s*([a-zA-Z0-9]+)([^>]*)>", html)
    assert {tag for tag, _ in tags} <= {"p", "h2", "a", "img", "code"}
    for _, attributes in tags:
        bare = re.sub(r'"[^"]*"', '""', attributes)
        assert not re.search(r"\b(on\w+|style|class|id|srcset)\s*=", bare), html
        assert "elsewhere" not in attributes
        assert not re.search(r"(href|src)=\"\s*(javascript|data):", attributes, re.IGNORECASE)


def test_markdown_that_is_meant_well() -> None:
    html = str(render("# One\n\n1. a\n2. ~~b~~\n\n[c](https://d.example)\n\n![e](/images/1/ab)"))
    assert "<h2>One</h2>" in html
    assert "<s>b</s>" in html
    assert '<a href="https://d.example" rel="noopener noreferrer nofollow">c</a>' in html
    assert '<img src="/images/1/ab" alt="e">' in html
    assert "<td>2</td>" in str(render("|a|\n|-|\n|2|"))
    assert str(render("")) == ""


def test_a_selection_in_words(visit: Visit, db: Database, celeba: int, app: Flask) -> None:
    from labeler.web.campaigns.forms import describe_selection

    assert describe_selection(ImageSelection()) == "all images"
    chosen = ImageSelection(partitions=(2,), attributes={"Wearing_Hat": False}, sample=7, seed=3)
    assert describe_selection(chosen) == "test, not Wearing Hat, 7 at random (seed 3)"


def field_of(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*? value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def test_choosing_a_data_set_keeps_what_was_typed(
    visit: Visit, db: Database, celeba: int, tmp_path: Path
) -> None:
    plain = register_dataset(db, write_images(tmp_path / "plain", 3), activate=False).dataset_id
    check_images(db, plain, processes=1)
    boss = visit("supervisor")
    typed = form(
        plain,
        shown=str(celeba),
        name="Trial <1>",
        vote_cap="9",
        sample="2",
        guideline="Look.",
        partition="1",
        **{"attribute-1": "no"},
    )
    page = boss.submit("/admin/campaigns/try", typed).text
    assert f'<option value="{plain}" selected>' in page
    assert (field_of(page, "name"), field_of(page, "vote_cap")) == ("Trial &lt;1&gt;", "9")
    assert ">\nLook.</textarea>" in page
    assert "2 of 3 images are selected." in page
    refused = boss.submit("/admin/campaigns", typed)
    assert refused.status_code == 422
    assert list(wrong(refused.text)) == ["dataset"]
    assert field_of(refused.text, "shown") == str(plain)
    assert 'name="partition"' not in refused.text, "this data set has none"
    again = {name: text for name, text in typed.items() if name not in ("partition", "attribute-1")}
    assert boss.submit("/admin/campaigns", {**again, "shown": str(plain)}).status_code == 303
    assert images_of(db, "Trial <1>") == 2


def test_a_sample_larger_than_the_set_is_wrong_at_its_field(
    visit: Visit, db: Database, celeba: int
) -> None:
    boss = visit("supervisor")
    message = "The other conditions select 4 images, so the sample has at most 4."
    sent = form(celeba, sample="99999999", partition="2")
    assert count(boss, sent)["problems"] == {"sample": message}
    answer = boss.submit("/admin/campaigns", {**sent, "name": ""})
    assert (answer.status_code, wrong(answer.text)["sample"]) == (422, message)
    assert list(wrong(answer.text)) == ["name", "sample"], "all that is wrong at once"
    assert boss.submit("/admin/campaigns", {**sent, "sample": "4"}).status_code == 303


def test_the_summary_links_to_the_fields(visit: Visit, celeba: int) -> None:
    boss = visit("supervisor")
    for address, dataset in (("/admin/campaigns", celeba), ("/admin/campaigns/1", None)):
        page = boss.submit(address, form(dataset, name=" ", vote_cap="many")).text
        summary = re.search(r'role="alert" tabindex="-1" autofocus>(.*?)</div>', page, re.DOTALL)
        assert summary is not None
        links = re.findall(r'<a href="#(\w+)">([^<]+)</a>', summary[1])
        assert links == [("name", "Name"), ("vote_cap", "Largest number of votes")]
        for name, _ in links:
            assert f'id="{name}"' in page
        assert '<details id="all-rules" class="card" open>' in page
    assert 'class="card" open' not in boss.get("/admin/campaigns/new").text


def test_presets_fill_in_rules_and_tell_their_cost(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("supervisor")
    page = boss.get("/admin/campaigns/new").text
    assert re.findall(r'value="(\w+)"[^>]*aria-pressed="true"', page) == ["careful"]
    assert "60 votes, about 3 minutes of work, up to " in page, "12 images by five people"
    assert "No model has been measured on this data set yet." in page
    typed = form(celeba, name="kept", gold_rate="33", vote_cap="4", preset="research")
    page = boss.submit("/admin/campaigns/try", typed).text
    assert re.findall(r'value="(\w+)"[^>]*aria-pressed="true"', page) == ["research"]
    assert field_of(page, "required_votes") == "5"
    assert (field_of(page, "name"), field_of(page, "gold_rate")) == ("kept", "33")
    found = count(boss, form(celeba, sample="6", vote_cap="4"))
    assert found["preset"] == ""
    assert found["cost"] == describe_cost(forecast_cost(Rules(vote_cap=4), 6))
    quick = next(one for one in PRESETS if one.name == "quick")
    assert found["costs"]["quick"] == describe_cost(forecast_cost(quick.applied(Rules()), 6))
    for name in ("quick", "careful", "research"):
        made = form(celeba, name=name, preset=name)
        assert boss.submit("/admin/campaigns", made).status_code == 303
        rules = stored(db, name).parsed_rules
        assert (rules.named, rules.method == "majority") == (name != "quick", name == "research")


def test_the_forecast_uses_the_accuracy_of_the_model(
    visit: Visit, db: Database, celeba: int
) -> None:
    boss = visit("supervisor")
    strict = form(celeba, threshold="95")
    before = count(boss, strict)["cost"]
    run_id = publish_run(db, celeba, {1: (0.9, 0.05, 0.05)}, utc_now())
    page = boss.get("/admin/campaigns/new").text
    assert "No model has been measured on this data set yet." in page, "a run without figures"
    with db.write() as session:
        run = session.get_one(ModelRun, run_id)
        run.metrics = {"cross_validation": {"accuracy": 0.95, "n": 400}}
    for address in ("/admin/campaigns/new", "/admin/campaigns/1"):
        page = boss.get(address).text
        assert f"The model of run {run_id} is right on 92 to 97 % of the images." in page
    after = count(boss, strict)["cost"]
    assert after != before
    assert after == describe_cost(forecast_cost(Rules(threshold=0.95), 12, wilson(380, 400)))


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (
            Cost(Span(1, 1), (0.001, 0.001), Span(0, 0)),
            "1 vote, about 1 minute of work, hardly any contested image",
        ),
        (
            Cost(Span(1310, 2300), (1.1, 1.9), Span(0, 1)),
            "1,310 to 2,300 votes, about 1 to 2 hours of work, up to 1 contested image",
        ),
        (
            Cost(Span(5000, 5000), (1.0, 1.0), Span(12, 1300)),
            "5,000 votes, about 60 minutes of work, 12 to 1,300 contested images",
        ),
    ],
)
def test_the_words_of_a_cost(cost: Cost, words: str) -> None:
    assert describe_cost(cost) == words


def test_a_change_of_rules_is_forecast(visit: Visit, db: Database, celeba: int) -> None:
    boss = visit("supervisor")
    headers = {"X-CSRFToken": boss.token(), "Accept": "application/json"}
    sent = form(name="celeba", method="majority", required_votes="2")
    answer = boss.client.post("/admin/campaigns/try?campaign=1", data=sent, headers=headers)
    assert answer.get_json()["forecast"].startswith("No finished image opens again. 0 of 12")
    page = boss.submit("/admin/campaigns/try?campaign=1", sent).text
    assert "No finished image opens again." in page
    assert stored(db, "celeba").rules["method"] == "posterior"
    same = boss.client.post(
        "/admin/campaigns/try?campaign=1", data=form(name="celeba"), headers=headers
    )
    assert same.get_json()["forecast"] == ""
    known = boss.client.post(
        "/admin/campaigns/try?campaign=1", data=sent | {"forecast": "kept"}, headers=headers
    )
    assert known.get_json()["forecast"] is None


def test_the_editor_begins_with_the_default_guideline(
    visit: Visit, db: Database, celeba: int
) -> None:
    """Left as it is, or emptied, it stays the default; a change of it is stored."""
    boss = visit("supervisor")
    for address in ("/admin/campaigns/new", "/admin/campaigns/1"):
        found = re.search(r'name="guideline"[^>]*>\n([^<]*)<', boss.get(address).text)
        assert found is not None, address
        assert html.unescape(found[1]) == DEFAULT_GUIDELINE, address
    assert "<h2>Where to look</h2>" in boss.get("/guide").text
    lines = DEFAULT_GUIDELINE.replace("\n", "\r\n")  # as browsers send them
    for sent, kept in (
        (lines, ""),
        ("", ""),
        (f"{lines}\r\nNo hats.", f"{DEFAULT_GUIDELINE}\nNo hats."),
    ):
        answer = boss.confirm("/admin/campaigns/1", form(name="celeba", guideline=sent))
        assert answer.status_code == 303
        assert stored(db, "celeba").guideline == kept
    assert "No hats." in boss.get("/guide").text


def test_the_default_guideline_of_any_language_is_the_default(
    visit: Visit, db: Database, celeba: int
) -> None:
    with in_language("de"):
        german = default_guideline()
    assert german.startswith("# Worauf Sie achten")
    sent = form(name="celeba", guideline=german)
    assert visit("supervisor").confirm("/admin/campaigns/1", sent).status_code == 303
    assert stored(db, "celeba").guideline == ""


def test_the_drawings_stay_beside_an_own_guideline(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    own, boss = "Only the nose counts.", visit("supervisor")
    assert own not in boss.get("/guide").text
    with db.write() as session:
        session.execute(update(Campaign).values(guideline=own))
    page = boss.get("/guide").text
    assert own in page
    assert page.count("Drawing of a head with light from the") == 3
    assert "Where to look" not in page
