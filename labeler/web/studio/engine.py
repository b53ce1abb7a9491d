"""What the engine has written about a result, or why it refuses, in the language of the reader.

The engine writes English, and names options of the command line. A text that is not known here
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from labeler.languages.numbers import write_number
from labeler.languages.stored import translate_stored
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.studio import HeadTurn
from labeler.web.studio.words import name_angle

_FORMS = (
    # rotation.geometry.photograph
    mark("turned by %(angle)s degrees; up to %(most)s turn out well"),
    mark("%(share)s of the face was hidden in the photograph"),
    # rotation.clusters.selection
    mark("%(name)s dropped"),
    mark("window at %(angle)s° widened from ±%(asked)s° to ±%(half)s°"),
)
_UPLOAD = re.compile(r"(?:[^\s'\"]*/)?source\.(?:jpe?g|png|webp|bmp|gif|tiff?)\b", re.IGNORECASE)
_SMALL = re.compile(r"at yaw ([+-][\d.]+)°: (\d+) found")
Found = re.Match[str]


def tell_engine(text: str) -> str:
    """Return a text of the engine as people read it."""
    return translate_stored(text, _FORMS)


def tell_refusal(problem: str, turn: HeadTurn) -> str:
    """Return why the engine refuses a turn, with advice that fits the form of the studio.

    Parameters:
        problem: that of the turn's job.
    """
    for pattern, tell in _REFUSALS:
        if found := re.search(pattern, problem):
            return tell(turn.source_name, found)
    if turn.image_id is not None:
        return problem
    return _UPLOAD.sub(lambda _found: turn.source_name, problem)  # the name of its copy


def _too_few(name: str, found: Found) -> str:
    small = [
        _(
            "%(angle)s (%(count)s found)",
            angle=name_angle(float(angle)),
            count=write_number(int(count)),
        )
        for angle, count in _SMALL.findall(found["small"])
    ]
    return _(
        "There are too few pictures to learn from: %(least)s are needed at each angle. There are "
        "too few at %(angles)s. Choose smaller angles, fewer pictures at each angle or pictures "
        "of any light, or label more pictures.",
        least=write_number(int(found["least"])),
        angles=", ".join(small),
    )


def _no_yaw(name: str, found: Found) -> str:
    return _(
        "No face was found in %(name)s, or its yaw is not known. Say how far the head is turned, "
        "or choose another picture.",
        name=name,
    )


def _doubtful(name: str, found: Found) -> str:
    return _(
        "It is doubtful how far the head in %(name)s is turned. Most often there is no face in "
        "such a picture. Say how far it is turned if there is one, or choose another picture.",
        name=name,
    )


def _no_face(name: str, found: Found) -> str:
    return _(
        "No face was found in %(name)s. Choose a picture that shows a whole face.",
        name=name,
    )


def _several(name: str, found: Found) -> str:
    return _(
        "%(name)s shows %(count)s faces. Cut the picture so that it shows only the head to turn.",
        name=name,
        count=found["count"],
    )


def _no_light(name: str, found: Found) -> str:
    return _(
        "%(name)s has no label. Say where its light comes from, or use pictures of any light.",
        name=name,
    )


def _narrow(name: str, found: Found) -> str:
    return _(
        "The face in %(name)s is only %(width)s pixels wide. It needs at least %(least)s.",
        name=name,
        width=found["width"],
        least=found["least"],
    )


def _turned_far(name: str, found: Found) -> str:
    return _(
        "The head in %(name)s is turned by %(angle)s° already; up to %(most)s° are possible. "
        "Choose another picture.",
        name=name,
        angle=found["angle"].removeprefix("-"),
        most=found["most"],
    )


def _bare_subset(name: str, found: Found) -> str:
    return _("No picture of the subset has a label. Choose another one, or label more pictures.")


def _no_labels(name: str, found: Found) -> str:
    return _("No picture of the data set has a label yet. Label some pictures first.")


_REFUSALS: tuple[tuple[str, Callable[[str, Found], str]], ...] = (
    # rotation.clusters.selection
    (r"Too few images with .+?, (?P<small>at yaw .+ found), (?P<least>\d+) needed", _too_few),
    # rotation.editing.pipeline
    (r"No pose is known of ", _no_yaw),
    (r"The pose of .+ is doubtful", _doubtful),
    (r"No face was found in ", _no_face),
    (r" shows (?P<count>\d+) faces\.", _several),
    (r" has no label, so its light is not known\.", _no_light),
    # rotation.geometry.photograph
    (r"The face is only (?P<width>\d+) pixels wide; (?P<least>\d+) are", _narrow),
    (r"head is turned by (?P<angle>-?\d+) degrees; heads within (?P<most>\d+)", _turned_far),
    # rotation.run and rotation.data.labels_csv
    (r"--subset .+: none of its .+ images has a label", _bare_subset),
    (r"no row has one of the labels ", _no_labels),
)
