"""Checks of the image files: each registered image is where the database says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.doctor.findings import Finding, Site
from labeler.home_files import PICTURES
from labeler.image_imports.service import list_open
from labeler.models.images import Dataset, Image
from rotation.data.sources import open_source
from rotation.errors import DatasetError

SHOWN = 3


def check_images(site: Site) -> Iterator[Finding]:
    """The files of each data set exist. Their content is not read."""
    with site.db.read() as session:
        datasets = session.scalars(
            select(Dataset).where(Dataset.deleted_at.is_(None)).order_by(Dataset.id)
        ).all()
        known = {each.id: _statuses(session, each.id) for each in datasets}
    if not datasets:
        action = "Register images: python manage.py images import PATH"
        yield Finding("images", "warning", "No data set is registered.", action)
    for each in datasets:
        yield _check_dataset(each, known[each.id])


def check_uploads(site: Site) -> Iterator[Finding]:
    """Each folder of an upload belongs to a data set or to an import that has not ended."""
    pictures = site.settings.home / PICTURES
    with site.db.read() as session:
        used = {pictures / each.path for each in list_open(session) if each.files}
        used |= {Path(path).parent for path in session.scalars(select(Dataset.path))}
    found = sorted(pictures.iterdir()) if pictures.is_dir() else []
    unused = [str(path) for path in found if path not in used]
    if unused:
        said = f"Nothing uses these uploads: {', '.join(unused[:SHOWN])}"
        said += f" and {len(unused) - SHOWN} others." if len(unused) > SHOWN else "."
        action = f"Look, then delete them: rm -r {shlex.quote(unused[0])}"
        yield Finding("uploads", "warning", said, action)
    else:
        yield Finding("uploads", "ok", "Each upload belongs to a data set or is not finished.")


def _statuses(session: Session, dataset_id: int) -> dict[str, str]:
    """The status of each image of a data set by its file name."""
    names = select(Image.filename, Image.status).where(Image.dataset_id == dataset_id)
    return {row.filename: row.status for row in session.execute(names)}


def _check_dataset(dataset: Dataset, known: dict[str, str]) -> Finding:
    again = f"python manage.py images import {dataset.path} --name {dataset.name} --no-activate"
    moved = (
        "Put the images back, or tell where they are: python manage.py images import PATH --name "
        f"{dataset.name} --no-activate"
    )
    if not Path(dataset.path).exists():
        return Finding("images", "problem", f"{dataset.name}: {dataset.path} is missing.", moved)
    try:
        with open_source(dataset.path) as source:
            here = set(source.names())
    except (DatasetError, OSError, RuntimeError) as error:
        return Finding("images", "problem", f"{dataset.name}: {error}", moved)
    missing = sorted(
        name for name, status in known.items() if status != "broken" and name not in here
    )
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        said = f"{dataset.name}: {len(missing):,} image files are missing ({shown})."
        return Finding("images", "problem", said, f"Put them back, or retire them: {again}")
    if new := len(here - known.keys()):
        said = f"{dataset.name}: {new:,} files in {dataset.path} are not registered."
        return Finding("images", "warning", said, f"To label them too: {again}")
    return Finding("images", "ok", f"{dataset.name}: all {len(known):,} image files are there.")
