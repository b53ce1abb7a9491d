"""The words of the studio: angles and states, as people read them."""

from __future__ import annotations

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import pgettext
from labeler.models.studio import HeadTurn
from labeler.studio.choices import AUTO

WAITING, TURNING, TURNED, FAILED, CANCELLED = "waiting", "turning", "turned", "failed", "cancelled"
_STATES = {"queued": WAITING, "running": TURNING, "failed": FAILED, "cancelled": CANCELLED}


def name_angle(yaw_deg: float) -> str:
    """Write a yaw as the viewer sees it: `20° left`, `0°`, `12.5° right`."""
    if round(yaw_deg, 1) == 0:
        return "0°"
    angle = write_degrees(abs(yaw_deg))
    return _("%(angle)s left", angle=angle) if yaw_deg < 0 else _("%(angle)s right", angle=angle)


def write_degrees(angle_deg: float) -> str:
    """Write an angle with the decimals that it has: `20°`, `12.5°`."""
    decimals = len(f"{angle_deg:g}".partition(".")[2])
    return f"{write_number(angle_deg, decimals)}°"


def name_measured_angle(yaw_deg: float) -> str:
    """Write a measured yaw in whole degrees."""
    return name_angle(float(round(yaw_deg)))


def state_of(turn: HeadTurn, job_state: str) -> str:
    """Return the state of a turn, as a code.

    Parameters:
        job_state: of the job that turns it; "" if it is no longer known.
    """
    return TURNED if turn.finished_at is not None else _STATES.get(job_state, FAILED)


def name_state(state: str) -> str:
    """Return the word for a state.

    Parameters:
        state: that of `state_of`.
    """
    return {
        WAITING: pgettext("turn", "waiting"),
        TURNING: pgettext("turn", "turning"),
        TURNED: pgettext("turn", "turned"),
        FAILED: pgettext("turn", "failed"),
        CANCELLED: pgettext("turn", "cancelled"),
    }[state]


def name_way(way: str) -> str:
    """Name a way of turning in short; one of another version of the program by its code."""
    known = {
        AUTO: _("the one that suits the pictures"),
        "geometry": pgettext("way of turning", "geometry"),
        "flow": pgettext("way of turning", "flow"),
        "line": pgettext("way of turning", "line"),
        "closed-loop": pgettext("way of turning", "closed loop"),
    }
    return known.get(way, way)
