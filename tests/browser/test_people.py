"""Between a person and a supervisor: a flag, a message, an answer sent back and given again."""

from __future__ import annotations

from playwright.sync_api import expect
from sqlalchemy import select

from labeler.models.people import ImageFlag, Message
from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import (
    Diary,
    follow,
    open_label_page,
    shown_image,
    violations,
)


def test_flag_message_send_back_and_answer_again(site: Site, sign_in: SignIn) -> None:
    person, boss = sign_in(), sign_in("supervisor")
    page = person.page
    open_label_page(page)
    flagged = shown_image(page)
    page.keyboard.press("f")
    dialog = page.get_by_role("dialog", name="Flag this image")
    expect(dialog).to_be_visible()
    assert violations(person) == []
    page.keyboard.press("2")
    expect(page.get_by_label("There is no face, or more than one")).to_be_checked()
    page.get_by_label("Comment").fill("1 face in the mirror")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#notice")).to_contain_text("The image is flagged.")
    assert site.votes_of(person.username) == [], "digits in the dialog are no answers"
    diary = Diary(page)
    diary.press("ArrowLeft")
    diary.press("ArrowLeft")
    diary.wait_until_sent()

    boss.page.goto("/admin/images?flagged=yes")
    follow(boss.page.locator(f'.pictures a[href^="/admin/images/{flagged}"]'))
    expect(boss.page.get_by_text("1 face in the mirror")).to_be_visible()
    follow(boss.page.locator("#flags").get_by_role("link", name=person.username))
    expect(boss.page.get_by_role("heading", level=1)).to_have_text(person.username)
    assert violations(boss) == []
    follow(boss.page.get_by_role("link", name="Messages", exact=True).last)
    boss.page.get_by_label("Your message").fill("Thank you for the flag.")
    follow(boss.page.get_by_role("button", name="Send"))
    expect(boss.page.locator(".thread")).to_contain_text("Thank you for the flag.")
    follow(boss.page.get_by_role("link", name=person.username).first)
    boss.page.get_by_role("checkbox").first.check()
    follow(boss.page.get_by_role("button", name="Send the ticked answers back"))
    follow(boss.page.get_by_role("button", name="Send 1 answer back"))
    expect(boss.page.get_by_text("1 answer sent back.")).to_be_visible()

    page.goto("/label")
    with page.expect_response("**/messages/read"):
        follow(page.get_by_role("link", name="Messages (2)"))
    expect(page.locator(".thread")).to_contain_text("Please look at 1 image again.")
    expect(page.get_by_role("button", name="Mark as read")).to_be_hidden()
    page.goto("/me")
    expect(page.get_by_role("link", name="Messages (2)")).to_have_count(0)
    again = page.locator("#again")
    expect(again).to_contain_text("To look at again (1)")
    assert violations(person) == []
    follow(again.get_by_role("button", name="left"))
    expect(page.locator("#again")).to_have_count(0)
    answers = [vote.superseded_at is None for vote in site.votes_of(person.username)]
    assert answers == [True, False, True], "the earlier vote stays on record"
    with site.db.read() as session:
        assert [flag.image_id for flag in session.scalars(select(ImageFlag))] == [flagged]


def test_a_paused_person_answers_and_keeps_what_was_typed(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    site.pause(person.username, "Too fast")
    page = person.page
    page.goto("/label")
    field = page.get_by_label("Your message to the people who run the labelling")
    expect(field).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert violations(person) == []
    field.fill("")
    field.press_sequentially("Why? 1 z u")
    page.reload()
    page.wait_for_load_state("networkidle")
    expect(field).to_have_value("Why? 1 z u")
    person.context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("Offline")
    expect(field).to_have_value("Why? 1 z u")
    person.context.set_offline(False)
    expect(page.locator("#connection")).to_have_text("")
    follow(page.get_by_role("button", name="Send"))
    expect(page.locator(".thread")).to_contain_text("Why? 1 z u")
    expect(page.get_by_label("Your message")).to_have_value("")
    with site.db.read() as session:
        assert "Why? 1 z u" in session.scalars(select(Message.text)).all()
