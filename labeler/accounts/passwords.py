"""Passwords and tokens: which passwords are accepted, and the hashes that are stored."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from labeler.errors import InvalidInput

MIN_LENGTH = 10
MAX_LENGTH = 200  # argon2 takes any length; the limit bounds the cost of a request
# The commonest passwords of published lists that are long enough for the length rule.
_COMMON = """
1234567890 12345678910 123456789a 0123456789 0987654321 1111111111 0000000000 1q2w3e4r5t
1qaz2wsx3edc qwertyuiop qwerty1234 qwerty12345 qwerty123456 password12 password123
password1234 password12345 passw0rd123 p@ssword123 iloveyou12 iloveyou123 administrator
admin12345 letmein123 letmein1234 welcome123 welcome1234 changeme123 football123
baseball123 superman123 sunshine123 princess123 dragon12345 monkey12345 abcdefghij
abcd123456 abc1234567 abcdefg123 asdfghjkl1 asdfghjkl; zxcvbnm123 q1w2e3r4t5
sidelight123
"""
COMMON = frozenset(_COMMON.split())
# OWASP recommends 19 MiB, two passes and one lane. A hash takes about 25 ms, so that a whole class
# can sign in at once.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def check_password_policy(password: str, username: str) -> None:
    """Refuse a password that is too easy.

    Raises:
        InvalidInput: it is too short, too long, too common, or the same as the username.
    """
    if len(password) < MIN_LENGTH:
        raise InvalidInput(f"The password is too short: at least {MIN_LENGTH} characters.")
    if len(password) > MAX_LENGTH:
        raise InvalidInput(f"The password is too long: at most {MAX_LENGTH} characters.")
    plain = password.casefold()
    if plain == username.casefold():
        raise InvalidInput("The password must not be the username.")
    if plain in COMMON or len(set(plain)) < 3:
        raise InvalidInput("This password is too common. Choose another one.")


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


@cache
def _hash_of_nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))
