"""The words of the studio: angles, states and settings, as people read them."""

from __future__ import annotations

from labeler.models.studio import HeadTurn

WAITING, TURNING, TURNED, FAILED, CANCELLED = "waiting", "turning", "turned", "failed", "cancelled"
_STATES = {"queued": WAITING, "running": TURNING, "failed": FAILED, "cancelled": CANCELLED}


def name_angle(yaw_deg: float) -> str:
    """Write a yaw as the viewer sees it: `20° left`, `0°`, `12.5° right`."""
    if round(yaw_deg, 1) == 0:
        return "0°"
    return f"{abs(yaw_deg):g}° {'left' if yaw_deg < 0 else 'right'}"


def name_measured_angle(yaw_deg: float) -> str:
    """Write a measured yaw in whole degrees."""
    return name_angle(float(round(yaw_deg)))


def state_of(turn: HeadTurn, job_state: str) -> str:
    """Return the state of a turn, in a word.

    Parameters:
        job_state: of the job that turns it; "" if it is no longer known.
    """
    return TURNED if turn.finished_at is not None else _STATES.get(job_state, FAILED)
