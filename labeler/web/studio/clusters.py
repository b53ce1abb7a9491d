"""The pictures of each cluster that a form would use, and their mean faces. They tell labels."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask import Blueprint, request, send_file, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.rules.validation import RuleError, read_whole
from labeler.studio.candidates import PreviewSource
from labeler.studio.choices import LIGHTS, TurnChoices
from labeler.studio.members import MEAN_FACES, ClusterPlace, Member, find_members
from labeler.studio.preview import ClusterPreview, load_source
from labeler.web import access, current_campaign, request_fields
from labeler.web.context import Page, db, render
from labeler.web.image_address import image_address
from labeler.web.studio.words import name_angle
from labeler.web.voting import scaled_size
from rotation.data.labels import LABELS

bp = Blueprint("studio_clusters", __name__, url_prefix="/studio/clusters")
ANY = "any"  # light
SHOWN = 12  # pictures at each angle
MOST_CLUSTERS = 61
ROOM = (96, 120)  # for a picture, in pixels
_PLACE = re.compile(r"(-?\d{1,2}):(\d{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class MemberView:
    """A picture. `address`: of the page about its image."""

    name: str
    address: str
    url: str
    width: int
    height: int
    mirrored: bool


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The pictures at an angle."""

    angle: str
    members: Sequence[MemberView]


@dataclass(frozen=True, slots=True)
class ClustersPage(Page):
    """The pictures of each cluster. `back`: the address of the form."""

    template = "studio/clusters.html"
    clusters: Sequence[ClusterView]
    back: str
    shown: int = SHOWN


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an address asks for: the clusters of these choices, for a source."""

    campaign: Campaign
    source: PreviewSource
    choices: TurnChoices
    subset_id: int | None

    def find(self, session: Session, place: ClusterPlace, **how: int) -> list[Member]:
        """Find the members of the cluster there; `how` may have `most`."""
        return find_members(
            session, self.campaign, self.source, self.choices, place, self.subset_id, **how
        )


@bp.get("")
@access.only("supervisor", "admin")
def clusters() -> tuple[str, int]:
    """The pictures at each angle, `at=ANGLE:HALF_WIDTH,...`."""
    places = _places(request.args.get("at", ""))
    with db().read() as session:
        asked = _read(session)
        current_campaign.show(asked.campaign)
        views = [_view(session, asked, place) for place in places]
        return render(ClustersPage(views, _way_back(asked)))


@bp.get("/mean")
@access.only("supervisor", "admin")
def mean() -> Response:
    """The mean face of a cluster, `at=ANGLE:HALF_WIDTH`, as a PNG."""
    (place, *others) = _places(request.args.get("at", ""))
    if others:
        raise InvalidInput(_("Name one angle."))
    with db().read() as session:
        asked = _read(session)
        members = asked.find(session, place)
        path = asked.campaign.dataset.path
    response = send_file(io.BytesIO(MEAN_FACES.draw(path, members)), "image/png")
    digest = sha256(repr([(one.image.sha256, one.mirrored) for one in members]).encode())
    response.set_etag(digest.hexdigest())
    response.headers["Cache-Control"] = "private, no-cache"
    return response.make_conditional(request)


def addresses(
    campaign: Campaign,
    source: PreviewSource,
    choices: TurnChoices,
    counted: ClusterPreview,
    subset_id: int | None,
    back: str,
) -> tuple[str, Mapping[float, str]]:
    """Return the address of the clusters' pictures, and those of their mean faces by angle.

    A cluster without a picture has no mean face.

    Parameters:
        back: the address of the form with its choices, to return to.
    """
    if counted.light is None:
        return "", {}
    chosen: dict[str, Any] = {
        **current_campaign.links(campaign),
        "source": source.image_id or None,
        "light": counted.light or ANY,
        "attributes": list(counted.kept),
        "min_percent": choices.min_percent or None,
        "proposals": "yes" if choices.with_proposals else None,
        "subset": subset_id,
    }
    at = {
        one.angle_deg: f"{one.angle_deg:g}:{one.half_width_deg}"
        for one in counted.clusters
        if one.used
    }
    means = {
        angle: url_for("studio_clusters.mean", at=place, **chosen) for angle, place in at.items()
    }
    if not at:
        return "", means
    every = ",".join(at.values())
    return url_for("studio_clusters.clusters", at=every, back=back, **chosen), means


def _way_back(asked: _Asked) -> str:
    """Return the address of the form, with its choices if the present address has them."""
    links: dict[str, Any] = current_campaign.links(asked.campaign)
    chosen: dict[str, Any] = {
        "image": asked.source.image_id or None,
        "subset": asked.subset_id,
    }
    form = url_for("studio_new.new_turn", **chosen, **links)
    return request_fields.local_address(request.args.get("back", ""), form)


def _read(session: Session) -> _Asked:
    """Read what the address asks for, besides the angles.

    Raises:
        InvalidInput: a value is wrong.
        NotFound: there is no such campaign, or no such image in its data set.
    """
    campaign = current_campaign.campaign(session)
    light = request.args.get("light", ANY)
    if light not in (ANY, *LABELS):
        raise InvalidInput(_("The light is one of: %(lights)s.", lights=", ".join((ANY, *LABELS))))
    try:
        choices = TurnChoices(
            light=LIGHTS[0] if light == ANY else light,
            light_filter=light != ANY,
            attributes=tuple(request.args.getlist("attributes")),
            min_percent=_percent(request.args.get("min_percent", "0")),
            with_proposals=request.args.get("proposals") == "yes",
        )
    except RuleError as error:
        raise InvalidInput(str(error)) from None
    known = _source(session, campaign, choices)
    if not set(choices.attributes) <= set(campaign.dataset.attribute_names):
        raise InvalidInput(_("The data set has no such attribute."))
    return _Asked(campaign, known, choices, request_fields.optional_row("subset"))


def _percent(text: str) -> int:
    number = read_whole(text)
    if number is None:
        raise InvalidInput(_("The lowest probability is a whole number from 0 to 100."))
    return number


def _source(session: Session, campaign: Campaign, choices: TurnChoices) -> PreviewSource:
    number = request_fields.optional_row("source")
    if number is None:
        return PreviewSource()
    image = session.get(Image, number)
    if image is None or image.dataset_id != campaign.dataset_id:
        raise NotFound(_("The data set has no image %(number)s.", number=number))
    return load_source(session, campaign, image, with_proposals=choices.with_proposals)


def _places(text: str) -> list[ClusterPlace]:
    found = [_PLACE.fullmatch(one) for one in text.split(",", MOST_CLUSTERS)]
    if None in found or len(found) > MOST_CLUSTERS:
        raise InvalidInput(_("The angles are wrong. Open this page from the form."))
    return [ClusterPlace(int(one[1]), int(one[2])) for one in found if one is not None]


def _view(session: Session, asked: _Asked, place: ClusterPlace) -> ClusterView:
    members = asked.find(session, place, most=SHOWN)
    return ClusterView(
        name_angle(place.angle_deg), [_member(one, asked.campaign) for one in members]
    )


def _member(member: Member, campaign: Campaign) -> MemberView:
    image = member.image
    links = current_campaign.links(campaign)
    return MemberView(
        image.filename,
        url_for("image_history.image", image_id=image.id, **links),
        image_address(image.id, image.sha256),
        *scaled_size(image.width or 0, image.height or 0, ROOM),
        member.mirrored,
    )
