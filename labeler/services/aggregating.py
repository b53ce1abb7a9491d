"""Consensus of a whole campaign at once by a named method, to be compared and exported.

`METHODS` are those of `domain.aggregation` and two of crowd-kit, which is a library of its own
(`requirements/crowdkit.txt`). What the site itself decides by is `services.refreshing`.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import select

from labeler.db import Database
from labeler.domain import aggregation
from labeler.domain.aggregation import CONTESTED, Aggregation, Method, likeliest_labels
from labeler.domain.labels import LABELS
from labeler.domain.votes import N_LABELS, Floats, Votes
from labeler.errors import Conflict, InvalidInput
from labeler.models import Image
from labeler.services.ballots import Ballots, load_ballots
from labeler.services.exporting import LABEL_COLUMNS, neutralise_text

ITERATIONS = 100
_BATCH = 2_000


def dawid_skene(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**Dawid and Skene's EM**, a free confusion for each person; crowd-kit's implementation.

    With few votes a person it fits noise and loses to the majority: here to be compared with.
    Unsure votes and the prior are not used.

    Source: A. P. Dawid, A. M. Skene 1979, https://doi.org/10.2307/2346806.
    """
    return _by_crowdkit("DawidSkene", "dawid-skene-1", votes, n_images)


def one_coin(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**One-coin Dawid-Skene**: each person is right with one probability, whatever the label.

    crowd-kit's implementation; unsure votes and the prior are not used.

    Source: Y. Zhang et al., *Spectral methods meet EM*, JMLR 17, 2016.
    """
    return _by_crowdkit("OneCoinDawidSkene", "one-coin-1", votes, n_images)


METHODS: dict[str, Method] = {
    **aggregation.METHODS,
    "dawid-skene": dawid_skene,
    "one-coin": one_coin,
}


def aggregate(db: Database, campaign_id: int, method: str) -> tuple[Ballots, Aggregation]:
    """The votes of a campaign and what they say by the method.

    Raises:
        InvalidInput: an unknown method.
        Conflict: the method needs proposals, or a library that is not installed.
    """
    if method not in METHODS:
        raise InvalidInput(f"{method!r} is not a method; there are {', '.join(METHODS)}.")
    with db.read() as session:
        ballots = load_ballots(session, campaign_id)
    prior = None if np.isnan(ballots.model).all() else ballots.model
    if method == "model-and-votes" and prior is None:
        raise Conflict("model-and-votes needs proposals: run `python manage.py propose` first.")
    found = METHODS[method](ballots.votes, len(ballots.images), len(ballots.people), prior)
    return ballots, found


def stream_aggregation(db: Database, ballots: Ballots, found: Aggregation) -> Iterator[str]:
    """The result as CSV with the columns of `export labels`, rows by number of the image."""
    yield _to_csv([LABEL_COLUMNS])
    counts = aggregation.count_answers(ballots.votes, len(ballots.images))
    for start in range(0, len(ballots.images), _BATCH):
        places = range(start, min(start + _BATCH, len(ballots.images)))
        ids = ballots.images[start : start + _BATCH].tolist()
        with db.read() as session:
            rows = session.execute(select(Image.id, Image.filename).where(Image.id.in_(ids)))
            names = dict(rows.all())
        yield _to_csv([_row(found, counts, i, int(ballots.images[i]), names) for i in places])


def _by_crowdkit(name: str, stamp: str, votes: Votes, n_images: int) -> Aggregation:
    named = votes.answer < N_LABELS
    posteriors = np.full((n_images, N_LABELS), 1 / N_LABELS)
    if not named.any():
        return Aggregation(posteriors, np.full(n_images, CONTESTED), stamp)
    model, frame = _crowdkit(name, votes, named)
    with warnings.catch_warnings():
        # crowd-kit uses a spelling that pandas is going to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        probabilities = model.fit(frame).probas_
    columns = [int(label) for label in probabilities.columns]
    posteriors[np.ix_(probabilities.index.to_numpy(), columns)] = probabilities.to_numpy()
    seen = probabilities.index.to_numpy()
    missing = [label for label in range(N_LABELS) if label not in columns]
    posteriors[np.ix_(seen, missing)] = 0.0
    return Aggregation(posteriors, likeliest_labels(posteriors), stamp)


def _crowdkit(name: str, votes: Votes, named: Any) -> tuple[Any, Any]:
    """The model of that name, and the votes that name a label as it takes them."""
    try:
        import pandas as pd
        from crowdkit import aggregation as crowdkit
    except ImportError:
        raise Conflict(
            "This method is crowd-kit's, which is not installed. Install it with "
            "`.venv/bin/pip install -r requirements/crowdkit.txt`."
        ) from None
    frame = pd.DataFrame(
        {
            "task": votes.image[named],
            "worker": votes.annotator[named],
            "label": votes.answer[named],
        }
    )
    return getattr(crowdkit, name)(n_iter=ITERATIONS), frame


def _row(
    found: Aggregation, counts: Any, place: int, image_id: int, names: dict[int, str]
) -> tuple[Any, ...]:
    label = int(found.labels[place])
    shares = [f"{p:.6f}" for p in found.posteriors[place]]
    word, status = (LABELS[label], "agreed") if label != CONTESTED else ("", "contested")
    name = neutralise_text(names[image_id])
    return (image_id, name, word, *shares, *counts[place], status, "votes", found.method)


def _to_csv(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
