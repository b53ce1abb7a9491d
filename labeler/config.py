"""Settings, read from environment variables `SIDELIGHT_*` and checked at the start.

docs/settings.md explains each variable. A test compares that page with this file.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from labeler.errors import ConfigError
from labeler.home_files import BACKUPS, SECRET, is_half_restored, unknown_entries
from labeler.private_files import tighten
from rotation.errors import DatasetError
from rotation.reading import real_path, user_path

T = TypeVar("T")

MIN_SECRET_LENGTH = 32
MIN_SECRET_ALPHABET = 8  # different characters; keys such as "aaaa…" have fewer
# The first parts of the pages' paths. A public path that begins so could not be told from a page.
OWN_PATHS = re.compile(
    "account|admin|appearance|flags|grid|guide|healthz|images|join|label|language|me|messages|privacy|"
    "reset|shared|sign-in|sign-out|static|studio"
)
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")
SQLITE = "sqlite:///"  # the rest of such an address is the file, as it is written
_PREFIX, _TEST_PREFIX = "SIDELIGHT_", "SIDELIGHT_TEST_"
log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.0/8", "::1/128")
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. The defaults here are also those of the environment variables."""

    home: Path
    database_url: str
    secret_key: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] | None = None
    cookie_secure: bool = False
    lease_seconds: int = 300
    prefetch: int = 5
    session_days: int = 14
    session_max_days: int = 30
    login_attempts: int = 5
    login_window_seconds: int = 300
    confirm_minutes: int = 15
    names_for_supervisors: bool = True
    upload_mb: int = 4_000
    upload_images: int = 300_000
    upload_spare_mb: int = 1_000
    image_roots: tuple[Path, ...] = ()
    studio_for_annotators: bool = False
    turns_per_person: int = 3
    studio_model: str = ""

    @property
    def backups(self) -> Path:
        """The folder of backups."""
        return self.home / BACKUPS

    @property
    def listen_on(self) -> str:
        """The address to listen on, HOST:PORT; an IPv6 address is in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks, and perhaps `unix`, whose forwarding headers are believed.

        By default these are the addresses of this machine, if the site has a public address and
        only this machine can reach its port. Then whoever calls is a proxy.
        """
        if self.trusted_proxies is not None:
            return self.trusted_proxies
        return LOOPBACK if self.public_url and is_loopback(self.host) else ()

    @property
    def address(self) -> str:
        """The address at which people reach the site. Links start with it."""
        return self.public_url or f"http://{self.listen_on}"

    @property
    def path(self) -> str:
        """The path under which people reach the site, such as `/sidelight`; "" for none."""
        return urlsplit(self.public_url or "").path


def load_settings(
    environ: Mapping[str, str] | None = None, *, change_home: bool = True
) -> Settings:
    """Read and check the settings. The first call creates the home folder and a secret key.

    Parameters:
        environ: the variables; default: those of the process.
        change_home: create what is missing in the home folder, and take the rights of other users
            away. Without it nothing is written, and the secret key may be "".

    Raises:
        ConfigError: variables are wrong. The message names all of them, what was given and what
            is allowed.
    """
    reader = _Reader(os.environ if environ is None else environ)
    home = reader.get("SIDELIGHT_HOME", "instance", _folder) or Path("instance")
    own = f"{SQLITE}{home / 'sidelight.sqlite3'}"
    database_url = reader.get(
        "SIDELIGHT_DATABASE_URL", own, lambda text: text if text == own else _database_url(text)
    )
    defaults = {field.name: field.default for field in fields(Settings)}
    if not (database_url or "sqlite").startswith("sqlite"):
        defaults["workers"] = 2  # SQLite has one writer at a time: a second process only waits
    values: dict[str, Any] = {
        name: reader.get(_PREFIX + name.upper(), _as_text(defaults[name]), parse)
        for name, parse in _PARSERS.items()
    }
    secret = reader.get("SIDELIGHT_SECRET_KEY", "", _secret)
    reader.raise_if_wrong()
    if database_url == own:
        _refuse_left_behind(own.removeprefix(SQLITE))
    if change_home:
        _refuse_half_restored(home)
        _make_home(home)
        secret = secret or _kept_secret(home)
    elif not secret and (home / SECRET).exists():
        secret = _read_secret(home / SECRET)
    return Settings(home, database_url or "", secret or "", **values)


def _as_text(default: Any) -> str:
    """Write the default of a field as its variable would give it."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "" if default is None or default == () else str(default)


class _Reader:
    """Reads variables and collects all errors, so that a person can fix them at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._mistakes: list[str] = []
        self._known: list[str] = []

    def get(self, name: str, default: str, parse: Callable[[str], T]) -> T | None:
        """Return the value of a variable, or None if it is wrong."""
        self._known.append(name)
        text = self._environ.get(name, default)
        try:
            return parse(text)
        except ValueError as error:
            # An address with an @ may contain a password.
            shown = "(not shown)" if "SECRET" in name or "@" in text else repr(text)
            self._mistakes.append(f"{name}={shown}: {error}")
            return None

    def raise_if_wrong(self) -> None:
        """Raise `ConfigError` if a variable is wrong or has an unknown name."""
        self._refuse_unknown_names()
        if self._mistakes:
            raise ConfigError("Wrong settings:\n  " + "\n  ".join(self._mistakes))

    def _refuse_unknown_names(self) -> None:
        """Report misspelt names. Otherwise their settings would keep the defaults silently."""
        for name in self._environ:
            if not name.startswith(_PREFIX) or name.startswith(_TEST_PREFIX):
                continue
            if name not in self._known:
                close = difflib.get_close_matches(name, self._known, n=1)
                hint = f"; {close[0]} is" if close else "; docs/settings.md lists them"
                self._mistakes.append(f"{name} is not a setting{hint}")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.strip().isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"enter a whole number from {low} to {high}")
        return int(text)

    return parse


def _boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError("enter yes or no")
    return lowered in _TRUE


def _folder(text: str) -> Path:
    return real_path(_user_path(text or "instance"))


def _user_path(text: str, prefix: str = "") -> Path:
    try:
        path = user_path(text)
    except DatasetError:
        raise ValueError("no home folder is known for ~; write the whole path") from None
    if text.startswith("~") and not path.exists() and Path(text).exists():
        raise ValueError(
            f"~ is the home folder, and {path} is missing; earlier versions made a folder called "
            f"~; to use it, write {prefix}{_written(Path(text))}"
        )
    return path


def _written(path: Path) -> str:
    """A path as a user must write it: a name `~` is not the home folder."""
    return f"./{path}" if str(path).startswith("~") else str(path)


def _file_before(file: str) -> Path:
    return Path(unquote(file.partition("?")[0]))  # sqlite:///FILE was read as a web address


def _database_url(text: str) -> str:
    if text.startswith(("postgres://", "postgresql://", "postgresql+psycopg://")):
        return "postgresql+psycopg://" + text.split("://", 1)[1]
    if not text.startswith(SQLITE):
        raise ValueError("enter sqlite:///FILE or postgresql://USER@HOST/NAME")
    file = text.removeprefix(SQLITE)
    if not file or ":memory:" in file:
        raise ValueError("a database in memory would lose all votes; use sqlite:///FILE")
    if re.search(r"\?\w+=", file):
        raise ValueError("options are not allowed; all that follows sqlite:/// names the file")
    path, before = _user_path(file, SQLITE), _file_before(file)
    if not path.exists() and before.is_file():
        raise ValueError(f"write the name of the file as it is: {SQLITE}{_written(before)}")
    return f"{SQLITE}{_written(path)}"


def read_host(text: str) -> str:
    """The address to listen on; IPv6 may be in brackets.

    Raises:
        ValueError: it is empty.
    """
    if not text.strip():  # servers take "" as "every address of this machine"
        raise ValueError("enter an address of this machine, such as 127.0.0.1 or 0.0.0.0")
    found = re.fullmatch(r"\[([0-9a-fA-F:.]+)\]", text.strip())  # as in addresses of the web
    return found[1] if found else text.strip()


def _public_url(text: str) -> str | None:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("enter an address that starts with http:// or https://")
    parts = urlsplit(text)
    if text and not re.fullmatch(r"[^\s\[\]]+|\[[0-9a-fA-F:.]+\](:\d+)?", parts.netloc):
        raise ValueError("enter the address of a host, such as https://labels.example.org")
    if not _PATH.fullmatch(parts.path.rstrip("/")) or parts.query or parts.fragment:
        raise ValueError(
            "after the host only a path is allowed, of letters, digits and . _ ~ -, such as "
            "https://example.org/sidelight"
        )
    first = parts.path[1:].partition("/")[0]
    if OWN_PATHS.fullmatch(first):
        raise ValueError(f"the site has pages of its own under /{first}; choose another path")
    return text.rstrip("/") or None


_PROXIES_NEEDED = "enter addresses or networks such as 10.0.0.5, 10.0.0.0/24 or unix, or none"


def _trusted_proxies(text: str) -> tuple[str, ...] | None:
    if not text:
        return None
    words = text.replace(",", " ").split()
    if words == ["none"]:
        return ()
    if not words:
        raise ValueError(_PROXIES_NEEDED)
    return tuple(_proxy(word) for word in words)


def _proxy(word: str) -> str:
    if word == "unix":
        return word
    try:
        return str(ipaddress.ip_network(word, strict=False))
    except ValueError:
        raise ValueError(_PROXIES_NEEDED) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _image_roots(text: str) -> tuple[Path, ...]:
    roots = [part.strip() for part in text.split(os.pathsep) if part.strip()]
    return tuple(_image_root(root) for root in roots)


def _image_root(text: str) -> Path:
    path = _user_path(text)
    if not path.is_absolute():
        raise ValueError(f"{text} is not a whole path; begin with / or ~, and separate paths by :")
    if not path.is_dir():
        raise ValueError(f"{text} is not a folder on this machine; separate paths by :")
    if path == Path(path.anchor):
        raise ValueError("the root of the file system would open all files; name a folder in it")
    return real_path(path)


def _studio_model(text: str) -> str:
    """A folder, or the name of a bundled model, which the engine checks."""
    is_folder = "/" in text or text.startswith("~")
    path = _user_path(text) if is_folder else None
    if path is not None and not path.is_dir():
        raise ValueError(f"{text} is not a folder on this machine")
    return str(real_path(path)) if path is not None else text.strip()


def _secret(text: str) -> str:
    if text and (len(text) < MIN_SECRET_LENGTH or len(set(text)) < MIN_SECRET_ALPHABET):
        raise ValueError(
            f"too weak: at least {MIN_SECRET_LENGTH} characters, {MIN_SECRET_ALPHABET} of them "
            "different, are needed; leave it unset to have one generated and kept"
        )
    return text


# Fields of `Settings` with a default, and how the text of their variable is read.
_PARSERS: dict[str, Callable[[str], Any]] = {
    "host": read_host,
    "port": _whole(1, 65535),
    "workers": _whole(1, 64),
    "public_url": _public_url,
    "trusted_proxies": _trusted_proxies,
    "cookie_secure": _boolean,
    "lease_seconds": _whole(10, 86_400),
    "prefetch": _whole(1, 50),
    "session_days": _whole(1, 365),
    "session_max_days": _whole(1, 365),
    "login_attempts": _whole(1, 1000),
    "login_window_seconds": _whole(1, 86_400),
    "confirm_minutes": _whole(1, 1440),
    "names_for_supervisors": _boolean,
    "upload_mb": _whole(1, 10_000_000),
    "upload_images": _whole(1, 10_000_000),
    "upload_spare_mb": _whole(0, 10_000_000),
    "image_roots": _image_roots,
    "studio_for_annotators": _boolean,
    "turns_per_person": _whole(1, 1000),
    "studio_model": _studio_model,
}


def _refuse_left_behind(file: str) -> None:
    # Otherwise an empty site would begin, and the votes of an earlier version would seem lost.
    before = _file_before(file)
    if not Path(file).exists() and before.is_file():
        raise ConfigError(
            f"The database {file} is missing. Earlier versions kept it in {before}. To go on with "
            f"it, set SIDELIGHT_DATABASE_URL={SQLITE}{before}. Or stop the site and move the file, "
            "together with its -wal and -shm if there are any."
        )


def _refuse_half_restored(home: Path) -> None:
    if is_half_restored(home):
        raise ConfigError(
            f"A restore into {home} is at work or was interrupted. Wait until it has ended, or "
            "restore again: python manage.py restore FILE. What the interrupted one has left is "
            "removed first."
        )


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        unknown = [name for name in unknown_entries(home) if (home / name).is_dir()]
    except OSError as error:
        raise ConfigError(
            f"SIDELIGHT_HOME={str(home)!r}: {error.strerror}. Set SIDELIGHT_HOME to a folder that "
            "this user can write to; it may be a new one."
        ) from None
    # A home with other people's folders in it may have to stay open. Its files are private anyway.
    if not unknown and not tighten(home):
        log.warning(
            "%s can be read by other users of this machine. Its owner can run: chmod 700 %s",
            home,
            home,
        )


def _kept_secret(home: Path) -> str:
    """Return the key in `home/secret_key`, and create it on first use with mode 0600."""
    path = home / SECRET
    if not path.exists():
        try:
            _make_secret(path)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}). The site needs a home folder that "
                "it can write to, with free space. Set SIDELIGHT_HOME to one."
            ) from None
    if not tighten(path):
        log.warning("%s can be read by other users. Its owner can run: chmod 600 %s", path, path)
    return _read_secret(path)


def _make_secret(path: Path) -> None:
    # A complete file is linked to its name: if two processes start at once, one key remains.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret_key.") as file:
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


def _read_secret(path: Path) -> str:
    try:
        secret = path.read_text().strip()
        _secret(secret or "empty")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}. Delete the file to have a new key made.") from None
    return secret
