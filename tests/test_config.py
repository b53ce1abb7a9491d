"""Settings: defaults, mistakes, the secret key, and the page that documents them."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from labeler.config import LOOPBACK, load_settings
from labeler.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
STRONG = "0123456789abcdefghijklmnopqrstuvwxyz"


def test_the_defaults(tmp_path: Path) -> None:
    settings = load_settings({"SIDELIGHT_HOME": str(tmp_path / "home")})
    assert settings.home == tmp_path / "home"
    assert settings.database_url == f"sqlite:///{tmp_path / 'home' / 'sidelight.sqlite3'}"
    assert (settings.host, settings.port, settings.lease_seconds) == ("127.0.0.1", 8000, 300)


@pytest.mark.parametrize(
    ("database", "processes"),
    [("", 1), ("sqlite:////tmp/a.sqlite3", 1), ("postgresql://localhost/a", 2)],
)
def test_one_process_where_one_can_write(tmp_path: Path, database: str, processes: int) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_DATABASE_URL": database}
    given = {name: value for name, value in environ.items() if value}
    assert load_settings(given).workers == processes
    assert load_settings({**given, "SIDELIGHT_WORKERS": "3"}).workers == 3


def test_the_secret_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path)}
    first = load_settings(environ).secret_key
    assert len(first) >= 32
    assert load_settings(environ).secret_key == first
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_a_given_secret_key_is_used_and_none_is_made(tmp_path: Path) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_SECRET_KEY": STRONG}
    assert load_settings(environ).secret_key == STRONG
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize("weak", ["short", "a" * 64, "abc" * 20])
def test_a_weak_secret_key_is_refused_and_not_shown(tmp_path: Path, weak: str) -> None:
    with pytest.raises(ConfigError, match=r"SIDELIGHT_SECRET_KEY=.*too weak") as caught:
        load_settings({"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_SECRET_KEY": weak})
    assert weak not in str(caught.value)


def test_starts_at_once_agree_on_the_secret_key(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def start(_number: int) -> str:
        barrier.wait()
        return load_settings({"SIDELIGHT_HOME": str(tmp_path)}).secret_key

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_a_password_in_a_wrong_address_is_not_shown(tmp_path: Path) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_DATABASE_URL": "mysql://u:hidden@h/d"}
    with pytest.raises(ConfigError, match=r"SIDELIGHT_DATABASE_URL=\(not shown\)") as caught:
        load_settings(environ)
    assert "hidden" not in str(caught.value)


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"SIDELIGHT_HOME=.*file"):
        load_settings({"SIDELIGHT_HOME": str(tmp_path / "file")})


@pytest.mark.parametrize(("host", "address"), [("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")])
def test_the_address_of_the_site(tmp_path: Path, host: str, address: str) -> None:
    settings = load_settings({"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_HOST": host})
    assert settings.address == f"http://{address}:8000"


def test_a_spoilt_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(ConfigError, match=r"secret_key: too weak.*Delete the file"):
        load_settings({"SIDELIGHT_HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SIDELIGHT_PORT", "http", "a whole number from 1 to 65535"),
        ("SIDELIGHT_PORT", "70000", "a whole number from 1 to 65535"),
        ("SIDELIGHT_PORT", "²", "a whole number from 1 to 65535"),
        ("SIDELIGHT_WORKERS", "0", "a whole number from 1 to 64"),
        ("SIDELIGHT_COOKIE_SECURE", "maybe", "yes or no"),
        ("SIDELIGHT_DATABASE_URL", "mysql://x", "sqlite:///FILE or postgresql://"),
        ("SIDELIGHT_DATABASE_URL", "sqlite:///", "sqlite:///FILE"),
        (
            "SIDELIGHT_DATABASE_URL",
            "sqlite:///:memory:",
            "a database in memory would lose all votes",
        ),
        ("SIDELIGHT_HOST", " ", "an address of this machine"),
        ("SIDELIGHT_PUBLIC_URL", "example.org", "starts with http"),
        ("SIDELIGHT_PUBLIC_URL", "https://", "the address of a host"),
        ("SIDELIGHT_PUBLIC_URL", "https://[::1", "SIDELIGHT_PUBLIC_URL"),
        ("SIDELIGHT_PUBLIC_URL", "https://x.org/a?b=c", "after the host only a path"),
        ("SIDELIGHT_PUBLIC_URL", "https://x.org/a/../b", "after the host only a path"),
        ("SIDELIGHT_PUBLIC_URL", "https://x.org/a//b", "after the host only a path"),
        ("SIDELIGHT_PUBLIC_URL", "https://x.org/admin/b", "pages of its own under /admin"),
        ("SIDELIGHT_TRUSTED_PROXIES", "10.0.0.1, proxy", "addresses or networks such as"),
        ("SIDELIGHT_TRUSTED_PROXIES", ",", "addresses or networks such as"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"SIDELIGHT_HOME": str(tmp_path), name: value})
    assert f"{name}={value!r}" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "host", "public_url", "trusted"),
    [
        (None, "127.0.0.1", "", ()),
        (None, "127.0.0.1", "https://a.example", LOOPBACK),
        (None, "localhost", "https://a.example", LOOPBACK),
        (None, "0.0.0.0", "https://a.example", ()),
        ("none", "127.0.0.1", "https://a.example", ()),
        ("10.0.0.5, 10.1.0.9/16 unix", "0.0.0.0", "", ("10.0.0.5/32", "10.1.0.0/16", "unix")),
    ],
)
def test_which_proxies_are_trusted(
    tmp_path: Path, given: str | None, host: str, public_url: str, trusted: tuple[str, ...]
) -> None:
    environ = {
        "SIDELIGHT_HOME": str(tmp_path),
        "SIDELIGHT_HOST": host,
        "SIDELIGHT_PUBLIC_URL": public_url,
    }
    if given is not None:
        environ["SIDELIGHT_TRUSTED_PROXIES"] = given
    assert load_settings(environ).proxies == trusted


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = {"SIDELIGHT_PORT": "x", "SIDELIGHT_PREFETCH": "y", "SIDELIGHT_LEASE_SECONDS": "1"}
    with pytest.raises(ConfigError) as caught:
        load_settings({"SIDELIGHT_HOME": str(tmp_path), **wrong})
    assert all(name in str(caught.value) for name in wrong)


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SIDELIGHT_PROT.*is not a setting.*SIDELIGHT_PORT"):
        load_settings({"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_PROT": "8000"})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_addresses_use_the_driver_that_is_installed(tmp_path: Path, scheme: str) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_DATABASE_URL": f"{scheme}://h/d"}
    assert load_settings(environ).database_url == "postgresql+psycopg://h/d"


def test_the_public_address_loses_its_last_slash(tmp_path: Path) -> None:
    environ = {"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_PUBLIC_URL": "https://x.org/"}
    assert load_settings(environ).public_url == "https://x.org"


def test_an_address_of_ipv6_may_be_in_brackets(tmp_path: Path) -> None:
    for written in ("::1", "[::1]"):
        settings = load_settings({"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_HOST": written})
        assert (settings.host, settings.address) == ("::1", "http://[::1]:8000")


class Recorder(dict[str, str]):
    """Variables that note the name and the default of each one that is read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.defaults: dict[str, str] = {}

    def get(self, name: str, default: Any = None) -> Any:
        self.defaults[name] = default
        return super().get(name, default)


def test_every_setting_is_documented_with_its_default(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    asked = Recorder({"SIDELIGHT_HOME": str(tmp_path)})
    load_settings(asked)
    documented = set(re.findall(r"^## `(SIDELIGHT_[A-Z_]+)`$", page, re.MULTILINE))
    assert documented == set(asked.defaults)
    for name, default in asked.defaults.items():
        section = page.split(f"## `{name}`")[1].split("\n## ")[0]
        if default and str(tmp_path) not in default:
            assert f"Default: `{default}`" in section, name
