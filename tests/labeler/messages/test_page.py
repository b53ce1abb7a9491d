"""Messages between a person and the supervisors."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from labeler.accounts.service import anonymise, deactivate
from labeler.audit.log import Actor, list_events
from labeler.database.engine import Database
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyAttempts
from labeler.messages import service as messages
from labeler.models.people import Message
from tests.conftest import MakeAnnotator
from tests.labeler.acting import NOON, after
from tests.labeler.conftest import Visit

UP_TO = re.compile(r'name="up_to" value="(\d+)"')


def test_a_thread_from_the_pause_to_the_answer(visit: Visit, dataset_id: int) -> None:
    boss, ann, bob = visit("supervisor", "boss"), visit("annotator", "ann"), visit("annotator")
    person = f"/admin/people/{ann.annotator_id}"
    boss.submit(f"{person}/pause", {"reason": "Too fast"})
    for page in ("/label", "/me"):
        text = ann.get(page).text
        assert 'action="/messages"' in text, page
        assert "Too fast" in text, page
    assert "Too fast" in ann.get("/messages").text
    sent = ann.submit("/messages", {"text": "Why am I <paused>?"})
    assert (sent.status_code, sent.location) == (303, "/messages")
    assert 'class="unread">Messages (1)' in boss.get("/admin/").text
    assert "unread" not in bob.get("/me").text
    assert "Why am I &lt;paused&gt;?" in boss.get("/admin/messages").text
    thread = boss.get(f"{person}/messages").text
    assert "Why am I &lt;paused&gt;?" in thread
    up_to = UP_TO.search(thread)
    assert up_to is not None
    assert boss.submit(f"{person}/messages/read", {"up_to": up_to[1]}).status_code == 303
    assert "unread" not in boss.get("/admin/").text
    boss.submit(f"{person}/messages", {"text": "Please take a second for each image."})
    assert 'class="unread">Messages (1)' in ann.get("/label").text
    own = ann.get("/messages").text
    assert "Please take a second for each image." in own
    assert "boss" not in own, "people are not told which supervisor writes"
    ann.submit("/messages/read", {"up_to": UP_TO.search(own)[1]})  # type: ignore[index]
    assert "unread" not in ann.get("/label").text


def test_a_stored_reason_of_a_pause_is_told_in_the_language_of_the_reader(
    visit: Visit, dataset_id: int
) -> None:
    boss, ann = visit("supervisor"), visit("annotator")
    person = f"/admin/people/{ann.annotator_id}"
    boss.submit(f"{person}/pause", {"reason": "The answers do not depend on the images."})
    for reader, page in ((ann, "/messages"), (boss, person), (boss, "/admin/people")):
        reader.submit("/language", {"language": "de"})
        assert "Die Antworten hängen nicht von den Bildern ab." in reader.get(page).text, page


def test_what_was_typed_stays(visit: Visit) -> None:
    boss, ann = visit("supervisor"), visit("annotator")
    long = "x" * (messages.MAX_LENGTH + 1)
    for person, address in (
        (ann, "/messages"),
        (boss, f"/admin/people/{ann.annotator_id}/messages"),
    ):
        answer = person.submit(address, {"text": long})
        assert answer.status_code == 422
        assert "The message has 2,001 characters." in answer.text
        assert long in answer.text
        assert person.submit(address, {"text": " \n"}).status_code == 422


def test_nobody_writes_for_others(visit: Visit) -> None:
    boss, ann, bob = visit("supervisor"), visit("annotator"), visit("annotator")
    theirs = f"/admin/people/{bob.annotator_id}/messages"
    assert ann.get(theirs).status_code == 403
    assert ann.submit(theirs, {"text": "Hello"}).status_code == 403
    own = f"/admin/people/{boss.annotator_id}/messages"
    assert boss.get(own).status_code == 409
    assert boss.submit(own, {"text": "Hello"}).status_code == 409
    assert boss.submit(f"{own}/read", {"up_to": "1"}).status_code == 409
    assert boss.submit("/admin/people/999/messages", {"text": "Hello"}).status_code == 404


def test_a_supervisor_writes_to_the_others(visit: Visit) -> None:
    boss, other = visit("supervisor", "boss"), visit("supervisor", "other")
    boss.submit("/messages", {"text": "I am ill."})
    assert "unread" not in boss.get("/admin/").text
    assert "I am ill." not in boss.get("/admin/messages").text
    assert "I am ill." in other.get("/admin/messages").text


def test_limits(any_db: Database, make_annotator: MakeAnnotator) -> None:
    ann, bob = make_annotator(any_db, "ann").id, make_annotator(any_db, "bob").id
    limit = messages.PER_HOUR["annotator"]
    for second in range(limit):
        with any_db.write() as session:
            messages.send_message(session, ann, "Hello", Actor(ann), now=after(second))
    with any_db.write() as session:
        with pytest.raises(TooManyAttempts, match="20 messages within an hour") as refused:
            messages.send_message(session, ann, "Hello", Actor(ann), now=after(limit))
        assert 3000 < refused.value.retry_after_s <= 3600
        messages.send_message(session, bob, "Hello", Actor(bob), now=after(limit))
        later = NOON + timedelta(hours=1, seconds=1)
        messages.send_message(session, ann, "Hello", Actor(ann), now=later)
        for text in ("", "  ", "x" * 2001):
            with pytest.raises(InvalidInput, match="Enter 1 to 2,000 characters"):
                messages.send_message(session, bob, text, Actor(bob))
        with pytest.raises(Forbidden):
            messages.send_message(session, bob, "Hello", Actor(ann))
        with pytest.raises(NotFound):
            messages.tell(session, 999, "Hello", Actor(ann))


def test_threads_and_pages(any_db: Database, make_annotator: MakeAnnotator) -> None:
    people = [make_annotator(any_db, f"person-{n}").id for n in range(3)]
    boss = make_annotator(any_db, "boss", role="supervisor").id
    with any_db.write() as session:
        for second, (person, by) in enumerate([(0, 0), (1, 1), (2, 2), (0, 0), (1, boss)], start=1):
            author = by if by == boss else people[by]
            text, at = f"number {second}", after(second)
            messages.send_message(session, people[person], text, Actor(author), now=at)
    with any_db.read() as session:
        threads = messages.list_threads(session)
        assert [(one.person.username, one.last.text, one.unread) for one in threads] == [
            ("person-1", "number 5", 1),
            ("person-0", "number 4", 2),
            ("person-2", "number 3", 1),
        ]
        rest = messages.list_threads(session, before=threads[0].last.id, limit=1)
        assert [one.person.username for one in rest] == ["person-0"]
        newest = messages.list_messages(session, people[0], limit=1)
        older = messages.list_messages(session, people[0], before=newest[0].message.id)
        assert [one.message.text for one in (*newest, *older)] == ["number 4", "number 1"]
        assert messages.count_unread(session, boss, supervises=True) == 4
        assert messages.count_unread(session, people[1], supervises=False) == 1
    with any_db.write() as session:
        first = messages.list_messages(session, people[0])[-1].message.id
        read = messages.mark_read(session, people[0], as_person=False, up_to=first)
        assert read == 1, "a message that came later stays unread"
        assert messages.mark_read(session, people[0], as_person=True, up_to=99) == 0


def test_anonymising_deletes_the_thread(any_db: Database, make_annotator: MakeAnnotator) -> None:
    boss = make_annotator(any_db, "boss", role="admin").id
    ann, bob = make_annotator(any_db, "ann").id, make_annotator(any_db, "bob").id
    with any_db.write() as session:
        messages.send_message(session, ann, "I am Ann Example.", Actor(ann))
        messages.send_message(session, ann, "Dear Ann", Actor(boss))
        messages.send_message(session, bob, "Dear Bob", Actor(boss))
        deactivate(session, ann, Actor(boss))
        messages.send_message(session, ann, "You can come back.", Actor(boss))
        anonymise(session, ann, Actor(boss))
        assert [one.text for one in session.scalars(select(Message))] == ["Dear Bob"]
        with pytest.raises(Conflict, match="anonymised"):
            messages.send_message(session, ann, "Hello?", Actor(boss))
        logged = [one.event.details for one in list_events(session, action="message_sent")]
    assert len(logged) == 4
    assert "Ann" not in str(logged)
