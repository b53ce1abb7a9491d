"""Numbers and times in the language of the moment."""

from __future__ import annotations

from datetime import date, datetime

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from labeler.languages.current import current_language

# A day, by language. Others than these write it as their locale does.
DAYS = {"en": "dd MMM yyyy", "de": "d. MMM yyyy", "it": "d MMM yyyy"}
SHORT_DAYS = {"en": "dd MMM", "de": "d. MMM", "it": "d MMM"}
_LOCALES = {"en": "en_GB"}
WEEKDAYS = {"en": "EEE d MMM", "de": "EEE d. MMM", "it": "EEE d MMM"}


def write_number(value: float, decimals: int = 0) -> str:
    """Write a number with separators: `1,240`, in German `1.240`. The minus sign is a real one."""
    pattern = "#,##0" + (f".{'0' * decimals}" if decimals else "")
    return format_decimal(value, pattern, locale=_locale()).replace("-", "−")


def write_day(moment: date) -> str:
    """Write a day, such as `30 Nov 2026`."""
    return format_date(moment, DAYS.get(current_language(), "medium"), locale=_locale())


def write_short_day(moment: date) -> str:
    """Write a day without its year, such as `30 Nov`."""
    pattern = SHORT_DAYS.get(current_language(), SHORT_DAYS["it"])
    return format_date(moment, pattern, locale=_locale())


def write_minute(moment: datetime, seconds: bool = False) -> str:
    """Write a moment as it is stored, in UTC: `30 Nov 2026, 08:17 UTC`."""
    clock = format_datetime(moment, "HH:mm:ss" if seconds else "HH:mm", locale=_locale())
    return f"{write_day(moment)}, {clock} UTC"


def write_weekday(moment: date) -> str:
    """Write a day of the last weeks, such as `Mon 30 Nov`."""
    pattern = WEEKDAYS.get(current_language(), WEEKDAYS["it"])
    return format_date(moment, pattern, locale=_locale())


def _locale() -> str:
    return _LOCALES.get(current_language(), current_language())
