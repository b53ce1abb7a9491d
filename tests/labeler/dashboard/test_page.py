"""The dashboards: who sees them, what they say, how they keep themselves up to date."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select, update

from labeler.campaigns.service import CampaignPlan, create_campaign
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import InvalidInput
from labeler.mean_faces import files
from labeler.mean_faces.files import Options
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Participation
from labeler.models.consensus import Gold
from labeler.models.images import Image
from labeler.models.proposals import ModelRun
from labeler.models.voting import Vote
from labeler.progress.campaign_progress import CampaignProgress
from labeler.progress.throughput import Forecast
from labeler.quality.refresh import refresh_campaign
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.statistics.intervals import Interval
from labeler.web import dashboard
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import publish_run, set_rules, waiting
from tests.labeler.conftest import Browser, Visit, lease

PAGES = ("/admin/", "/admin/quality", "/admin/agreement", "/admin/runs", "/admin/mean-faces")
IMAGES = 60
FRAGMENT = {"X-Fragment": "1"}


@pytest.fixture
def campaign_id(db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator) -> int:
    """Sixty images that five people have voted on; one of them does not look."""
    dataset_id = make_dataset(db, IMAGES)
    set_rules(db, required_votes=5)
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, IMAGES + 1)
    words = ("left", "center", "right")
    sure = {image: tuple(np.eye(3)[truth[image]] * 0.7 + 0.1) for image in range(1, IMAGES + 1)}
    run_id = publish_run(db, dataset_id, sure, utc_now())
    names = ("ada", "bea", "cyd", "dan", "zoe")
    people = {name: make_annotator(db, name).id for name in names}
    with db.write() as session:
        session.add_all(
            Gold(campaign_id=1, image_id=image, label=words[truth[image]], source="csv")
            for image in range(1, 11)
        )
        for name, number in people.items():
            for image in range(1, IMAGES + 1):
                looks = name != "zoe" and rng.random() < 0.9
                answer = words[truth[image]] if looks else words[rng.integers(0, 3)]
                blind = bool(rng.random() < 0.4)
                session.add(
                    Vote(
                        campaign_id=1,
                        image_id=image,
                        annotator_id=number,
                        answer=answer,
                        request_id=str(uuid.uuid4()),
                        blind=blind,
                        elapsed_ms=1200,
                        shown_run_id=None if blind else run_id,
                        shown_label=None if blind else words[truth[image]],
                        withheld_label=words[truth[image]] if blind else None,
                        mirrored=bool(rng.random() < 0.5),
                        planted=False,
                        mode="single",
                    )
                )
        session.flush()
        rebuild(session, 1)
    return 1


@pytest.fixture
def boss(visit: Visit) -> Browser:
    return visit("supervisor", "boss")


@pytest.mark.parametrize("address", PAGES)
def test_annotators_never_see_them(visit: Visit, campaign_id: int, address: str) -> None:
    assert visit("annotator").get(address).status_code == 403
    assert visit(None).get(address).status_code == 401


@pytest.mark.parametrize("address", PAGES)
def test_each_says_what_to_do_before_there_is_anything(boss: Browser, address: str) -> None:
    page = boss.get(address)
    assert page.status_code == 200
    assert 'class="empty"' in page.text


def test_the_overview_says_how_far_it_is(boss: Browser, campaign_id: int) -> None:
    page = boss.get("/admin/").text
    assert f">{IMAGES} images</a>" in page
    assert f"<dt>votes</dt><dd>{5 * IMAGES}</dd>" in page
    assert "<dt>people working now</dt><dd>5</dd>" in page
    assert "votes per hour" in page or "All images are finished" in page
    assert "Votes per 10 minutes" in page
    for period, words in (("hour", "Votes per hour"), ("day", "Votes per day"), ("?", "10 min")):
        assert words in boss.get(f"/admin/?per={period}").text


def test_a_plot_has_its_numbers_as_a_table(boss: Browser, campaign_id: int) -> None:
    page = boss.get("/admin/?per=hour").text
    plot = page[page.index('class="plot"') : page.index("</figure>")]
    told = re.search(r'role="img" aria-label="Votes per hour\. ([\d,]+) votes in all', plot)
    assert told is not None
    assert int(told[1]) == 5 * IMAGES
    cells = re.findall(r'<td class="number">(\d+)</td>', plot)
    assert sum(map(int, cells)) == 5 * IMAGES
    assert len(cells) == 48


def test_the_quality_table_puts_first_who_needs_a_look(
    boss: Browser, db: Database, campaign_id: int
) -> None:
    refresh_campaign(db, 1)
    page = boss.get("/admin/quality").text
    assert names(page)[0] == "zoe"
    assert "The answers do not depend on the images." in page
    assert page.count("<tr>") == 6
    assert names(boss.get("/admin/quality?sort=person&order=ascending").text) == [
        "ada",
        "bea",
        "cyd",
        "dan",
        "zoe",
    ]
    assert names(boss.get("/admin/quality?sort=person&order=descending").text)[0] == "zoe"
    assert names(boss.get("/admin/quality?sort=agreement").text)[0] == "zoe"
    by_votes = boss.get("/admin/quality?sort=votes").text
    assert re.search(r'aria-sort="descending"><a [^>]*order=ascending[^>]*>Votes', by_votes)
    assert len(names(boss.get("/admin/quality?sort=nonsense&order=sideways").text)) == 5


def names(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a [^>]*>([a-z]+)</a>', page)


def test_one_person(boss: Browser, db: Database, campaign_id: int) -> None:
    with db.read() as session:
        number = session.scalar(select(Annotator.id).where(Annotator.username == "zoe"))
    assert boss.get(f"/admin/quality/{number}").status_code == 404
    refresh_campaign(db, 1)
    page = boss.get(f"/admin/quality/{number}").text
    assert "Answers compared with the label" in page
    assert "Right on gold" in page
    assert "n = 10" in page
    with db.read() as session:
        assert session.get_one(Participation, (1, number)).status == "paused"
    assert ">paused</span>" in page


def test_agreement_tells_what_it_can(boss: Browser, db: Database, campaign_id: int) -> None:
    assert "There are no figures yet" in boss.get("/admin/agreement").text
    refresh_campaign(db, 1)
    page = boss.get("/admin/agreement").text
    assert f"From {5 * IMAGES} votes" in page
    assert "Krippendorff’s alpha" in page
    assert "Cohen’s kappa of each pair of people" in page
    assert "showing the suggestion has no proven effect" in page
    assert "nobody has answered a gold question with a wrong suggestion" in page
    assert "the scale" not in page


def test_the_fragment_is_the_page_without_its_frame(
    boss: Browser, db: Database, campaign_id: int
) -> None:
    refresh_campaign(db, 1)
    for address in PAGES:
        page, part = boss.get(address).text, boss.get(address, headers=FRAGMENT).text
        assert "<html" in page
        assert "<html" not in part
        assert '<main lang="en">' in part, "live.js loads the page again in another language"
        assert '<nav class="top-row"' not in part
        parts = re.findall(r'data-part="(\w+)"', page)
        assert parts == re.findall(r'data-part="(\w+)"', part)
        assert len(parts) == len(set(parts)) > 0
        assert "layout/live.js" in page


def test_parts_that_are_replaced_hold_no_form(
    boss: Browser, db: Database, campaign_id: int
) -> None:
    """Its token differs in every answer: the part would change each time, under people's hands."""
    refresh_campaign(db, 1)
    for address in PAGES:
        tokens = [boss.get(address, headers=FRAGMENT).text for _ in range(2)]
        without = [
            re.sub(r'<form.*?</form>|<div class="live.*?</div>', "", one, flags=re.S)
            for one in tokens
        ]
        assert without[0] == without[1]
        assert "csrf_token" not in without[0]


def test_runs_are_listed_and_compared(boss: Browser, db: Database, campaign_id: int) -> None:
    measured(db, 40, 0.7)
    measured(db, 80, 0.9)
    page = boss.get("/admin/runs").text
    assert "+20.0 points" in page
    assert "Accuracy goes from 70.0 % with 40 images to 90.0 % with 80." in page
    assert page.count("<strong>current</strong>") == 1
    turned = boss.get("/admin/runs?a=3&b=2").text
    assert "−20.0 points" in turned
    assert boss.get("/admin/runs?a=999&b=x").status_code == 200


def measured(db: Database, n_training: int, accuracy: float) -> None:
    run_id = publish_run(db, 1, {}, utc_now())
    found = {"accuracy": accuracy, "accuracy_of_commonest_label": 0.4, "ece": 0.03}
    with db.write() as session:
        run = session.get_one(ModelRun, run_id)
        run.metrics = {"n_training": n_training, "cross_validation": found}


@pytest.fixture
def turned(db: Database, campaign_id: int) -> Iterator[None]:
    """The heads look to both sides."""
    with db.write() as session:
        session.execute(update(Image).values(yaw_deg=(Image.id % 5) * 14.0 - 28.0))
    return


@pytest.mark.usefixtures("turned")
def test_mean_faces_are_drawn_by_a_job_and_shown(
    boss: Browser, db: Database, settings: Settings
) -> None:
    assert "has not been drawn yet" in boss.get("/admin/mean-faces").text
    assert boss.get("/admin/mean-faces.png").status_code == 404
    answer = boss.submit("/admin/mean-faces", {"min": "80", "mirror": "yes"})
    assert answer.status_code == 303
    assert waiting(db) == 1
    page = boss.get(answer.headers["Location"]).text
    assert "Draw the mean faces" in page
    assert re.search(r'value="80" selected', page)
    files.make(db, settings.home, 1, Options(mirror=True, min_percent=80))
    page = boss.get(answer.headers["Location"]).text
    source = re.search(r'<img src="([^"]+)"', page)
    assert source is not None
    picture = boss.get(source[1].replace("&amp;", "&"))
    assert (picture.status_code, picture.mimetype) == (200, "image/png")
    assert picture.data.startswith(b"\x89PNG")
    assert "Each also counts as its mirror image." in page
    assert "has not been drawn yet" in boss.get("/admin/mean-faces?min=95").text
    download = boss.get("/admin/mean-faces.png?min=80&mirror=yes&download=yes")
    assert "attachment" in download.headers["Content-Disposition"]


def test_choices_that_cannot_be(boss: Browser, campaign_id: int) -> None:
    for given in ("x", "101", "-1"):
        assert boss.get(f"/admin/mean-faces?min={given}").status_code == 422
    with pytest.raises(InvalidInput):
        Options(min_percent=101)


def test_numbers_follow_the_votes_without_a_refresh(visit: Visit, dataset_id: int) -> None:
    supervisor, ann = visit("supervisor"), visit("annotator")
    assert "<dt>votes</dt><dd>0</dd>" in supervisor.get("/admin/").text
    [image] = lease(ann)
    vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
    stored = ann.send("/label/votes", vote).get_json()
    assert "<dt>votes</dt><dd>1</dd>" in supervisor.get("/admin/").text
    assert ann.send(f"/label/votes/{stored['vote']['id']}/undo", {}).status_code == 200
    assert "<dt>votes</dt><dd>0</dd>" in supervisor.get("/admin/").text


def test_people_are_listed_with_the_votes_that_count(visit: Visit, dataset_id: int) -> None:
    admin, ann = visit("admin"), visit("annotator", "ada")
    images = lease(ann, 3)
    for image in images:
        vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
        stored = ann.send("/label/votes", vote).get_json()
    ann.send(f"/label/votes/{stored['vote']['id']}/undo", {})
    row = admin.get("/admin/people").text.partition(">ada<")[2].partition("</tr>")[0]
    assert re.search(r'data-label="Votes"[^>]*>2<', row)


def test_all_pages_count_the_votes_of_a_person_alike(
    visit: Visit, db: Database, dataset_id: int, settings: Settings
) -> None:
    """Exercises of the qualification and undone votes count nowhere, and new votes everywhere."""
    boss, ann = visit("supervisor"), visit("annotator", "ada")
    images = lease(ann, 4)
    for image in images:
        vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
        stored = ann.send("/label/votes", vote).get_json()
    ann.send(f"/label/votes/{stored['vote']['id']}/undo", {})
    asked = next(n for n in range(1, 7) if n not in [image["image_id"] for image in images])
    with db.write() as session:
        exercise = {"campaign_id": 1, "image_id": asked, "answer": "left", "mode": "training"}
        more = {"annotator_id": ann.annotator_id, "request_id": "exercise1", "blind": True}
        session.execute(Vote.__table__.insert(), [exercise | more])
    refresh_campaign(db, 1)
    for image in lease(ann, 1):
        vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
        assert ann.send("/label/votes", vote).status_code == 201
    people = boss.get("/admin/people").text.partition(">ada<")[2].partition("</tr>")[0]
    quality = boss.get("/admin/quality").text.partition(">ada<")[2].partition("</tr>")[0]
    for row in (people, quality):
        assert re.search(r'data-label="Votes"[^>]*>4<', row)
    person = boss.get(f"/admin/quality/{ann.annotator_id}").text
    assert "<dt>votes</dt><dd>4</dd>" in person
    assert "<dt>answers so far</dt><dd>4</dd>" in ann.get("/me").text


@pytest.mark.parametrize(("hours", "said"), [((0.01, 0.01, 0.01), False), ((1.0, 2.0, 3.0), True)])
def test_the_forecast_gives_an_interval_only_where_it_is_one(
    hours: tuple[float, float, float], said: bool
) -> None:
    votes, pace = Interval(9, 9, 9), Interval(99, 99, 99)
    forecast = Forecast(votes, pace, Interval(*hours))
    now = utc_now().replace(hour=9, minute=0, second=0)
    text = " ".join(dashboard._forecast(CampaignProgress(open=9), forecast, 1, now))
    assert ("The 95 % interval is" in text, "at the latest" in text) == (said, said)


def test_other_campaigns_are_reached_by_links_and_tabs_stay_on_them(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss = visit("admin")
    assert "Campaign: " not in boss.get("/admin/").text, "there is nothing to choose"
    made = create_campaign(
        db, dataset_id, CampaignPlan("second", Rules(), ImageSelection(sample=2))
    )
    assert f'href="/admin/?campaign={made}"' in boss.get("/admin/campaigns").text
    assert f'href="/admin/?campaign={made}"' in boss.get(f"/admin/campaigns/{made}").text
    pages = ("quality", "agreement", "runs", "mean-faces", "images", "gold", "contested", "people")
    for page in ("", *pages):
        address = f"/admin/{page}"
        assert f'href="{address}?campaign={made}">second</a>' in boss.get(address).text, page
        other = boss.get(f"{address}?campaign={made}").text
        assert "<summary>Campaign: second</summary>" in other, page
        tabs = other.partition('aria-label="Manage"')[2].partition('class="chooser"')[0]
        found = re.findall(r'href="([^"]+)"', tabs)
        assert len(found) >= 7, page
        assert all(link.endswith(f"?campaign={made}") for link in found), (page, found)
        assert re.search(rf'href="{address}">[^<]+ \(active\)</a>', other), page
    assert ">2 images</a>" in boss.get(f"/admin/?campaign={made}").text
    for page in ("campaigns", "jobs"):  # about no campaign, but on the way to one
        kept = boss.get(f"/admin/{page}?campaign={made}").text
        assert "Campaign: " not in kept
        assert f'href="/admin/quality?campaign={made}"' in kept, page
        assert 'href="/admin/quality"' in boss.get(f"/admin/{page}").text, page
