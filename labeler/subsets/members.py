"""The images of a subset: as a statement, counted, as file names, and their hash.

A live subset is its filter, run anew by each function. A frozen subset is its stored list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, InvalidInput
from labeler.images.filtering import ImageFilter, load_scope, select_ids
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.models.subsets import Subset, SubsetImage
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.rules.validation import RuleError
from rotation.data.csv_rows import FILENAME
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import CHUNK, stream_csv


@dataclass(frozen=True, slots=True)
class MemberCount:
    """How many images a subset has.

    `images`: None for a live subset with more than `COUNTED_UP_TO`. `gone`: those of a frozen
    subset whose files are broken or no longer there.
    """

    images: int | None
    gone: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no image that can be used."""
        return self.images is not None and self.images <= self.gone


def hash_names(names: Iterable[str]) -> str:
    r"""Return the SHA-256 of file names as hexadecimal digits.

    The names are sorted by code point, and each is followed by a line feed, in UTF-8. So it is the
    hash of a list that names each image in one line, whatever the order in which it was made.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()


def filter_of(subset: Subset) -> ImageFilter:
    """Return the filter of a subset; that of an imported list has no condition.

    Raises:
        BrokenData: another version of the program wrote the filter.
    """
    try:
        return ImageFilter.from_dict(subset.filter or {})
    except RuleError as error:
        raise BrokenData(
            _(
                "The filter of the subset %(name)r is not valid: %(problem)s",
                name=subset.name,
                problem=error,
            )
        ) from None


def select_members(session: Session, subset: Subset) -> Select[int]:
    """Return the statement that selects the ids of the images of a subset, without an order.

    It may stand in a condition of another statement, whatever tables that one reads.

    Raises:
        NotFound: the data set has lost an attribute that the filter needs.
        BrokenData: the filter is not valid.
    """
    if subset.is_frozen:
        listed = select(SubsetImage.image_id).where(SubsetImage.subset_id == subset.id)
        return listed.correlate(None)
    campaign = session.get_one(Campaign, subset.campaign_id)
    statement, _ = select_ids(load_scope(session, campaign), filter_of(subset))
    return statement.correlate(None)


def count_members(session: Session, subset: Subset) -> MemberCount:
    """Count the images of a subset; a live one only up to `COUNTED_UP_TO`.

    Raises:
        NotFound, BrokenData: as `select_members`.
    """
    if not subset.is_frozen:
        some = select_members(session, subset).limit(COUNTED_UP_TO + 1).subquery()
        found = session.scalar(select(func.count()).select_from(some)) or 0
        return MemberCount(found if found <= COUNTED_UP_TO else None)
    listed = select(SubsetImage.image_id).where(
        SubsetImage.subset_id == subset.id, SubsetImage.image_id == Image.id
    )
    # A data set has few broken files, and an index finds them.
    broken = Image.dataset_id == subset.dataset_id, Image.status == "broken"
    gone = session.scalar(select(func.count()).select_from(Image).where(*broken, listed.exists()))
    return MemberCount(subset.count, gone or 0)


def check_usable(session: Session, subset: Subset, campaign: Campaign) -> MemberCount:
    """Check that a subset can be used with a campaign; returns how many images it has.

    Raises:
        InvalidInput: its images are those of another data set.
        Conflict: it has no image, or the files of all of them are gone.
        NotFound, BrokenData: as `select_members`.
    """
    if subset.dataset_id != campaign.dataset_id:
        raise InvalidInput(
            _(
                "The subset %(name)r has images of the data set %(dataset)r. The campaign "
                "%(campaign)r labels %(labelled)r. Choose a subset of that data set.",
                name=subset.name,
                dataset=subset.dataset.name,
                campaign=campaign.name,
                labelled=campaign.dataset.name,
            )
        )
    return check_not_empty(session, subset)


def check_not_empty(session: Session, subset: Subset) -> MemberCount:
    """Count the images of a subset.

    Raises:
        Conflict: it has none, or the files of all of them are gone.
        NotFound, BrokenData: as `select_members`.
    """
    counted = count_members(session, subset)
    if counted.gone and counted.is_empty:
        raise Conflict(
            _(
                "The files of all %(count)s images of the subset %(name)r are broken or no longer "
                "there. Bring the files back and import the data set again.",
                count=write_number(counted.gone),
                name=subset.name,
            )
        )
    if counted.is_empty:
        raise Conflict(
            _(
                "No image meets the filter of the subset %(name)r now. Choose another subset.",
                name=subset.name,
            )
        )
    return counted


def stream_names(db: Database, subset: Subset) -> Iterator[str]:
    """Stream the file names of a subset as CSV text with the column `filename`, sorted.

    Raises:
        NotFound, BrokenData: as `select_members`; before the first chunk.
    """
    with db.read() as session:
        names = sorted(session.scalars(_names(session, subset).execution_options(yield_per=CHUNK)))
    return stream_csv((FILENAME,), ((guard_formula(name),) for name in names))


def _names(session: Session, subset: Subset) -> Select[str]:
    return select(Image.filename).where(Image.id.in_(select_members(session, subset)))
