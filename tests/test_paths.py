"""One rule for the paths that users write, in every option, argument and setting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labeler.cli.main import cli
from labeler.config import load_settings
from labeler.errors import ConfigError
from rotation.cli import option_types
from rotation.cli.common import default_cache
from rotation.errors import DatasetError
from rotation.reading import user_path
from tests.test_outputs import _commands

NAMED = {"PATH", "CSV", "DIR", "FILE"}
PATHS: tuple[type, ...] = (option_types.InputPath, option_types.ImagesPath)
PATHS += (option_types.InputFile, option_types.WordOrPath)
PATHS += (option_types.OutputFile, option_types.OutputFolder)


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for name, command in _commands(cli):
        for each in command.params:
            yield f"{name} {each.opts[0]}", each


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user whom no file names, without HOME."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_242_424)


def test_every_option_that_takes_a_path_has_the_one_rule() -> None:
    found = 0
    for name, each in parameters():
        words = set((each.metavar or "").replace("|", " ").replace(".", " ").split())
        takes_path = isinstance(each.type, (click.Path, click.File)) or NAMED & words
        if takes_path:
            assert isinstance(each.type, PATHS), name
            found += 1
    assert found > 60


def test_a_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").write_text("x")
    for name, each in parameters():
        if isinstance(each.type, option_types.OutputFile | option_types.OutputFolder):
            assert each.type.convert("~/new/out", each, None) == tmp_path / "new/out", name
        elif isinstance(each.type, option_types.InputFile):
            context = click.Context(cli)
            assert each.type.convert("~/in", each, context).read() == b"x", name
            context.close()
        elif isinstance(each.type, PATHS):
            assert str(each.type.convert("~/in", each, None)) == str(tmp_path / "in"), name
    settings = load_settings(
        {"SIDELIGHT_HOME": "~/site", "SIDELIGHT_DATABASE_URL": "sqlite:///~/d.sqlite3"}
    )
    assert settings.home == tmp_path.resolve() / "site"
    assert settings.database_url == f"sqlite:///{tmp_path}/d.sqlite3"


def test_only_a_tilde_at_the_start_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~") == tmp_path
    assert user_path("./~/x") == Path("~/x")
    assert user_path("a/~/x") == Path("a/~/x")
    assert user_path("~no-such-user/x") == Path("~no-such-user/x")
    assert not user_path("/a/~").is_relative_to(tmp_path)


def test_without_a_home_folder_messages_say_what_helps(
    no_home: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no home folder is known for ~"):
        user_path("~/x")
    assert user_path("/x") == Path("/x")
    monkeypatch.setenv("HOME", "")  # the same as none: "~" is not the root of the disk
    with pytest.raises(DatasetError, match="no home folder"):
        user_path("~/x")
    with pytest.raises(ConfigError, match="no home folder is known for ~; write the whole path"):
        load_settings({"SIDELIGHT_HOME": "~/x"})

    def last_line(*command: str) -> str:
        done = CliRunner().invoke(cli, command)
        assert done.exit_code in (1, 2), done.output
        assert not isinstance(done.exception, RuntimeError)
        return done.stderr.splitlines()[-1]

    run = ("rotation", "embed", "--images", "x")
    assert "say where to keep what is computed with --cache DIR" in last_line(*run)
    assert "no home folder" in last_line("images", "import", "~/x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_cache() == tmp_path / "cache" / "sidelight"


def test_a_cache_that_cannot_be_written_names_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("")  # /nonexistent, or a home that is no folder
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(cli, ["rotation", "embed", "--images", "x"])
    assert done.exit_code == 1
    assert "name another with --cache." in done.stderr
