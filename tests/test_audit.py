"""`.ci/audit.py` asks a source of advisories: here one on this machine, or one that is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLAW = {
    "id": "TEST-2026-1",
    "summary": "It lets strangers in.",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "4.0"}]}],
        }
    ],
}
Audit = Callable[[str], "subprocess.CompletedProcess[str]"]


@contextmanager
def source(answer: Callable[[str], tuple[int, Any]]) -> Iterator[str]:
    """A source of advisories; `answer` gives status and body for the name of a package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked["package"]["name"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    pins = tmp_path / "requirements.txt"
    pins.write_text("flask==3.1.3\nclick==8.5.1\n")

    def run(address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / ".ci" / "audit.py"), "--requirements", str(pins)]
        chosen = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": address}
        environment = {**os.environ, **chosen, "NO_PROXY": "127.0.0.1", "HOME": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


def test_nothing_is_known(audit: Audit) -> None:
    with source(lambda _: (200, {})) as address:
        done = audit(address)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 packages looked up, 0 with a known vulnerability.\n"


def test_a_known_vulnerability_is_a_failure(audit: Audit) -> None:
    with source(lambda name: (200, {"vulns": [FLAW]} if name == "flask" else {})) as address:
        done = audit(address)
    assert done.returncode == 1
    assert "flask 3.1.3: TEST-2026-1, mended in 4.0\n    It lets strangers in." in done.stdout
    assert "2 packages looked up, 1 with a known vulnerability." in done.stdout


def test_a_source_that_is_away_is_no_failure_but_said(audit: Audit) -> None:
    with source(lambda _: (200, {})) as address:
        pass  # nobody listens there any more
    done = audit(address)
    assert done.returncode == 0
    assert done.stdout.startswith("NOT AUDITED: no advisory was looked up for requirements.txt.")


def test_a_source_that_fails_is_no_failure_but_said(audit: Audit) -> None:
    with source(lambda _: (503, {})) as address:
        done = audit(address)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stdout
