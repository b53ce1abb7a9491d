"""Expected errors. Each has an HTTP status and a message that says what to do.

Services raise them. `labeler.web.errors` shows them as a page or as JSON. The command line prints
the message and ends with exit code 1. Some callers catch them earlier: a form shows the message
beside its field, and a background job writes it to the log.
"""

from __future__ import annotations


class SidelightError(Exception):
    """An expected error. `message` is for people. `code` is for programs and never changes."""

    status = 400
    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(SidelightError):
    """A setting is wrong. Raised when a program starts."""

    status = 500
    code = "bad_setting"


class InvalidInput(SidelightError):
    """A value is not allowed."""

    status = 422
    code = "invalid_input"


class NotSignedIn(SidelightError):
    """The browser has no valid session."""

    status = 401
    code = "not_signed_in"


class WrongPassword(NotSignedIn):
    """The name or the password is wrong."""

    code = "wrong_password"


class AccountClosed(SidelightError):
    """The password is right, but the account was closed."""

    status = 403
    code = "account_closed"


class Forbidden(SidelightError):
    """The person or the role may not do this."""

    status = 403
    code = "forbidden"


class PasswordNeeded(SidelightError):
    """The password was last entered too long ago for what was asked."""

    status = 403
    code = "password_needed"


class ConfirmationNeeded(SidelightError):
    """The change hurts somebody, and nobody has confirmed it. The message says what it will do."""

    status = 409
    code = "confirmation_needed"


class NotFound(SidelightError):
    """The thing does not exist, or the person may not know that it does."""

    status = 404
    code = "not_found"


class Conflict(SidelightError):
    """The state does not allow this: a name is taken, an invite is used up, a run has ended."""

    status = 409
    code = "conflict"


class TooManyTurns(Conflict):
    """The person has as many turns of heads queued or running as the site allows."""

    code = "too_many_turns"


class Interrupted(Conflict):
    """The worker of a job was stopped. The job is queued again."""

    code = "interrupted"


class StaleLease(Conflict):
    """The person no longer holds the lease of the image, and its answer is not needed."""

    code = "stale_lease"


class StorageFull(SidelightError):
    """The disk of the site has too little free space for what was sent."""

    status = 507
    code = "storage_full"


class WrongOffset(Conflict):
    """A piece of an upload does not follow what is there. `offset`: the bytes that are there."""

    code = "wrong_offset"

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class TooManyAttempts(SidelightError):
    """Too many attempts in a short time. `retry_after_s`: seconds until the next one."""

    status = 429
    code = "too_many_attempts"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BrokenData(SidelightError):
    """A file or a data set is not usable. The message names the file and what to do."""

    status = 422
    code = "broken_data"


class StillPreparing(SidelightError):
    """Something takes long and is being prepared. `retry_after_s`: when to ask again."""

    status = 503
    code = "still_preparing"
    retry_after_s = 2
