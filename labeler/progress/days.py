"""The days by which answers are counted: those of a time zone, from midnight to midnight."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo


def midnights(now: datetime, days: int, zone: tzinfo) -> list[datetime]:
    """The midnights with which the last days begin, today's last, and then the next one.

    A day has 23 or 25 hours where the clock changes.

    Parameters:
        days: how many days, today included.
        zone: the time zone.

    Returns:
        `days + 1` times in UTC, ascending.
    """
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=back) for back in range(days - 1, -2, -1)]
    return [datetime.combine(date, time.min, zone).astimezone(UTC) for date in dates]
