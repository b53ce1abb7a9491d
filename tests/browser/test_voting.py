"""A person labels: with keys, with a connection that drops, in two windows, without scripts."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from labeler.campaigns import service as campaigns
from labeler.campaigns.audience import EVERYBODY, Audience, set_audience
from labeler.campaigns.service import CampaignPlan
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.voting import Vote
from tests.browser.conftest import IMAGES, RULES, WAIT_MS, SignIn, Site
from tests.browser.label_page import (
    KEYS,
    Diary,
    answer_by_key,
    follow,
    label_page_opens,
    open_label_page,
    shown_image,
    violations,
    wait_until_sent,
)

PASSWORD = "a sentence that is long"
TEN = ["ArrowLeft", "ArrowUp", "ArrowRight", "u", "ArrowLeft"] * 2
CONTROL, SHIFT = 2, 8  # as the protocol of the browser's tools numbers them
MEASURE = """() => {
  window.waits = [];
  let pressed = 0, last = null;
  addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => {
    const picture = document.querySelector("#stage img");
    if (!picture?.complete || picture === last) return;
    last = picture;
    window.waits.push(performance.now() - pressed);
  })).observe(document.getElementById("stage"), { childList: true });
}"""


def assert_stored_once(site: Site, username: str, diary: Diary) -> list[Vote]:
    """Every acknowledged vote is there once, and what counts is what was pressed last."""
    votes = site.votes_of(username)
    stored = Counter(vote.request_id for vote in votes)
    assert set(diary.acknowledged) == set(stored)
    assert set(stored.values()) <= {1}
    current = {vote.image_id: vote.answer for vote in votes if vote.superseded_at is None}
    assert current == diary.pressed
    return votes


def join(page: Page, link: str, username: str) -> None:
    page.goto(link)
    page.fill("#username", username)
    page.fill("#password", PASSWORD)
    follow(page.get_by_role("button", name="Create account"))


def test_from_the_invite_to_ten_labels(site: Site, chromium: Browser) -> None:
    """The whole way of a class: admin by one-time link, student by invite, ten pictures."""
    tag = secrets.token_hex(4)
    admin = chromium.new_context(base_url=site.url).new_page()
    join(admin, site.admin_link(), f"admin-{tag}")
    follow(admin.get_by_role("link", name="People", exact=True))
    follow(admin.get_by_role("link", name="Invites"))
    admin.get_by_label("Who it is for").fill("Monday")
    follow(admin.get_by_role("button", name="Create link"))
    link = admin.locator("#link").input_value()

    student = chromium.new_context(base_url=site.url).new_page()
    join(student, link, f"student-{tag}")
    with label_page_opens(student):
        student.get_by_role("link", name="Start labelling").click()
    diary = Diary(student)
    for key in TEN[:4]:
        diary.press(key)
    again = diary.undo()
    assert shown_image(student) == again
    for key in TEN[3:6]:
        diary.press(key)
    diary.wait_until_sent()
    student.context.set_offline(True)
    for key in TEN[6:9]:
        diary.press(key)
    expect(student.locator("#connection")).to_have_text("Offline: 3 votes kept here")
    student.context.set_offline(False)
    diary.wait_until_sent()
    diary.press(TEN[9])
    diary.wait_until_sent()
    expect(student.locator("#connection")).to_have_text("")
    assert_stored_once(site, f"student-{tag}", diary)
    assert len(diary.pressed) == 10
    expect(student.locator("#count")).to_contain_text("10 answered")
    for page in (admin, student):
        page.context.close()


def test_server_killed_while_labelling(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    for key in TEN[:3]:
        diary.press(key)
    site.kill()
    for key in TEN[3:6]:
        diary.press(key)
    diary.undo()
    diary.press("ArrowRight")
    site.start()
    diary.wait_until_sent()
    assert_stored_once(site, person.username, diary)


def test_votes_survive_a_closed_window(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    person.context.set_offline(True)
    for key in TEN[:3]:
        diary.press(key)
    person.page.close()
    assert site.votes_of(person.username) == []
    person.context.set_offline(False)
    page = person.context.new_page()
    later = Diary(page, dict(diary.pressed))
    open_label_page(page)
    assert shown_image(page) not in diary.pressed
    later.wait_until_sent()
    assert_stored_once(site, person.username, later)
    assert later.undo() == list(diary.pressed)[-1]
    later.wait_until_sent()
    assert_stored_once(site, person.username, later)


def test_undo_of_a_vote_that_never_left(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    person.context.set_offline(True)
    for key in TEN[:3]:
        diary.press(key)
    diary.undo()
    person.context.set_offline(False)
    diary.wait_until_sent()
    votes = assert_stored_once(site, person.username, diary)
    assert len(votes) == 2  # the third was taken back before it was ever tried


def test_signed_out_in_the_middle(site: Site, sign_in: SignIn) -> None:
    """The answers wait for their owner, and are not sent for the next person at the machine."""
    person, other = sign_in(), sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    mine, theirs = person.context.cookies(), other.context.cookies()
    person.context.clear_cookies()
    diary.press("ArrowLeft")
    expect(person.page.get_by_role("alert")).to_contain_text("kept in this browser")
    person.context.add_cookies(theirs)  # type: ignore[arg-type]
    diary.press("ArrowRight")
    expect(person.page.get_by_role("alert")).to_contain_text("Somebody else")
    assert site.votes_of(person.username) == site.votes_of(other.username) == []
    person.context.add_cookies(mine)  # type: ignore[arg-type]
    open_label_page(person.page)
    diary.wait_until_sent()
    assert site.votes_of(other.username) == []
    assert_stored_once(site, person.username, diary)


def test_two_windows_at_once(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    pages = [person.page, person.context.new_page()]
    diaries = []
    for page in pages:
        open_label_page(page)
        diaries.append(Diary(page))
    person.context.set_offline(True)
    for key in TEN[:2]:
        for diary in diaries:
            diary.press(key)
    person.context.set_offline(False)
    for diary in diaries:
        diary.wait_until_sent()
    votes = site.votes_of(person.username)
    assert len({vote.request_id for vote in votes}) == len(votes) == 4
    current = {vote.image_id: vote.answer for vote in votes if vote.superseded_at is None}
    assert current.keys() == diaries[0].pressed.keys() | diaries[1].pressed.keys()


def test_a_refused_vote_is_said_and_dropped(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    refusal = '{"ok": false, "error": {"code": "stale_lease", "message": "Too late for this one."}}'
    person.page.route(
        "**/label/votes",
        lambda route: route.fulfill(status=409, content_type="application/json", body=refusal),
    )
    answer_by_key(person.page, "ArrowLeft")
    expect(person.page.get_by_role("alert")).to_contain_text("Too late for this one.")
    wait_until_sent(person.page)
    expect(person.page.locator("#count")).to_contain_text("0 answered")


def test_a_captive_portal_is_not_an_acknowledgement(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    person.page.route("**/label/votes", lambda route: route.fulfill(status=200, body="<p>Welcome!"))
    diary.press("ArrowLeft")
    expect(person.page.locator("#connection")).to_have_text("Offline: 1 vote kept here")
    person.page.unroute("**/label/votes")
    diary.wait_until_sent()
    assert_stored_once(site, person.username, diary)


def test_on_plain_http(site: Site, sign_in: SignIn) -> None:
    """Outside this machine, browsers offer neither locks nor random UUIDs without https."""
    person = sign_in()
    person.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });"
        "Object.defineProperty(Crypto.prototype, 'randomUUID', { value: undefined });"
    )
    open_label_page(person.page)
    diary = Diary(person.page)
    for key in TEN[:3]:
        diary.press(key)
    diary.undo()
    diary.press("u")
    diary.wait_until_sent()
    assert_stored_once(site, person.username, diary)


@pytest.mark.slow
def test_next_picture_at_the_key_press(
    site: Site, sign_in: SignIn, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Records the waits; they depend on the machine, so that only their being there is asserted."""
    person = sign_in()
    open_label_page(person.page)
    person.page.evaluate(MEASURE)
    diary = Diary(person.page)
    for number, key in enumerate(TEN * 2, 1):
        diary.press(key)
        person.page.wait_for_function("count => window.waits.length === count", arg=number)
        person.page.wait_for_timeout(300)  # as somebody does who looks at a picture
    diary.wait_until_sent()
    waits = sorted(person.page.evaluate("window.waits"))
    record_testsuite_property("next_picture_median_ms", round(waits[len(waits) // 2], 1))
    record_testsuite_property("next_picture_worst_ms", round(waits[-1], 1))
    assert len(waits) == 20


def test_a_vote_brings_the_next_pictures(site: Site, sign_in: SignIn) -> None:
    """After the start nothing else is asked for: one request for each answer."""
    person = sign_in()
    open_label_page(person.page)
    asked: list[str] = []
    person.page.on("request", lambda sent: asked.append(sent.url.removeprefix(site.url)))
    diary = Diary(person.page)
    for key in TEN:
        diary.press(key)
        wait_until_sent(person.page)
    calls = [address for address in asked if not address.startswith("/images/")]
    assert calls == ["/label/votes"] * len(TEN)
    assert_stored_once(site, person.username, diary)


def test_pictures_stay_in_hand_as_long_as_the_page_is_used(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    person.page.clock.install()
    open_label_page(person.page)
    image = shown_image(person.page)
    half = site.settings.lease_seconds * 1000 // 2
    before = site.lease_ends(person.username)
    asked: list[str] = []
    ended: list[str] = []
    person.page.on("request", lambda sent: asked.append(sent.url))
    for event in ("requestfinished", "requestfailed"):
        person.page.on(event, lambda sent: ended.append(sent.url))

    def advance(milliseconds: int) -> None:
        """Let each timer fire at most once, then let the site answer before time goes on."""
        person.page.clock.fast_forward(milliseconds)
        deadline = time.monotonic() + WAIT_MS / 1000
        while len(ended) < len(asked):
            assert time.monotonic() < deadline, "a request has not ended"
            person.page.wait_for_timeout(20)

    with person.page.expect_request("**/label/leases"):
        advance(half + 100)
    assert asked == [f"{site.url}/label/leases"]
    after = site.lease_ends(person.username)
    assert after.keys() == before.keys()
    assert all(after[one] > before[one] for one in before)
    assert shown_image(person.page) == image
    advance(2 * half)  # nobody is there any more
    asked.clear()
    ended.clear()
    for _ in range(4):
        advance(half)
    assert asked == []


def test_a_mirrored_picture_is_seen_mirrored(site: Site, sign_in: SignIn) -> None:
    """What is pressed is what is seen; stored is what the file says."""
    person = sign_in()
    swapped = {"left": "right", "right": "left"}
    with site.ruled_by(mirror_views=True):
        open_label_page(person.page)
        seen = {}
        for key in TEN * 2:  # all of them the same way round: once in 500 000 times
            style = "e => getComputedStyle(e).transform"
            turned = (
                person.page.locator("#stage img").evaluate(style) == "matrix(-1, 0, 0, 1, 0, 0)"
            )
            seen[answer_by_key(person.page, key)] = turned
            wait_until_sent(person.page)
        assert set(seen.values()) == {True, False}
        votes = site.votes_of(person.username)
        assert {vote.image_id: vote.mirrored for vote in votes} == seen
        for vote, key in zip(votes, TEN * 2, strict=True):
            said = KEYS[key]
            assert vote.answer == (swapped.get(said, said) if vote.mirrored else said)


def test_the_page_says_why_there_is_no_picture(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    site.pause(person.username, "Please talk to me first.")
    stage = person.page.locator("#stage img, #stage h2").first
    while person.page.locator("#stage h2").count() == 0:
        person.page.keyboard.press("1")
        stage.wait_for()
    expect(person.page.get_by_role("heading", name="You are paused.")).to_be_visible()
    expect(person.page.locator("#stage")).to_contain_text("Reason: Please talk to me first.")
    expect(person.page.get_by_role("button", name="Left")).to_be_disabled()
    held = len(site.votes_of(person.username))
    assert held == site.settings.prefetch + 1, "what was in hand could still be answered"
    assert violations(person) == []
    follow(person.page.get_by_role("link", name="Read the guide"))
    expect(person.page.get_by_role("heading", level=1)).to_have_text("How to judge the light")


# What is typed, the place of the key on a US keyboard, and what it means.
KEYBOARDS = [
    ("&", "Digit1", "left"),  # French, without Shift
    ("\u011b", "Digit2", "center"),  # Czech
    ("\u0663", "Digit3", "right"),  # Arabic digits
    ("\u0433", "KeyU", "unsure"),  # Russian
    ("\u0639", "KeyU", "unsure"),  # Arabic
    ("Process", "KeyU", "unsure"),  # an input method
    ("u", "KeyF", "unsure"),  # Dvorak: the letter counts
]
UNDO = [("\u044f", "KeyZ"), ("y", "KeyZ"), ("z", "KeyY"), ("z", "KeyW")]  # Russian, Czech, French


def test_keys_of_other_keyboards(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary, keyboard = Diary(person.page), person.context.new_cdp_session(person.page)

    def press(typed: str, place: str, modifiers: int = 0) -> None:
        event = {"key": typed, "code": place, "modifiers": modifiers}
        for kind in ("rawKeyDown", "keyUp"):
            keyboard.send("Input.dispatchKeyEvent", {"type": kind, **event})

    for typed, place, answer in KEYBOARDS:
        image = shown_image(person.page)
        press(typed, place)
        expect(person.page.locator(f"#stage img[src^='/images/{image}/']")).to_have_count(0)
        diary.pressed[image] = answer
    for typed, place in UNDO:
        (image, _) = diary.pressed.popitem()
        press(typed, place)
        expect(person.page.locator(f"#stage img[src^='/images/{image}/']")).to_have_count(1)
    image = shown_image(person.page)
    press("!", "Digit1", SHIFT)  # on a US keyboard this is no digit
    press("1", "Digit1", CONTROL)
    press("\u061f", "Slash", SHIFT)
    expect(person.page.locator("#help")).to_be_visible()
    assert shown_image(person.page) == image
    diary.wait_until_sent()
    assert_stored_once(site, person.username, diary)


def test_holding_a_key_answers_once(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    for _ in range(5):
        person.page.keyboard.down("ArrowLeft")
    person.page.keyboard.up("ArrowLeft")
    diary.wait_until_sent()
    assert len(site.votes_of(person.username)) == 1


def test_without_scripts(site: Site, sign_in: SignIn) -> None:
    person = sign_in(java_script_enabled=False)
    page = person.page
    page.goto("/label")
    pressed = {}
    for answer in ("Left", "Unsure", "Right"):
        pressed[shown_image(page)] = answer.lower()
        follow(page.get_by_role("button", name=answer))
    follow(page.get_by_role("button", name="Undo"))
    assert shown_image(page) == list(pressed)[-1]
    pressed[shown_image(page)] = "center"
    follow(page.get_by_role("button", name="Center"))
    follow(page.get_by_role("link", name="Help"))
    expect(page.get_by_role("heading", level=1)).to_have_text("How to judge the light")
    votes = site.votes_of(person.username)
    assert {v.image_id: v.answer for v in votes if v.superseded_at is None} == pressed


def test_label_everything(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    stage = person.page.locator("#stage img, #stage h2").first
    for _ in range(IMAGES):
        stage.wait_for()
        person.page.keyboard.press("1")
    wait_until_sent(person.page)
    expect(person.page.get_by_role("heading", name="Thank you")).to_be_visible()
    votes = site.votes_of(person.username)
    assert len({vote.image_id for vote in votes}) == len(votes)
    assert len(votes) == IMAGES


def test_answers_in_hand_are_taken_when_another_campaign_is_activated(
    site: Site, sign_in: SignIn
) -> None:
    """As in a pause: those sent at once and those that waited without a connection."""
    person = sign_in()
    open_label_page(person.page)
    diary = Diary(person.page)
    diary.press("ArrowLeft")
    diary.wait_until_sent()
    with site.db.read() as session:
        dataset_id = session.scalars(select(Campaign.dataset_id).where(Campaign.active)).one()
    made = campaigns.create_campaign(
        site.db, dataset_id, CampaignPlan(f"next {person.username}", RULES)
    )
    with site.db.write() as session:
        campaigns.activate_campaign(session, made)
        campaigns.deactivate_campaign(session, 1)
    try:
        diary.press("ArrowRight")
        diary.wait_until_sent()
        person.context.set_offline(True)
        for key in ("ArrowLeft", "u"):
            diary.press(key)
        person.context.set_offline(False)
        diary.wait_until_sent()
        expect(person.page.locator("#notice")).to_be_hidden()
        votes = site.votes_of(person.username)
        assert [(one.campaign_id, one.answer) for one in votes] == [
            (1, answer) for answer in ("left", "right", "left", "unsure")
        ]
        assert {one.image_id: one.answer for one in votes} == diary.pressed
        person.page.reload()
        expect(person.page.locator("#answers [name=campaign_id]")).to_have_value(str(made))
    finally:
        with site.db.write() as session:
            campaigns.activate_campaign(session, 1)
            campaigns.deactivate_campaign(session, made)


def test_a_person_changes_between_two_campaigns_and_loses_nothing(
    site: Site, sign_in: SignIn
) -> None:
    """Also answers that wait without a connection count where their images were assigned."""
    person = sign_in()
    page = person.page
    with site.db.read() as session:
        dataset_id = session.scalars(select(Campaign.dataset_id).where(Campaign.active)).one()
    open_label_page(page)
    expect(page.locator(".chooser")).to_have_count(0)
    made = campaigns.create_campaign(
        site.db, dataset_id, CampaignPlan(f"beside {person.username}", RULES)
    )
    with site.db.write() as session:
        campaigns.activate_campaign(session, made)
    try:
        diary = Diary(page)
        diary.press("ArrowLeft")
        diary.wait_until_sent()
        with label_page_opens(page):
            page.reload()
        expect(page.locator("#campaign-name")).to_have_text("faces")
        assert violations(person) == []
        other = person.context.new_page()
        open_label_page(other)
        other.locator(".chooser summary").click()
        with label_page_opens(other):
            other.get_by_role("button", name=f"beside {person.username}").click()
        expect(other.locator("#answers [name=campaign_id]")).to_have_value(str(made))
        person.context.set_offline(True)  # the first window still shows an image of `faces`
        diary.press("ArrowRight")
        person.context.set_offline(False)
        diary.wait_until_sent()
        there = Diary(other)
        there.press("u")
        there.wait_until_sent()
        expect(other.locator("#notice")).to_be_hidden()
        votes = [(one.campaign_id, one.answer) for one in site.votes_of(person.username)]
        assert votes == [(1, "left"), (1, "right"), (made, "unsure")]
    finally:
        with site.db.write() as session:
            campaigns.deactivate_campaign(session, made)


def test_a_person_in_no_campaign_is_told_so(site: Site, sign_in: SignIn) -> None:
    boss, person = sign_in("supervisor"), sign_in()
    with site.db.write() as session:
        boss_id = session.scalars(
            select(Annotator.id).where(Annotator.username == boss.username)
        ).one()
        found = campaigns.get_campaign(session, 1)
        set_audience(session, found, Audience(True, frozenset({boss_id})))
    try:
        person.page.goto("/label")
        expect(person.page.get_by_role("heading", level=2)).to_have_text(
            "You are in no active campaign."
        )
        expect(person.page.locator("#why")).to_contain_text(person.username)
        assert violations(person) == []
    finally:
        with site.db.write() as session:
            set_audience(session, campaigns.get_campaign(session, 1), EVERYBODY)
