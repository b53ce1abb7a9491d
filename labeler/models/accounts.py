"""Accounts, the invites that open them, and the sessions of signed-in browsers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from labeler.languages.texts import mark
from labeler.models.base import Base, one_of, utc_now

ROLES = (mark("annotator"), mark("supervisor"), mark("admin"))
APPEARANCES = ("system", "light", "dark")


class Annotator(Base):
    """A person with an account.

    An account is never deleted. `deactivated_at` closes it, and its votes stay. `removed_at`: the
    name and all else that tells who it was has been erased, for good. `keys`: see
    `accounts.keys`. `appearance`: one of `APPEARANCES`, None if the person has chosen none.
    `language`: one of `labeler.languages.current.LANGUAGES`, None if none was chosen.
    `display_name`: what the person wants to be called, "" for nothing else. `hides_checklist`:
    whether the first steps are hidden on the overview.
    """

    __tablename__ = "annotator"
    __table_args__ = (
        CheckConstraint(one_of("role", ROLES), name="role_known"),
        CheckConstraint("username = lower(username)", name="username_lower"),
        CheckConstraint(one_of("appearance", APPEARANCES), name="appearance_known"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(60), unique=True)
    pseudonym: Mapped[str] = mapped_column(String(20), unique=True)
    role: Mapped[str] = mapped_column(String(12), default="annotator")
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deactivated_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    keys: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    appearance: Mapped[str | None] = mapped_column(String(12))
    language: Mapped[str | None] = mapped_column(String(12))
    display_name: Mapped[str] = mapped_column(String(60), default="", server_default="")
    hides_checklist: Mapped[bool] = mapped_column(default=False, server_default=false())


class Group(Base):
    """People under one name, such as a class. Campaigns can be restricted to groups."""

    __tablename__ = "annotator_group"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class GroupMember(Base):
    """A person in a group."""

    __tablename__ = "group_member"

    group_id: Mapped[int] = mapped_column(ForeignKey("annotator_group.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(
        ForeignKey("annotator.id"), primary_key=True, index=True
    )


class Invite(Base):
    """A link that opens an account. The rows of `InviteUse` say how often it was used.

    `group_id`: the group that the new accounts join.
    """

    __tablename__ = "invite"
    __table_args__ = (
        CheckConstraint(one_of("role", ROLES), name="role_known"),
        CheckConstraint("max_uses >= 1", name="max_uses_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(12), default="annotator")
    note: Mapped[str] = mapped_column(String(200), default="")
    max_uses: Mapped[int] = mapped_column(default=1)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    group_id: Mapped[int | None] = mapped_column(ForeignKey("annotator_group.id"))


class InviteUse(Base):
    """An account that an invite opened."""

    __tablename__ = "invite_use"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    invite_id: Mapped[int] = mapped_column(ForeignKey("invite.id"), index=True)
    used_at: Mapped[datetime] = mapped_column(default=utc_now)


class PasswordReset(Base):
    """A link by which a person chooses a new password, once. An admin hands it over.

    `used_at` and `revoked_at` end it early.
    """

    __tablename__ = "password_reset"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class LoginSession(Base):
    """A signed-in browser.

    The cookie holds the token and this table holds its hash. `revoked_at` ends the session early.
    `password_at`: when the password was last entered in it.
    """

    __tablename__ = "login_session"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    user_agent: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    password_at: Mapped[datetime | None]


class KnownDevice(Base):
    """A browser in which somebody has signed in to this account before.

    The cookie holds the token and this table holds its hash. Wrong passwords from such a browser
    count on their own, so that those of strangers do not keep the person out. If several people
    share a browser, each of them has a row with the same hash.
    """

    __tablename__ = "known_device"
    __table_args__ = (UniqueConstraint("token_hash", "annotator_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    last_used_at: Mapped[datetime] = mapped_column(default=utc_now)


class LoginFailure(Base):
    """A wrong password, which counts against the account and against the address.

    `key` says what it counts against: `account:NAME`, `address:IP`, `device:ID` for a known
    browser, or `confirm:ID` where a signed-in person gives the password again. Old rows are
    deleted.
    """

    __tablename__ = "login_failure"
    __table_args__ = (Index("ix_login_failure_key_at", "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime] = mapped_column(default=utc_now)
