"""The wheel, installed into an environment of its own and used far from the checkout."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labeler import __version__

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


PORT = free_port()


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    python = str(environment / "bin" / "python")
    for command in (
        [*pip, "wheel", *offline, "--no-build-isolation", "-w", str(folder), str(ROOT)],
        [sys.executable, "-m", "venv", "--without-pip", str(environment)],
        [*pip, "--python", python, "install", *offline, "-f", str(folder), "sidelight"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"])
    return environment / "bin"


def environ(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SIDELIGHT_", "PYTHON"))
    }
    return {**kept, "SIDELIGHT_HOME": str(home), "SIDELIGHT_PORT": str(PORT)}


def sidelight(bin_folder: Path, home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(bin_folder / "sidelight"), *arguments],
        cwd=home,
        env=environ(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(bin_folder: Path, home: Path) -> Iterator[None]:
    command = [str(bin_folder / "sidelight"), "serve"]
    with subprocess.Popen(command, cwd=home, env=environ(home)) as process:
        try:
            yield
        finally:
            process.terminate()


def fetch(path: str) -> str:
    """The page, asked for until the site answers."""
    address = f"http://127.0.0.1:{PORT}{path}"
    for _ in range(150):
        try:
            with urllib.request.urlopen(address) as answer:
                text: str = answer.read().decode()
                return text
        except ConnectionError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
        time.sleep(0.2)
    raise AssertionError(f"{address} does not answer")


def workers(home: Path) -> list[Path]:
    """The folders in /proc of the workers whose home that is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            own = b"SIDELIGHT_HOME=" + str(home).encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if own and b"worker" in words:
            found.append(process)
    return found


def test_the_command_is_that_of_manage_py(bin_folder: Path, tmp_path: Path) -> None:
    assert sidelight(bin_folder, tmp_path, "--version") == f"sidelight, version {__version__}\n"
    manage = [sys.executable, str(ROOT / "manage.py"), "--help"]
    expected = subprocess.run(manage, capture_output=True, text=True, check=True).stdout
    text = sidelight(bin_folder, tmp_path, "--help")
    assert text.splitlines()[1:] == expected.splitlines()[1:]


def test_the_package_lies_in_the_environment(bin_folder: Path, tmp_path: Path) -> None:
    script = "import labeler, rotation; print(labeler.__file__); print(rotation.__file__)"
    told = subprocess.run(
        [str(bin_folder / "python"), "-c", script],
        cwd=tmp_path,
        env=environ(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(line.startswith(str(bin_folder.parent)) for line in told.splitlines())


def test_migrations_templates_and_static_files_come_along(bin_folder: Path, tmp_path: Path) -> None:
    assert "The database was created" in sidelight(bin_folder, tmp_path, "init")
    with serving(bin_folder, tmp_path):
        assert "<title>" in fetch("/sign-in")
        assert "--" in fetch("/static/site.css")
        for _ in range(50):
            if workers(tmp_path):
                break
            time.sleep(0.2)
        assert workers(tmp_path), "no worker of background jobs runs beside the site"


def test_the_bundled_models_come_along(bin_folder: Path) -> None:
    (package,) = bin_folder.parent.glob("lib/python*/site-packages/rotation")
    for folder in (ROOT / "rotation").glob("models/*"):
        for path in folder.rglob("*.*"):
            assert (package / path.relative_to(ROOT / "rotation")).is_file(), path
    assert (package / "templates").is_dir()
    for name in ("crop_prior", "face_prior", "face_direction"):
        assert (package.parent / f"labeler/light_classifier/{name}.safetensors").is_file()
    for name in ("mean_face", "networks/face-detector/model", "networks/face-mesh/model"):
        assert (package.parent / f"rotation/faces/{name}.safetensors").is_file()
