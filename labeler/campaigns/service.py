"""Campaigns: created, copied, activated, paused and edited. Several can be active at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.default_guideline import without_default
from labeler.campaigns.image_selection import (
    check_subset,
    count_selected,
    list_partitions,
    select_images,
)
from labeler.consensus.store import add_rows
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection

BATCH = 5_000  # rows of a transaction; people can vote in another campaign between two of them
MAX_NAME = 100
MAX_GUIDELINE = 20_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """The settings of a campaign that is to be created.

    `guideline`: Markdown that everybody can read; "" for that of the site, `DEFAULT_GUIDELINE`.
    """

    name: str
    rules: Rules = field(default_factory=Rules)
    selection: ImageSelection = field(default_factory=ImageSelection)
    guideline: str = ""


def create_campaign(
    db: Database,
    dataset_id: int,
    plan: CampaignPlan,
    by: Actor = NOBODY,
    progress: Progress | None = None,
) -> int:
    """Create an inactive campaign and add its images; returns its id.

    Parameters:
        progress: called after each batch with the number of images added and their total.

    Raises:
        NotFound, InvalidInput, Conflict: as `add_campaign`.
    """
    with db.write() as session:
        campaign_id = add_campaign(session, dataset_id, plan, by).id
    fill_campaign(db, campaign_id, progress)
    return campaign_id


def add_campaign(
    session: Session, dataset_id: int, plan: CampaignPlan, by: Actor = NOBODY
) -> Campaign:
    """Create a campaign without images. `fill_campaign` adds them.

    Raises:
        NotFound: no such data set, or it is deleted, or the selection names files or attributes it
            does not have.
        InvalidInput: the name is empty, a text is too long, no image is selected, or the subset is
            not a frozen one of this data set.
        Conflict: the name is taken.
    """
    # Locked, so that nobody deletes the data set before this campaign is there.
    lock = {"read": True, "of": Dataset}
    dataset = session.get(Dataset, dataset_id, with_for_update=lock, populate_existing=True)
    if dataset is None or dataset.deleted_at is not None:
        raise NotFound(_("There is no data set %(number)s.", number=dataset_id))
    everything = plan.selection.is_everything
    if plan.selection.partitions and not list_partitions(session, dataset.id):
        raise InvalidInput(
            _(
                "No image of %(dataset)r has a partition. Leave the partition out, or put "
                "list_eval_partition.txt beside the images and import them again.",
                dataset=dataset.name,
            )
        )
    check_subset(session, dataset, plan.selection)
    if not everything and not count_selected(session, dataset, plan.selection):
        raise InvalidInput(
            _(
                "These conditions select no image of %(dataset)r. Relax the partition, the "
                "attributes or the list. Broken images and images that have not been checked are "
                "never selected.",
                dataset=dataset.name,
            )
        )
    campaign = Campaign(
        dataset_id=dataset_id,
        name=check_name(session, plan.name),
        rules=plan.rules.as_dict(),
        selection=plan.selection.as_dict(),
        guideline=_check_guideline(plan.guideline),
        created_by_id=by.id,
    )
    session.add(campaign)
    session.flush()
    record(session, "campaign_created", by, ("campaign", campaign.id), dataset=dataset_id)
    return campaign


def fill_campaign(db: Database, campaign_id: int, progress: Progress | None = None) -> int:
    """Add the selected images that are missing, batch by batch; returns how many were added.

    The call may be stopped and repeated at any time.

    Raises:
        NotFound: no such campaign.
    """
    with db.read() as session:
        campaign = get_campaign(session, campaign_id)
        selection = campaign.parsed_selection
        here = _images_of(session, campaign_id)
        missing = select_images(session, campaign.dataset, selection, present=here)
    for start in range(0, len(missing), BATCH):
        with db.write() as session:
            add_rows(session, campaign_id, missing[start : start + BATCH])
        if progress is not None:
            progress(min(start + BATCH, len(missing)), len(missing))
    return len(missing)


def clone_campaign(db: Database, campaign_id: int, name: str, by: Actor = NOBODY) -> int:
    """Create a campaign with the same images and rules and no votes; returns its id.

    A sample is drawn again. It is the same as before, unless images have come or gone since.

    Raises:
        NotFound, InvalidInput, Conflict: as `create_campaign`.
    """
    with db.read() as session:
        original = get_campaign(session, campaign_id)
    return create_campaign(db, original.dataset_id, plan_of(original, name), by)


def plan_of(campaign: Campaign, name: str) -> CampaignPlan:
    """The plan of another campaign like this one, with another name."""
    return CampaignPlan(
        name,
        campaign.parsed_rules,
        campaign.parsed_selection,
        campaign.guideline,
    )


def ensure_campaign(session: Session, dataset: Dataset) -> Campaign:
    """The newest campaign of a data set that is not archived.

    If it has none, one with all its images is created.
    """
    newest = session.scalars(
        select(Campaign)
        .where(Campaign.dataset_id == dataset.id, Campaign.archived_at.is_(None))
        .order_by(Campaign.id.desc())
    ).first()
    if newest is not None:
        return newest
    taken = set(session.scalars(select(Campaign.name)))
    names = [dataset.name, *(f"{dataset.name[:90]} {n}" for n in range(2, len(taken) + 3))]
    name = next(name for name in names if name not in taken)
    campaign = Campaign(
        dataset_id=dataset.id,
        name=name,
        rules=Rules().as_dict(),
        selection=ImageSelection().as_dict(),
    )
    session.add(campaign)
    session.flush()
    return campaign


def admit_images(session: Session, dataset_id: int, image_ids: Sequence[int]) -> None:
    """Add images to the campaigns of their data set that select them. The images must decode."""
    campaigns = session.scalars(
        select(Campaign).where(Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None))
    ).all()
    for campaign in campaigns:
        selection = campaign.parsed_selection
        if selection.is_everything:
            add_rows(session, campaign.id, image_ids)
        else:
            here = _images_of(session, campaign.id)
            chosen = select_images(
                session, campaign.dataset, selection, present=here, among=image_ids
            )
            add_rows(session, campaign.id, chosen)


def activate_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> Campaign:
    """Assign images of this campaign from now on, beside those of other active campaigns.

    Raises:
        NotFound: no such campaign.
        Conflict: it is archived.
    """
    campaign = get_campaign(session, campaign_id, lock=True)
    refuse_archived(campaign)
    if not campaign.active:
        record(session, "campaign_activated", by, ("campaign", campaign_id))
    campaign.active = True
    session.flush()
    return campaign


def deactivate_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> Campaign:
    """Assign no more images of this campaign. Images that people hold can still be answered.

    Raises:
        NotFound: no such campaign.
    """
    campaign = get_campaign(session, campaign_id)
    if campaign.active:
        record(session, "campaign_deactivated", by, ("campaign", campaign_id))
    campaign.active = False
    session.flush()
    return campaign


def pause_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> None:
    """Assign no more images. Votes on images that people hold are still accepted.

    Raises:
        NotFound: no such campaign.
    """
    campaign = get_campaign(session, campaign_id)
    if campaign.paused_at is None:
        campaign.paused_at = utc_now()
        record(session, "campaign_paused", by, ("campaign", campaign_id))


def resume_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> None:
    """End the pause of a campaign.

    Raises:
        NotFound: no such campaign.
    """
    campaign = get_campaign(session, campaign_id)
    if campaign.paused_at is not None:
        campaign.paused_at = None
        record(session, "campaign_resumed", by, ("campaign", campaign_id))


def edit_campaign(
    session: Session,
    campaign_id: int,
    by: Actor = NOBODY,
    *,
    name: str | None = None,
    rules: Rules | None = None,
    guideline: str | None = None,
) -> bool:
    """Change the settings that are given; returns whether the consensus must be derived again.

    Raises:
        NotFound: no such campaign.
        InvalidInput: the name is empty, or a text is too long.
        Conflict: the name is taken, or the campaign is archived.
    """
    campaign = get_campaign(session, campaign_id)
    refuse_archived(campaign)
    former = {"name": campaign.name, "guideline": campaign.guideline}
    if name is not None and name.strip() != campaign.name:
        campaign.name = check_name(session, name)
    if guideline is not None:
        campaign.guideline = _check_guideline(guideline)
    edited = [field for field, text in former.items() if getattr(campaign, field) != text]
    if edited:
        what = " and ".join(edited)
        record(session, "campaign_edited", by, ("campaign", campaign_id), changed=what)
    changed = rules is not None and rules != campaign.parsed_rules
    if rules is not None:
        if changed:
            before, after = campaign.parsed_rules.as_dict(), rules.as_dict()
            new = {name: value for name, value in after.items() if value != before.get(name)}
            record(session, "rules_changed", by, ("campaign", campaign_id), **new)
        campaign.rules = rules.as_dict()
    session.flush()
    return changed


def get_campaign(session: Session, campaign_id: int, *, lock: bool = False) -> Campaign:
    """The campaign with this id, archived or not.

    Parameters:
        lock: read it as it is now, and let nobody else change it before the session ends.

    Raises:
        NotFound: there is none, or it is being deleted.
    """
    campaign = session.get(
        Campaign,
        campaign_id,
        with_for_update={"of": Campaign} if lock else None,
        populate_existing=lock,
    )
    if campaign is None or campaign.deleted_at is not None:
        raise NotFound(_("There is no campaign %(number)s.", number=campaign_id))
    return campaign


def refuse_archived(campaign: Campaign) -> None:
    """Refuse a change of a campaign that is archived.

    Raises:
        Conflict: it is archived.
    """
    if campaign.archived_at is not None:
        raise Conflict(
            _("The campaign %(name)r is archived. Restore it first.", name=campaign.name)
        )


def active_campaigns(session: Session) -> Sequence[Campaign]:
    """The active campaigns, the newest first."""
    return session.scalars(
        select(Campaign).where(Campaign.active).order_by(Campaign.id.desc())
    ).all()


def active_campaign(session: Session) -> Campaign | None:
    """The newest active campaign, None if no campaign is active."""
    return next(iter(active_campaigns(session)), None)


def list_campaigns(session: Session) -> Sequence[Campaign]:
    """The campaigns that are not archived, the active ones first, then the newest first."""
    return session.scalars(
        select(Campaign)
        .where(Campaign.archived_at.is_(None))
        .order_by(Campaign.active.desc(), Campaign.id.desc())
    ).all()


def count_images(session: Session) -> dict[int, dict[str, int]]:
    """The number of images by campaign id and consensus status; one statement."""
    rows = session.execute(
        select(Consensus.campaign_id, Consensus.status, func.count()).group_by(
            Consensus.campaign_id, Consensus.status
        )
    )
    counts: dict[int, dict[str, int]] = {}
    for campaign_id, status, count in rows:
        counts.setdefault(campaign_id, {})[status] = count
    return counts


def find_campaign(session: Session, name: str | None) -> Campaign:
    """The campaign with this name; without a name the only active one.

    Blanks around the name are dropped only if no campaign has them. An archived campaign is found
    if no other has its name; of several archived ones, that which was archived last.

    Raises:
        NotFound: there is none; the message lists all campaigns.
        Conflict: several campaigns are active, and no name was given; the message lists them.
    """
    if name is None:
        active = active_campaigns(session)
        if len(active) > 1:
            raise Conflict(
                f"{len(active)} campaigns are active: {', '.join(one.name for one in active)}. "
                "Choose one with --campaign NAME."
            )
        if active:
            return active[0]
    for wanted in () if name is None else dict.fromkeys((name, name.strip())):
        found = session.scalars(
            select(Campaign)
            .where(Campaign.name == wanted, Campaign.deleted_at.is_(None))
            .order_by(Campaign.archived_at.is_(None).desc(), Campaign.archived_at.desc())
        ).first()
        if found is not None:
            return found
    names = [campaign.name for campaign in list_campaigns(session)]
    if not names:
        raise NotFound(
            "There is no campaign yet. Register images with `python manage.py images import "
            "PATH`, or create the demo with `python manage.py demo`."
        )
    what = "No campaign is active" if name is None else f"There is no campaign {name!r}"
    raise NotFound(
        f"{what}. The campaigns are: {', '.join(names)}. Choose one with --campaign NAME."
    )


def _images_of(session: Session, campaign_id: int) -> set[int]:
    return set(
        session.scalars(select(Consensus.image_id).where(Consensus.campaign_id == campaign_id))
    )


def check_name(session: Session, name: str) -> str:
    """The name without blanks around it, if a campaign can have it.

    Raises:
        InvalidInput: it is empty or too long.
        Conflict: a campaign that is not archived has it.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput(_("Enter a name of 1 to %(most)s characters.", most=MAX_NAME))
    taken = select(Campaign.id).where(Campaign.name == name, Campaign.archived_at.is_(None))
    if session.scalar(taken) is not None:
        raise Conflict(
            _("A campaign with the name %(name)r exists already. Choose another name.", name=name)
        )
    return name


def _check_guideline(guideline: str) -> str:
    if len(guideline) > MAX_GUIDELINE:
        raise InvalidInput(
            _(
                "The guideline has %(count)s characters. The limit is %(most)s.",
                count=write_number(len(guideline)),
                most=write_number(MAX_GUIDELINE),
            )
        )
    return without_default(guideline)
