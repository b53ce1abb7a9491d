"""The images of a data set that a campaign selects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from labeler.errors import InvalidInput, NotFound
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext, pgettext
from labeler.models.images import Dataset, Image
from labeler.models.subsets import Subset, SubsetImage
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.random_draws import draw
from rotation.data.csv_text import FAULTS_SHOWN, shown
from rotation.data.image_names import match_names


class SampleTooLarge(InvalidInput):
    """A sample has more images than there are to draw from."""


class UnusableSubset(InvalidInput):
    """The subset of a selection is not a list of images of the data set."""


def select_images(
    session: Session,
    dataset: Dataset,
    selection: ImageSelection,
    *,
    present: Collection[int] = (),
    among: Collection[int] | None = None,
) -> list[int]:
    """The ids of the images of a data set that are selected and can be labelled, ascending.

    Each image has a random draw, and the sample is the images with the lowest draws. So it is
    the same in each call.

    Parameters:
        present: ids of images that are already in the campaign; they are left out. A sample is
            filled up, not drawn again: images that came after it do not make it larger.
        among: ids to choose from; by default all images of the data set.

    Raises:
        NotFound: filenames or attributes that the data set does not have; names some of them.
    """
    ids = [each for each in _matching(session, dataset, selection, among) if each not in present]
    if selection.sample is None:
        return ids
    room = max(0, selection.sample - len(present))
    return sorted(sorted(ids, key=lambda each: draw("sample", selection.seed, each))[:room])


def count_selected(session: Session, dataset: Dataset, selection: ImageSelection) -> int:
    """How many images `select_images` gives; the sample is not drawn.

    Raises:
        NotFound: filenames or attributes that the data set does not have.
    """
    if selection.filenames is None:
        conditions = _conditions(dataset, selection)
        count = session.scalar(select(func.count()).select_from(Image).where(*conditions)) or 0
    else:
        count = len(_matching(session, dataset, selection))
    return count if selection.sample is None else min(count, selection.sample)


def check_sample(session: Session, dataset: Dataset, selection: ImageSelection) -> None:
    """Check that there are enough images for the sample that somebody asks for.

    A stored selection is not checked: images may have broken since it was made.

    Raises:
        SampleTooLarge: there are fewer.
        NotFound: filenames or attributes that the data set does not have.
    """
    if selection.sample is None:
        return
    available = count_selected(session, dataset, replace(selection, sample=None))
    if 0 < available < selection.sample:
        raise SampleTooLarge(
            ngettext(
                "The other conditions select %(num)s image, so the sample has at most %(num)s.",
                "The other conditions select %(num)s images, so the sample has at most %(num)s.",
                available,
            )
        )


def check_subset(session: Session, dataset: Dataset, selection: ImageSelection) -> None:
    """Check that the subset of a selection is a list of images of the data set.

    Raises:
        UnusableSubset: it is none, or it is live: a campaign keeps its images.
    """
    if selection.subset is None:
        return
    subset = session.get(Subset, selection.subset)
    if subset is None:
        raise UnusableSubset(_("There is no subset %(number)s.", number=selection.subset))
    if subset.dataset_id != dataset.id:
        raise UnusableSubset(
            _(
                "The subset %(name)r has images of the data set %(other)r. Choose one of "
                "%(dataset)r.",
                name=subset.name,
                other=subset.dataset.name,
                dataset=dataset.name,
            )
        )
    if not subset.is_frozen:
        raise UnusableSubset(
            _(
                "The subset %(name)r is live, but a campaign keeps its images. Freeze it, and "
                "choose the frozen one.",
                name=subset.name,
            )
        )


def list_partitions(session: Session, dataset_id: int) -> list[int]:
    """The partitions of the images of a data set, ascending; empty if no image has one."""
    found = session.scalars(
        select(Image.partition).where(Image.dataset_id == dataset_id).distinct()
    )
    return sorted(partition for partition in found if partition is not None)


def _matching(
    session: Session,
    dataset: Dataset,
    selection: ImageSelection,
    among: Collection[int] | None = None,
) -> list[int]:
    """The ids of the images that meet all conditions but the sample, ascending."""
    conditions = _conditions(dataset, selection)
    if among is not None:
        conditions.append(Image.id.in_(among))
    if selection.filenames is None:
        return list(session.scalars(select(Image.id).where(*conditions).order_by(Image.id)))
    listed = _find_listed(session, dataset, selection.filenames)
    rows = session.execute(select(Image.id, Image.filename).where(*conditions))
    return sorted(image_id for image_id, name in rows if name in listed)


def _conditions(dataset: Dataset, selection: ImageSelection) -> list[Any]:
    conditions: list[Any] = [Image.dataset_id == dataset.id, Image.status == "ok"]
    if selection.partitions:
        conditions.append(Image.partition.in_(selection.partitions))
    for name, wanted in selection.attributes.items():
        conditions.append(has_attribute(dataset, name, wanted))
    if selection.subset is not None:
        listed = select(SubsetImage.image_id).where(SubsetImage.subset_id == selection.subset)
        conditions.append(Image.id.in_(listed))
    return conditions


def has_attribute(dataset: Dataset, name: str, wanted: bool) -> ColumnElement[bool]:
    """The condition that an image of a data set has an attribute, or that it lacks it.

    An image without a row in the table of attributes meets neither.

    Raises:
        NotFound: the data set has no such attribute.
    """
    bit = Image.attribute_bits.op("&")(1 << _attribute(dataset, name))
    return bit != 0 if wanted else bit == 0


def _attribute(dataset: Dataset, name: str) -> int:
    if name not in dataset.attribute_names:
        raise NotFound(
            _(
                "%(dataset)r has no attribute %(name)r. It has: %(available)s.",
                dataset=dataset.name,
                name=name,
                available=", ".join(dataset.attribute_names) or pgettext("attributes", "none"),
            )
        )
    return dataset.attribute_names.index(name)


def _find_listed(session: Session, dataset: Dataset, filenames: Sequence[str]) -> set[str]:
    """The listed names as the data set has them; `NotFound` if it lacks one."""
    here = set(session.scalars(select(Image.filename).where(Image.dataset_id == dataset.id)))
    names = match_names(filenames, here, doubles=True)
    missing = [name for name in names if name not in here]
    if missing:
        end = ", ..." if len(missing) > FAULTS_SHOWN else "."
        names_shown = ", ".join(map(shown, missing[:FAULTS_SHOWN])) + end
        raise NotFound(
            ngettext(
                "%(missing)s of the %(num)s listed image is not in %(dataset)r: %(names)s",
                "%(missing)s of the %(num)s listed images are not in %(dataset)r: %(names)s",
                len(filenames),
                missing=write_number(len(missing)),
                dataset=dataset.name,
                names=names_shown,
            )
        )
    return set(names)
