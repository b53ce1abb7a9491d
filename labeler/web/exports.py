"""Downloads: labels and votes as CSV."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, request
from flask import Response as FlaskResponse
from werkzeug.wrappers import Response

from labeler.audit.log import record
from labeler.exports import csv_files
from labeler.web import access, current_campaign, request_fields
from labeler.web.context import actor, db
from labeler.web.formatting import download_name

bp = Blueprint("exports", __name__, url_prefix="/admin")
SURE_PRECISION = 0.95  # share of the sure proposals that are right


@bp.get("/export/labels.csv")
@access.only("supervisor", "admin")
def labels_csv() -> Response:
    """The labels as CSV; with `proposals=yes` also proposals, with `sure=yes` only sure ones.

    With `subset=NUMBER` only those of the images of a subset.
    """
    sure = request.args.get("sure") == "yes"
    subset_id = request_fields.optional_row("subset")
    with_proposals = sure or request.args.get("proposals") == "yes"
    kind = "-and-sure-proposals" if sure else "-and-proposals" if with_proposals else ""
    within = "" if subset_id is None else f"-of-subset-{subset_id}"
    campaign_id, name = _logged_campaign(f"labels{kind}{within}")
    rows = csv_files.stream_labels(
        db(), campaign_id, with_proposals, SURE_PRECISION if sure else None, subset_id
    )
    return _csv(name, rows)


@bp.get("/export/votes.csv")
@access.only("supervisor", "admin")
def votes_csv() -> Response:
    """All votes of a campaign as CSV."""
    campaign_id, name = _logged_campaign("votes")
    return _csv(name, csv_files.stream_votes(db(), campaign_id))


def _logged_campaign(kind: str) -> tuple[int, str]:
    """Return the campaign of the request and the name of the file. Log that its data leave."""
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        name = download_name(campaign.name, kind, "csv")
        record(session, "export", actor(), ("campaign", campaign.id), file=name)
    return campaign.id, name


def _csv(name: str, chunks: Iterator[str]) -> Response:
    response = FlaskResponse(chunks, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
