"""Passwords and tokens: which passwords are accepted, and the hashes that are stored."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark

MIN_LENGTH = 10
MAX_LENGTH = 200  # argon2 takes any length; the limit bounds the cost of a request
LOOKED_AT = 72  # characters that are weighed; the time for it grows with the square
# A password that takes fewer guesses than this is refused. zxcvbn counts them with its lists of
# common passwords, names and words, with keyboard walks, dates, repeats and sequences.
MIN_GUESSES = 10**8
# Words of this site, which somebody would try here first.
CONTEXT = (
    "sidelight", "annotator", "supervisor", "admin", "administrator", "labeler", "labeller",
    "labelling", "labeling", "annotation", "celeba",
)  # fmt: skip
# OWASP recommends 19 MiB, two passes and one lane. A hash takes about 25 ms, so that a whole class
# can sign in at once.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_HINT = mark("Take several unrelated words or a short sentence.")
_REASONS = {
    "dictionary": mark(
        "This password is too easy to guess: it is a common password or a common word with few "
        "changes."
    ),
    "repeat": mark("This password is too easy to guess: it repeats the same characters."),
    "sequence": mark(
        "This password is too easy to guess: it is a sequence such as abcdef or 123456."
    ),
    "spatial": mark("This password is too easy to guess: it follows the keys of the keyboard."),
    "regex": mark("This password is too easy to guess: it is a year or a date."),
    "date": mark("This password is too easy to guess: it is a year or a date."),
    "bruteforce": mark("This password is too easy to guess: it has too few different characters."),
}
_OWN_WORDS = mark(
    "This password is too easy to guess: it is made of your user name or of words of this site."
)
# zxcvbn keeps the words of its caller in a global, which two threads must not share.
_weighing = threading.Lock()


def check_password_policy(password: str, username: str) -> None:
    """Refuse a password that is too easy. The message says why.

    Raises:
        InvalidInput: it is too short or too long, it is the username, or few guesses find it.
    """
    if len(password) < MIN_LENGTH:
        raise InvalidInput(
            _(
                "The password is too short: at least %(min_length)s characters.",
                min_length=MIN_LENGTH,
            )
        )
    if len(password) > MAX_LENGTH:
        raise InvalidInput(
            _("The password is too long: at most %(max_length)s characters.", max_length=MAX_LENGTH)
        )
    if password.casefold() == username.casefold():
        raise InvalidInput(_("The password must not be the username."))
    why = _why_easy(password, username)
    if why:
        raise InvalidInput(f"{_(why)} {_(_HINT)}")


def hash_password(password: str) -> str:
    """The argon2id hash of a password; the text has its parameters and salt."""
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether a password matches a stored hash.

    Without a hash (`stored` None: no such account) the check takes as long as a real one. So the
    time does not tell whether an account exists.
    """
    try:
        _hasher.verify(stored or _hash_of_nobody(), password[: MAX_LENGTH + 1])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than the current ones."""
    return _hasher.check_needs_rehash(stored)


def new_token() -> str:
    """A token of 256 random bits for an address or a cookie, as text."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """The hash that the database stores. A plain hash is enough, since the token is random."""
    return hashlib.sha256(token.encode()).hexdigest()


def _why_easy(password: str, username: str) -> str:
    """Why few guesses find the password, as a marked sentence; "" if it takes many."""
    from zxcvbn import zxcvbn  # late, because its lists take a while to load

    parts = re.split(r"[._-]+", username)
    words = [username, "".join(parts), *parts, *CONTEXT]
    with _weighing:
        found = zxcvbn(password[:LOOKED_AT].casefold(), [word for word in words if len(word) > 2])
    if found["guesses"] >= MIN_GUESSES:
        return ""
    longest = max(found["sequence"], key=lambda part: len(part["token"]))
    if longest.get("dictionary_name") == "user_inputs":
        return _OWN_WORDS
    return _REASONS.get(longest["pattern"], _REASONS["bruteforce"])


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))
