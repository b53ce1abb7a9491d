"""Consensus of a whole campaign at once by a named method, to be compared and exported.

`METHODS` are those of `statistics.batch_aggregation` and two of crowd-kit, an optional library
(`requirements/crowdkit.txt`). What the site itself decides by is `quality.refresh`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import select

from labeler.consensus.vote_table import VoteTable, load_vote_table
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.images import Image
from labeler.statistics import batch_aggregation
from labeler.statistics.batch_aggregation import CONTESTED, Aggregation, Method, likeliest_labels
from labeler.statistics.vote_arrays import N_LABELS, Floats, Votes
from rotation.data.labels import LABELS
from rotation.data.labels_csv import CHUNK, LabelRow, stream_label_rows

ITERATIONS = 100
# Stored with each result; raise the number when the method changes.
DAWID_SKENE = "dawid-skene-1"
ONE_COIN = "one-coin-1"


def dawid_skene(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**Dawid-Skene** without shrinkage, by crowd-kit, for comparison.

    With few votes per person it fits noise, and its result is worse than the majority's. Unsure
    votes and the prior are not used.

    Reference:
        A. P. Dawid, A. M. Skene, *Maximum likelihood estimation of observer error-rates using the
        EM algorithm*, Applied Statistics 28(1), 1979, https://doi.org/10.2307/2346806.
    """
    return _by_crowdkit("DawidSkene", DAWID_SKENE, votes, n_images)


def one_coin(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**One-coin Dawid-Skene**, by crowd-kit: each person has one accuracy for all labels.

    Unsure votes and the prior are not used.

    Reference:
        Y. Zhang et al., *Spectral methods meet EM*, JMLR 17, 2016.
    """
    return _by_crowdkit("OneCoinDawidSkene", ONE_COIN, votes, n_images)


METHODS: dict[str, Method] = {
    **batch_aggregation.METHODS,
    "dawid-skene": dawid_skene,
    "one-coin": one_coin,
}


def aggregate(db: Database, campaign_id: int, method: str) -> tuple[VoteTable, Aggregation]:
    """Aggregate all votes of a campaign by a method of `METHODS`.

    Raises:
        InvalidInput: the method is unknown.
        Conflict: the method needs proposals, or a library that is not installed.
    """
    if method not in METHODS:
        raise InvalidInput(
            _(
                "%(given)r is not a known method. Choose one of %(allowed)s.",
                given=method,
                allowed=", ".join(METHODS),
            )
        )
    with db.read() as session:
        vote_table = load_vote_table(session, campaign_id)
    prior = None if np.isnan(vote_table.model).all() else vote_table.model
    if method == "model-and-votes" and prior is None:
        raise Conflict(
            _("The method model-and-votes needs proposals. Run `python manage.py propose` first.")
        )
    found = METHODS[method](vote_table.votes, len(vote_table.images), len(vote_table.people), prior)
    return vote_table, found


def stream_aggregation(db: Database, vote_table: VoteTable, found: Aggregation) -> Iterator[str]:
    """Return the result as CSV with the columns of `export labels`, ordered by image number."""
    return stream_label_rows(_label_rows(db, vote_table, found))


def _label_rows(db: Database, vote_table: VoteTable, found: Aggregation) -> Iterator[LabelRow]:
    counts = batch_aggregation.count_answers(vote_table.votes, len(vote_table.images)).tolist()
    for start in range(0, len(vote_table.images), CHUNK):
        ids = vote_table.images[start : start + CHUNK].tolist()
        with db.read() as session:
            rows = session.execute(select(Image.id, Image.filename).where(Image.id.in_(ids)))
            names = dict(rows.all())
        for place, image_id in enumerate(ids, start):
            yield _label_row(found, counts[place], place, image_id, names[image_id])


def _by_crowdkit(name: str, stamp: str, votes: Votes, n_images: int) -> Aggregation:
    named = votes.answer < N_LABELS
    posteriors = np.full((n_images, N_LABELS), 1 / N_LABELS)
    if not named.any():
        return Aggregation(posteriors, np.full(n_images, CONTESTED), stamp)
    model, frame = _crowdkit(name, votes, named)
    with warnings.catch_warnings():
        # crowd-kit uses a spelling that pandas will remove.
        warnings.simplefilter("ignore", DeprecationWarning)
        probabilities = model.fit(frame).probas_
    columns = [int(label) for label in probabilities.columns]
    posteriors[np.ix_(probabilities.index.to_numpy(), columns)] = probabilities.to_numpy()
    seen = probabilities.index.to_numpy()
    missing = [label for label in range(N_LABELS) if label not in columns]
    posteriors[np.ix_(seen, missing)] = 0.0
    return Aggregation(posteriors, likeliest_labels(posteriors), stamp)


def _crowdkit(name: str, votes: Votes, named: Any) -> tuple[Any, Any]:
    """Return a model of crowd-kit, and the votes that name a label in its format."""
    try:
        import pandas as pd
        from crowdkit import aggregation as crowdkit
    except ImportError:
        raise Conflict(
            _(
                "This method needs the package crowd-kit, which is not installed. Install it with "
                "`.venv/bin/pip install -r requirements/crowdkit.txt`."
            )
        ) from None
    frame = pd.DataFrame(
        {
            "task": votes.image[named],
            "worker": votes.annotator[named],
            "label": votes.answer[named],
        }
    )
    return getattr(crowdkit, name)(n_iter=ITERATIONS), frame


def _label_row(
    found: Aggregation, votes: list[int], place: int, image_id: int, filename: str
) -> LabelRow:
    label = int(found.labels[place])
    decided = label != CONTESTED
    return LabelRow(
        image_id=image_id,
        filename=filename,
        label=LABELS[label] if decided else None,
        probabilities=found.posteriors[place].tolist(),
        votes=votes,
        status="agreed" if decided else "contested",
        source="votes",
        method=found.method,
    )
