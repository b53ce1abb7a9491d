"""The form that orders a turn of a head: its values as texts, read into `TurnChoices`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.models.studio import MAX_TURN_NAME, HeadTurn
from labeler.rules.validation import RuleError, read_whole
from labeler.studio.choices import ANGLES, AUTO, TurnChoices, choices_of, read_angles
from labeler.web.campaigns.forms import Fault
from labeler.web.studio.words import name_way
from rotation.clusters.selection import DEFAULT_ATTRIBUTES

OWN = "own"  # angles of one's own
YES = "yes"
NO = "no"  # in an address: an empty field, or a box that is not ticked
MAX_TEXT = 500
LABELS = {
    "name": mark("Name"),
    "source": mark("File name or number"),
    "upload": mark("Picture of your own"),
    "light": mark("Light"),
    "yaw": mark("Yaw of the source"),
    "filter": mark("Pictures to learn from"),
    "attributes": mark("Attributes"),
    "angles": mark("Angles"),
    "own_angles": mark("Own angles"),
    "way": mark("Way of turning"),
    "size": mark("Size"),
    "subset": mark("Images"),
    "min_percent": mark("Lowest probability of a label, in percent"),
    "min_cluster": mark("Fewest pictures at each angle"),
    "max_cluster": mark("Most pictures at each angle"),
    "seed": mark("Seed"),
}
TEXTS = tuple(name for name in LABELS if name not in ("upload", "attributes"))
TICKS = ("relight", "proposals", "colours", "similar", "keep")
_FIELDS = {  # the fields of the form by those of `TurnChoices`
    "light": "light",
    "yaw_deg": "yaw",
    "angles_deg": "angles",
    "attributes": "attributes",
    "way": "way",
    "size": "size",
    "min_percent": "min_percent",
    "min_cluster": "min_cluster",
    "max_cluster": "max_cluster",
    "seed": "seed",
}
_NUMBER = re.compile(r"[+-]?\d{1,3}(\.\d{1,3})?")


@dataclass(slots=True)
class StudioForm:
    """The values of the form as texts. `problems`: what is wrong, by field."""

    values: dict[str, str] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=lambda: list(DEFAULT_ATTRIBUTES))
    problems: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Return the text of a field; "" for an empty one."""
        return self.values.get(name, "")

    def is_on(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.get(name) == YES

    @property
    def faults(self) -> Sequence[Fault]:
        """What has to be corrected, in the order of the fields."""
        return [
            Fault(name, _(label), self.problems[name])
            for name, label in LABELS.items()
            if name in self.problems
        ]


def empty_form() -> StudioForm:
    """Return the form as it is at first."""
    return _of_choices(TurnChoices(attributes=DEFAULT_ATTRIBUTES))


def form_of_turn(turn: HeadTurn) -> StudioForm:
    """Return the form with the choices of a turn, so that it can be ordered with a change.

    Choices of another version of the program are left out. The campaign is not part of the form.
    """
    try:
        form = _of_choices(choices_of(turn.settings))
    except InvalidInput:
        form = empty_form()
    form.values["keep"] = YES if turn.keeps_upload else ""
    if turn.image_id is not None:
        form.values["source"] = str(turn.image_id)
    if turn.subset_id is not None:
        form.values["subset"] = str(turn.subset_id)
    return form


def query_of(form: StudioForm) -> dict[str, Any]:
    """Return the choices that are not the usual ones, for the address of the form.

    The source is left out: the address names the number of its image.
    """
    usual = empty_form()
    query: dict[str, Any] = {
        name: form.get(name) or NO
        for name in (*TEXTS, *TICKS)
        if name != "source" and form.get(name) != usual.get(name)
    }
    if form.attributes != usual.attributes:
        query["attributes"] = form.attributes or [""]
    return query


def fill_from_address(form: StudioForm) -> None:
    """Change what the address names, as `query_of` has written it. Other values stay."""
    given = request.args
    for name in (*TEXTS, *TICKS):
        text = given.get(name, "").strip()[:MAX_TEXT]
        if name != "source" and text and "\0" not in text:
            form.values[name] = "" if text == NO else text
    if "attributes" in given:
        named = [one[:100] for one in given.getlist("attributes")]
        form.attributes = [one for one in named if one and "\0" not in one]


def sent_form() -> StudioForm:
    """Return the form as it was sent.

    Raises:
        InvalidInput: a field contains a NUL character.
    """
    given = request.form
    if any("\0" in value for _, value in given.items(multi=True)):
        raise InvalidInput(_("A NUL character is not allowed in the form."))
    values = {name: given.get(name, "").strip()[:MAX_TEXT] for name in (*TEXTS, *TICKS)}
    return StudioForm(values, [one[:100] for one in given.getlist("attributes")])


def parse_choices(form: StudioForm) -> TurnChoices | None:
    """Read the choices of a form; None if some are wrong, which `form.problems` then says."""
    numbers = {name: _whole(form, name) for name in ("min_percent", "min_cluster", "max_cluster")}
    numbers |= {"seed": _whole(form, "seed"), "size": _whole(form, "size")}
    angles, yaw_deg = _angles(form), _yaw(form)
    if form.get("filter") not in ("light", "any"):
        form.problems["filter"] = _("Choose one of the two.")
    if form.problems:
        return None
    try:
        return TurnChoices(
            light=form.get("light"),
            yaw_deg=yaw_deg,
            light_filter=form.get("filter") == "light",
            attributes=tuple(dict.fromkeys(form.attributes)),
            angles_deg=angles,
            way=form.get("way"),
            with_proposals=form.is_on("proposals"),
            match_colours=form.is_on("colours"),
            similar=form.is_on("similar"),
            relight=form.is_on("relight"),
            **numbers,
        )
    except RuleError as error:
        for problem in error.problems:
            form.problems[_FIELDS.get(problem.field, problem.field)] = problem.sentence()
    return None


def check_sizes(form: StudioForm, choices: TurnChoices) -> None:
    """Note a problem if the bounds of a cluster exclude each other."""
    if choices.min_cluster > choices.max_cluster:
        form.problems["max_cluster"] = _("It must not be smaller than the fewest pictures.")


def _of_choices(chosen: TurnChoices) -> StudioForm:
    text = ",".join(f"{angle:g}" for angle in chosen.angles_deg)
    preset = next(
        (name for name, angles in ANGLES.items() if read_angles(angles) == chosen.angles_deg), OWN
    )
    values = {
        "light": chosen.light,
        "yaw": "" if chosen.yaw_deg is None else f"{chosen.yaw_deg:g}",
        "filter": "light" if chosen.light_filter else "any",
        "angles": preset,
        "own_angles": text if preset == OWN else "",
        "way": chosen.way,
        "size": str(chosen.size),
        "min_percent": str(chosen.min_percent),
        "min_cluster": str(chosen.min_cluster),
        "max_cluster": str(chosen.max_cluster),
        "seed": str(chosen.seed),
        "proposals": YES if chosen.with_proposals else "",
        "colours": YES if chosen.match_colours else "",
        "similar": YES if chosen.similar else "",
        "relight": YES if chosen.relight else "",
    }
    return StudioForm(values, list(chosen.attributes))


def _whole(form: StudioForm, name: str) -> int:
    number = read_whole(form.get(name))
    if number is None:
        form.problems[name] = _("Enter a whole number.")
    return number or 0


def _angles(form: StudioForm) -> tuple[float, ...]:
    chosen = form.get("angles")
    if chosen != OWN and chosen not in ANGLES:
        form.problems["angles"] = _("Choose one of the list.")
        return ()
    try:
        return read_angles(ANGLES.get(chosen, form.get("own_angles")))
    except InvalidInput as error:
        form.problems["own_angles"] = error.message
        return ()


def _yaw(form: StudioForm) -> float | None:
    text = form.get("yaw").replace("\u2212", "-").replace(",", ".").removesuffix("°").strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        form.problems["yaw"] = _("Enter degrees from -90 to 90, or leave it empty.")
        return None
    return float(text)


def light_choices() -> Mapping[str, str]:
    """The lights that a person can say, and how they are called."""
    return {
        "left": pgettext("light", "from the left"),
        "center": pgettext("light", "from the center"),
        "right": pgettext("light", "from the right"),
    }


def way_choices() -> Mapping[str, str]:
    """The ways of turning, with what they do."""
    return {
        AUTO: name_way(AUTO),
        "geometry": _("geometry: turn the head in the whole picture"),
        "flow": _("flow: warp the face along the motion between mean faces"),
        "line": _("line: move its latent along a line"),
        "closed-loop": _("closed loop: measure each frame and correct it"),
    }


MAX_NAME = MAX_TURN_NAME
