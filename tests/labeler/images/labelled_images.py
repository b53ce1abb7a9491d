"""A data set whose images are in every state, for the tests of the pages of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from labeler.adjudication.service import SubmittedDecision, decide
from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from tests.conftest import PLAIN_RULES, MakeAnnotator, write_images
from tests.labeler.acting import NOON, ids, lease, make_gold, publish_run, vote

COUNT = 14
NAMES = {13: "a_b 50%.jpg", 14: "aXb 50x.jpg"}
AGREED_LEFT, AGREED_RIGHT, CONTESTED, CANNOT_TELL, GOLD = (1, 2), (3,), (4, 5), 6, 7
BROKEN, UNCHECKED = "broken.jpg", "late.jpg"


@dataclass(frozen=True)
class LabelledImages:
    """The data set. `ids`: of its images by their place, from 1."""

    dataset_id: int
    ids: dict[int, int]
    supervisor: int


Predicate = Callable[[Image, Consensus | None, Proposal | None], bool]


def label_images(
    db: Database, folder: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    """Two images agreed left, one agreed right, two contested, one that cannot be told, one gold.

    Others are open. One file is broken, and one has come after the check. Image n shows person
    n % 3, is in partition n % 3, has the attribute `Bald` if n is even, and a yaw of 5 n - 40.
    The model is the surer the larger n is: left up to image 8, else right; image 12 has none.
    """
    write_images(folder, COUNT)
    for place, name in NAMES.items():
        (folder / f"{place:06d}.jpg").rename(folder / name)
    (folder / BROKEN).write_bytes(b"no picture")
    names = [*(f"{n:06d}.jpg" for n in range(1, COUNT - 1)), *NAMES.values()]
    numbered = list(enumerate(names, start=1))
    csv = {
        "list_attr_celeba": ["Bald,Young"] + [f"{(-1, 1)[n % 2 == 0]},1" for n, _ in numbered],
        "identity_CelebA": ["identity"] + [str(n % 3) for n, _ in numbered],
        "list_eval_partition": ["partition"] + [str(n % 3) for n, _ in numbered],
    }
    for table, rows in csv.items():
        lines = [f"{name},{row}" for name, row in zip(["image_id", *names], rows, strict=True)]
        (folder / f"{table}.csv").write_text("\n".join(lines) + "\n")
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    write_images(folder.parent / "more", 1)
    (folder.parent / "more" / "000001.jpg").rename(folder / UNCHECKED)
    register_dataset(db, folder)
    with db.write() as session:
        for campaign in session.scalars(select(Campaign)):
            campaign.rules = PLAIN_RULES.as_dict()
        found = {image.filename: image for image in session.scalars(select(Image))}
        for n, name in numbered:
            found[name].yaw_deg = 5.0 * n - 40
    places = {n: found[name].id for n, name in numbered}
    _vote(db, places, make_annotator, settings)
    chances = {n: 0.4 + 0.04 * n for n in places if n != 12}
    publish_run(
        db,
        dataset_id,
        {
            places[n]: (p, (1 - p) / 2, (1 - p) / 2) if n <= 8 else ((1 - p) / 2, (1 - p) / 2, p)
            for n, p in chances.items()
        },
        NOON,
    )
    supervisor = make_annotator(db, "boss", role="supervisor").id
    with db.write() as session:
        undecided = SubmittedDecision(None, "two lamps")
        decide(session, 1, places[CANNOT_TELL], Actor(supervisor), undecided)
    make_gold(db, {places[GOLD]: "center"})
    return LabelledImages(dataset_id, places, supervisor)


def _vote(
    db: Database, places: dict[int, int], make_annotator: MakeAnnotator, settings: Settings
) -> None:
    answers = dict.fromkeys(AGREED_LEFT, ("left",) * 3) | dict.fromkeys(
        AGREED_RIGHT, ("right",) * 3
    )
    answers |= dict.fromkeys((*CONTESTED, CANNOT_TELL), ("left", "center", "right"))
    for turn in range(3):
        person = make_annotator(db, f"person{turn}").id
        leased = ids(lease(db, person, COUNT, settings))
        for place, given in answers.items():
            assert places[place] in leased
            vote(db, person, places[place], given[turn], settings)
