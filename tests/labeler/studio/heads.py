"""A registered data set of rendered heads with labels, and a tiny untrained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.jobs.turning import order_turn
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.studio.choices import TurnChoices
from labeler.studio.turns import NewTurn
from rotation.synthetic_heads.dataset import read_truth
from tests.labeler.lit_faces import RULES, add_people, vote

QUICK = TurnChoices(
    light="left",
    angles_deg=(-20.0, 20.0),
    way="line",
    min_cluster=1,
    with_proposals=False,
)
SOURCE = "000004.jpg"


@dataclass(frozen=True, slots=True)
class Heads:
    """The registered data set. `owner_id`: an account that may turn heads."""

    dataset_id: int
    campaign_id: int
    owner_id: int
    image_ids: dict[str, int]


def register_heads(db: Database, folder: Path) -> Heads:
    """Register rendered heads, and vote on them as their truth says."""
    dataset_id = register_dataset(db, folder, "heads").dataset_id
    check_images(db, dataset_id, processes=1)
    with db.write() as session:
        dataset = session.get_one(Dataset, dataset_id)
        campaign = session.scalars(select(Campaign).where(Campaign.dataset_id == dataset_id)).one()
        campaign.rules = RULES.as_dict()
        people = add_people(session, 3)
        people[0].role = "supervisor"
        vote(
            session,
            dataset,
            {name: [light] * 3 for name, light in read_truth(folder).items()},
            people,
        )
        ids = dict(
            session.execute(
                select(Image.filename, Image.id).where(Image.dataset_id == dataset_id)
            ).all()
        )
        return Heads(dataset_id, campaign.id, people[0].id, ids)


def order(
    db: Database,
    settings: Settings,
    heads: Heads,
    choices: TurnChoices = QUICK,
    *,
    source: str = SOURCE,
    upload: Path | None = None,
    keeps_upload: bool = False,
    subset_id: int | None = None,
    owner_id: int = 0,
) -> int:
    """Order a turn; returns its number."""
    wanted = NewTurn(
        f"{source} turned",
        source,
        choices.as_dict(),
        heads.dataset_id,
        heads.campaign_id,
        None if upload else heads.image_ids[source],
        subset_id,
        keeps_upload,
    )
    owner = owner_id or heads.owner_id
    return order_turn(db, settings, wanted, owner, Actor(owner), upload)


def files_in(folder: Path) -> Sequence[str]:
    """The names of all files under a folder, sorted."""
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
