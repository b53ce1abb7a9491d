"""A site for a benchmark: its own folder and database, its processes, its people."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from _project import ROOT
from sqlalchemy.engine import make_url

from labeler.accounts.sessions import open_session
from labeler.app import create_app
from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.models.accounts import Annotator

POSTGRES_CANDIDATES = (
    "postgresql://postgres@127.0.0.1:5432/postgres",
    "postgresql:///postgres",
    "postgresql://root@127.0.0.1:5432/postgres",
)
START_S = 180.0
STOP_S = 60.0
_LOGS = tempfile.gettempdir()  # logs stay when the disk of a site is full
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Person:
    """An account, and the cookie of a browser that is signed in as it."""

    id: int
    cookie: str


class Site:
    """`manage.py serve` with a home of its own."""

    def __init__(self, settings: Settings, with_worker: bool) -> None:
        self.settings = settings
        self.db = Database(settings.database_url)
        self.with_worker = with_worker
        self.environ: dict[str, str] = {}  # what its processes get besides the settings
        self._log = tempfile.TemporaryFile(dir=_LOGS)  # noqa: SIM115 - as long as the site
        self._process: subprocess.Popen[bytes] | None = None
        self._cpu: dict[int, float] = {}

    def twin(self) -> Site:
        """Another server of the same home and database, as on a second machine."""
        return Site(replace(self.settings, port=free_port()), with_worker=False)

    def start(self) -> None:
        """Start the server and wait until it listens."""
        command = [sys.executable, str(ROOT / "manage.py"), "serve"]
        self._process = subprocess.Popen(
            command if self.with_worker else [*command, "--no-worker"],
            env=self.command_environ(),
            stdout=self._log,
            stderr=self._log,
        )
        end = time.monotonic() + START_S
        while not self._listens():
            if time.monotonic() > end or self._process.poll() is not None:
                raise SystemExit(f"The server did not start:\n{self.log()[-2000:]}")
            time.sleep(0.05)

    def command_environ(self) -> dict[str, str]:
        """The environment of the processes of this site."""
        environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
        return (
            environ
            | self.environ
            | {
                "SIDELIGHT_HOME": str(self.settings.home),
                "SIDELIGHT_DATABASE_URL": self.settings.database_url,
                "SIDELIGHT_PORT": str(self.settings.port),
            }
        )

    def stop(self) -> None:
        """End it as ctrl-C does."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(STOP_S)

    def kill_worker(self) -> None:
        """`kill -9` one of the processes that answer requests; gunicorn starts another."""
        os.kill(min(self._answering()), signal.SIGKILL)

    def kill_all(self) -> None:
        """`kill -9` the server and all that it has started, as when the machine dies."""
        assert self._process is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def cpu_s(self) -> float:
        """Processor seconds of all processes that answered requests, as far as they were seen.

        Called often enough, it misses little of one that is killed.
        """
        for pid in self._answering():
            self._cpu[pid] = _cpu_s(pid)
        return sum(self._cpu.values())

    def log(self) -> str:
        """What the processes have written."""
        file = self._log.fileno()  # its position belongs to the processes
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def _answering(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        return [pid for pid in _children(self._process.pid) if "serve" in _command(pid)]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.settings.port)) == 0


@contextmanager
def new_site(kind: str = "sqlite", with_worker: bool = False) -> Iterator[Site]:
    """A migrated, empty site that is not started yet; all of it is removed at the end.

    Parameters:
        kind: `sqlite` or `postgres`.
        with_worker: background jobs run beside it.
    """
    home = Path(tempfile.mkdtemp(prefix="sidelight-benchmark-"))
    try:
        with _database(kind, home) as url:
            environ = {"SIDELIGHT_HOME": str(home), "SIDELIGHT_PORT": str(free_port())}
            site = Site(load_settings(environ | {"SIDELIGHT_DATABASE_URL": url}), with_worker)
            upgrade(site.db)
            try:
                yield site
            finally:
                site.stop()
                site.db.dispose()
    finally:
        shutil.rmtree(home)


def sign_up(site: Site, count: int) -> list[Person]:
    """Accounts that are signed in; nobody types a password, so none is hashed."""
    app = create_app(site.settings)
    signer = app.session_interface.get_signing_serializer(app)
    people = []
    with site.db.write() as session:
        for number in range(count):
            annotator = Annotator(
                username=f"student{number}", pseudonym=f"p{number:04d}", password_hash="!"
            )
            session.add(annotator)
            session.flush()
            token = open_session(session, annotator, "benchmark", site.settings)
            cookie = signer.dumps({"token": token, "_permanent": True})
            people.append(Person(annotator.id, f"{app.config['SESSION_COOKIE_NAME']}={cookie}"))
    app.extensions["sidelight_db"].dispose()
    return people


@contextmanager
def _database(kind: str, home: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{home / 'sidelight.sqlite3'}"
        return
    server, name = _postgres_server(), f"sidelight_benchmark_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        url = make_url(server).set(drivername="postgresql+psycopg", database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _postgres_server() -> str:
    given = os.environ.get("SIDELIGHT_TEST_POSTGRES")
    for url in [given] if given else POSTGRES_CANDIDATES:
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError:
            continue
        return url
    raise SystemExit("There is no PostgreSQL server; name one in SIDELIGHT_TEST_POSTGRES.")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    """Processes whose parent it is, from /proc."""
    stats = {int(path.parent.name): _stat(path) for path in Path("/proc").glob("[0-9]*/stat")}
    return [child for child, fields in stats.items() if fields and int(fields[1]) == pid]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _cpu_s(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S if fields else 0.0


def _stat(path: Path) -> list[str]:
    """The fields after the name: state, parent and so on; empty for one that has ended."""
    try:
        return path.read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
