"""Subsets: kept, frozen, imported, renamed and deleted.

The name of a subset is unique among those that are not deleted. The database decides that.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert, literal, select, update
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.errors import BrokenData, Conflict, InvalidInput, NotFound
from labeler.images.filtering import ImageFilter, Scope, load_scope, select_ids
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.models.subsets import Subset, SubsetImage
from labeler.subsets.members import filter_of, hash_names
from rotation.data.csv_text import FAULTS_SHOWN, shown
from rotation.data.image_names import match_names

MAX_NAME = 100
_BATCH = 5_000  # rows of an INSERT


def keep_filter(
    session: Session, campaign: Campaign, name: str, wanted: ImageFilter, by: Actor = NOBODY
) -> Subset:
    """Keep a filter under a name: a live subset.

    Parameters:
        campaign: whose votes and proposals the filter means.

    Raises:
        InvalidInput: the name is empty or too long, or the filter names a subset that is not a
            frozen one of this data set.
        Conflict: the name is taken.
        NotFound: the data set has no such attribute.
    """
    name = _check_name(session, name)
    select_ids(_scope(session, campaign, wanted), wanted)  # so that it fails now, and not when used
    subset = _add(session, by, name=name, campaign=campaign, wanted=wanted)
    record(session, "subset_created", by, ("subset", subset.id), kind="live")
    return subset


def freeze_filter(
    session: Session, campaign: Campaign, name: str, wanted: ImageFilter, by: Actor = NOBODY
) -> Subset:
    """Keep the images that a filter finds now: a frozen subset.

    Raises:
        InvalidInput, Conflict, NotFound: as `keep_filter`.
        InvalidInput: no image meets the filter.
    """
    name = _check_name(session, name)
    found, column = select_ids(_scope(session, campaign, wanted), wanted)
    subset = _add(session, by, name=name, campaign=campaign, wanted=wanted, sha256="", count=0)
    rows = found.with_only_columns(literal(subset.id), column)
    session.execute(insert(SubsetImage).from_select(["subset_id", "image_id"], rows))
    return _seal(session, subset, by)


def freeze_subset(session: Session, subset: Subset, name: str, by: Actor = NOBODY) -> Subset:
    """Freeze the images that a live subset has now into a new subset.

    Raises:
        Conflict: it is frozen already, or the name is taken.
        InvalidInput: the name is empty or too long, or the subset has no image now.
    """
    if subset.is_frozen:
        raise Conflict(_("The subset %(name)r is frozen already.", name=subset.name))
    campaign = session.get_one(Campaign, subset.campaign_id)
    return freeze_filter(session, campaign, name, filter_of(subset), by)


def import_names(
    session: Session, dataset: Dataset, name: str, filenames: Sequence[str], by: Actor = NOBODY
) -> Subset:
    """Keep a list of file names: a frozen subset. A name that stands there twice counts once.

    Raises:
        InvalidInput: the name is empty or too long, or the list is empty.
        Conflict: the name is taken.
        BrokenData: images of the list are not in the data set. The message says how many, and
            names up to twenty.
    """
    name = _check_name(session, name)
    if not filenames:
        raise InvalidInput(_("The list names no image. Write one filename per line."))
    images = select(Image.filename, Image.id).where(Image.dataset_id == dataset.id)
    ids = dict(session.execute(images).all())
    names = match_names(filenames, ids, doubles=True)
    _refuse_unknown([one for one in names if one not in ids], len(names), dataset)
    subset = _add(session, by, name=name, dataset=dataset, sha256="", count=0)
    listed = sorted({ids[one] for one in names})
    for start in range(0, len(listed), _BATCH):
        part = listed[start : start + _BATCH]
        rows = [{"subset_id": subset.id, "image_id": image_id} for image_id in part]
        session.execute(insert(SubsetImage), rows)
    return _seal(session, subset, by)


def rename_subset(session: Session, subset: Subset, name: str, by: Actor = NOBODY) -> None:
    """Give a subset another name. Its present name changes nothing.

    Raises:
        InvalidInput: the name is empty or too long.
        Conflict: the name is taken.
    """
    if name.strip() == subset.name:
        return
    subset.name = _check_name(session, name)
    session.flush()
    record(session, "subset_renamed", by, ("subset", subset.id))


def delete_subset(session: Session, subset_id: int, by: Actor = NOBODY) -> Subset:
    """Delete a subset. Images, labels and campaigns stay. Deleting it twice changes nothing.

    Raises:
        NotFound: there never was such a subset.
    """
    subset = _load(session, subset_id)
    present = Subset.id == subset_id, Subset.deleted_at.is_(None)
    ended = session.execute(update(Subset).where(*present).values(deleted_at=utc_now()))
    if ended.rowcount:  # type: ignore[attr-defined]
        record(session, "subset_deleted", by, ("subset", subset_id))
    return subset


def restore_subset(session: Session, subset_id: int, by: Actor = NOBODY) -> Subset:
    """Take back a `delete_subset`. Restoring it twice changes nothing.

    Raises:
        NotFound: there never was such a subset.
        Conflict: another subset has taken the name since.
    """
    subset = _load(session, subset_id)
    if subset.deleted_at is None:
        return subset
    _check_name(session, subset.name)
    subset.deleted_at = None
    session.flush()
    record(session, "subset_restored", by, ("subset", subset_id))
    return subset


def get_subset(session: Session, subset_id: int) -> Subset:
    """Return the subset of that number.

    Raises:
        NotFound: there is none, or it was deleted.
    """
    subset = session.get(Subset, subset_id)
    if subset is None:
        raise NotFound(_("There is no subset %(number)s.", number=subset_id))
    if subset.deleted_at is not None:
        raise NotFound(_("The subset %(name)r was deleted.", name=subset.name))
    return subset


def find_subset(session: Session, name: str) -> Subset:
    """Return the subset of that name.

    Raises:
        NotFound: there is none. The message lists up to twenty subsets.
    """
    present = Subset.name == name.strip(), Subset.deleted_at.is_(None)
    subset = session.scalars(select(Subset).where(*present)).first()
    if subset is not None:
        return subset
    names = [one.name for one in list_subsets(session, limit=FAULTS_SHOWN)]
    if not names:
        raise NotFound(_("There is no subset %(name)r. There is no subset yet.", name=name))
    known = ", ".join(names) + (", ..." if len(names) == FAULTS_SHOWN else ".")
    raise NotFound(
        _("There is no subset %(name)r. The subsets are: %(known)s", name=name, known=known)
    )


def list_subsets(
    session: Session,
    *,
    dataset_id: int | None = None,
    frozen: bool = False,
    limit: int | None = None,
    before_id: int | None = None,
) -> Sequence[Subset]:
    """List subsets, the newest first.

    Parameters:
        dataset_id: only those of this data set.
        frozen: only frozen ones.
        limit: how many at most.
        before_id: only those that are older than this one, for the next page.
    """
    found = select(Subset).where(Subset.deleted_at.is_(None)).order_by(Subset.id.desc())
    if dataset_id is not None:
        found = found.where(Subset.dataset_id == dataset_id)
    if frozen:
        found = found.where(Subset.sha256.is_not(None))
    if before_id is not None:
        found = found.where(Subset.id < before_id)
    return session.scalars(found.limit(limit)).all()


def frozen_names(session: Session, dataset_id: int) -> dict[int, str]:
    """Return the names of the frozen subsets of a data set by their numbers, the newest first."""
    found = list_subsets(session, dataset_id=dataset_id, frozen=True)
    return {one.id: one.name for one in found}


def _load(session: Session, subset_id: int) -> Subset:
    subset = session.get(Subset, subset_id)
    if subset is None:
        raise NotFound(_("There is no subset %(number)s.", number=subset_id))
    return subset


def _scope(session: Session, campaign: Campaign, wanted: ImageFilter) -> Scope:
    """Load the scope of a filter, and check the subset that the filter names."""
    if wanted.subset is not None:
        named = get_subset(session, wanted.subset)
        if not named.is_frozen or named.dataset_id != campaign.dataset_id:
            raise InvalidInput(
                _(
                    "The subset %(name)r cannot be a condition: a frozen subset of the data set "
                    "%(dataset)r is needed.",
                    name=named.name,
                    dataset=campaign.dataset.name,
                )
            )
    return load_scope(session, campaign)


def _add(
    session: Session,
    by: Actor,
    *,
    name: str,
    campaign: Campaign | None = None,
    dataset: Dataset | None = None,
    wanted: ImageFilter | None = None,
    sha256: str | None = None,
    count: int | None = None,
) -> Subset:
    of = campaign.dataset if campaign is not None else dataset
    subset = Subset(
        name=name,
        dataset=of,
        campaign=campaign,
        filter=wanted.as_dict() if wanted is not None else None,
        sha256=sha256,
        count=count,
        created_by_id=by.id,
    )
    session.add(subset)
    session.flush()
    return subset


def _seal(session: Session, subset: Subset, by: Actor) -> Subset:
    """Store count and hash of the list of a frozen subset."""
    names = session.scalars(
        select(Image.filename)
        .join(SubsetImage, SubsetImage.image_id == Image.id)
        .where(SubsetImage.subset_id == subset.id)
    ).all()
    if not names:
        raise InvalidInput(
            _(
                "No image meets the filter now, so there is nothing to freeze. Change the filter, "
                "or keep it as a live subset."
            )
        )
    subset.count, subset.sha256 = len(names), hash_names(names)
    session.flush()
    record(session, "subset_created", by, ("subset", subset.id), kind="frozen", images=subset.count)
    return subset


def _check_name(session: Session, name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput(
            _("Enter a name of 1 to %(limit)s characters, in one line.", limit=MAX_NAME)
        )
    if _is_taken(session, name):
        raise Conflict(
            _("A subset with the name %(name)r exists already. Choose another name.", name=name)
        )
    return name


def _is_taken(session: Session, name: str) -> bool:
    present = Subset.name == name, Subset.deleted_at.is_(None)
    return session.scalar(select(Subset.id).where(*present)) is not None


def _refuse_unknown(unknown: Sequence[str], listed: int, dataset: Dataset) -> None:
    if not unknown:
        return
    some = ", ".join(map(shown, unknown[:FAULTS_SHOWN]))
    some += ", ..." if len(unknown) > FAULTS_SHOWN else "."
    raise BrokenData(
        _(
            "Nothing was imported. %(count)s of the %(listed)s listed images are not in "
            "%(dataset)r: %(names)s",
            count=write_number(len(unknown)),
            listed=write_number(listed),
            dataset=dataset.name,
            names=some,
        )
    )
