"""What can go wrong, as one tree: each error knows its HTTP status and says what to do.

Services raise these; `labeler.web.errors` renders them as a page or as JSON, the command line
turns them into a message and exit code 1. Some callers catch one kind earlier: a form puts the
message beside its field, a background job writes it to the log.
"""

from __future__ import annotations


class SidelightError(Exception):
    """An expected error. `message` is for people; `code` is for programs and never changes."""

    status = 400
    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(SidelightError):
    """A setting is wrong; raised at start."""

    status = 500
    code = "bad_setting"


class InvalidInput(SidelightError):
    """What was given is not one of the allowed things."""

    status = 422
    code = "invalid_input"


class NotSignedIn(SidelightError):
    """No valid session."""

    status = 401
    code = "not_signed_in"


class WrongPassword(NotSignedIn):
    """A failed sign-in, or a wrong present password."""

    code = "wrong_password"


class Forbidden(SidelightError):
    """Signed in, but this is not theirs or not their role's."""

    status = 403
    code = "forbidden"


class NotFound(SidelightError):
    """There is no such thing (or it is not to be known that there is)."""

    status = 404
    code = "not_found"


class Conflict(SidelightError):
    """The state has moved on: a lease has expired, a name is taken, an invite is used up."""

    status = 409
    code = "conflict"


class StaleLease(Conflict):
    """The image is no longer held by this person and is not needed any more."""

    code = "stale_lease"


class TooManyAttempts(SidelightError):
    """Throttled. `retry_after_s` tells when to come back."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokenData(SidelightError):
    """A file or a data set cannot be used as it is; names the file and the way out."""

    status = 422
    code = "broken_data"
