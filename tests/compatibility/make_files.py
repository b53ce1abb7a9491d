#!/usr/bin/env python3
"""Make the files of `tests/compatibility/files` with an earlier version of the program.

    git worktree add --detach ../earlier b7efa82
    python tests/compatibility/make_files.py ../earlier build/files

The earlier version's command line does the work; people sign up, vote and are paused over its HTTP
interface. README.md says what comes out.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COUNT, GOLD = 24, 6
ANSWERS = ("left", "center", "right", "unsure")
PASSWORD = "lamp beside the window"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
VOTERS = {"ada": 0.95, "ben": 0.85, "cleo": 0.8, "dora": 0.4}  # how often each is right
MODEL = ("--size", "16", "--width", "16,32", "--steps", "6", "--batch-size", "4")
TURN = ("--source", "000001.jpg", "--yaw=-20,0,20", "--steps", "4", "--embedding", "smooth")
SPARSE = ("--no-light-filter", "--min-cluster", "1", "--window", "25", "--attributes", "none")


class Site:
    """The site of the earlier version, in a home folder of its own."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self._checkout = checkout
        self._environ = {**os.environ, "SIDELIGHT_HOME": str(home), "OMP_NUM_THREADS": "1"}
        self._environ.pop("SIDELIGHT_DATABASE_URL", None)

    def manage(self, *words: str | Path) -> str:
        """Run a command; returns what it prints."""
        command = [sys.executable, "manage.py", *map(str, words)]
        done = subprocess.run(
            command,
            check=False,
            cwd=self._checkout,
            env=self._environ,
            text=True,
            capture_output=True,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def client(self) -> Any:
        """A browser: Flask's test client."""
        sys.path.insert(0, str(self._checkout))
        from labeler.app import create_app
        from labeler.config import load_settings

        return create_app(load_settings(self._environ)).test_client()


class Person:
    """Somebody who signs up by an invite and then votes."""

    def __init__(self, site: Site, name: str, role: str) -> None:
        self._client = site.client()
        invite = site.manage("users", "invite", "--role", role)
        (address,) = re.findall(r"/join/\S+", invite)
        self._submit(address, {"username": name, "password": PASSWORD}, token_from=address)
        self.id: int = self._client.get("/label/state").get_json()["annotator_id"]

    def vote(self, truth: Mapping[str, str], names: Mapping[int, str], right: float) -> int:
        """Answer one image, if there is one; returns the number of the vote, else 0."""
        images = self._send("/label/leases", {"count": 1})["images"]
        if not images:
            return 0
        number = images[0]["image_id"]
        chance = random.Random(f"{self.id} {number}")
        answer = truth[names[number]] if chance.random() < right else chance.choice(ANSWERS)
        body = {"image_id": number, "answer": answer, "request_id": str(uuid.uuid4())}
        vote = self._send("/label/votes", {**body, "elapsed_ms": chance.randint(600, 3000)})
        return int(vote["vote"]["id"])

    def undo(self, vote_id: int) -> None:
        self._send(f"/label/votes/{vote_id}/undo", {})

    def exercise(self) -> None:
        """Answer the exercise that is shown."""
        page = self._client.get("/label/training").text
        fields = dict(re.findall(r'name="(image_id|request_id)" value="([^"]+)"', page))
        self._submit("/label/training", {**fields, "answer": "left"})

    def manage(self, address: str, fields: Mapping[str, str]) -> None:
        self._submit(address, fields)

    def _submit(
        self, address: str, fields: Mapping[str, str], token_from: str = "/account"
    ) -> None:
        token = TOKEN.search(self._client.get(token_from).text)
        assert token is not None, token_from
        answer = self._client.post(address, data={**fields, "csrf_token": token[1]})
        assert answer.status_code == 303, (address, answer.status_code, answer.text)

    def _send(self, address: str, body: Mapping[str, Any]) -> dict[str, Any]:
        token = self._client.get("/label/state").get_json()["csrf_token"]
        answer = self._client.post(address, json=body, headers={"X-CSRFToken": token})
        assert answer.status_code in (200, 201), (address, answer.text)
        found: dict[str, Any] = answer.get_json()
        return found


def main(checkout: Path, out: Path) -> None:
    out.mkdir(parents=True)
    work = Path(tempfile.mkdtemp(prefix="sidelight-"))
    site = Site(checkout, work / "home")
    heads = work / "heads"
    site.manage(
        "rotation",
        "synthesize",
        "--out",
        heads,
        "--images",
        COUNT,
        "--identities",
        COUNT,
        "--seed",
        5,
    )
    make_site(site, heads, read_truth(heads), work)
    write_exports(site, work / "home" / "sidelight.sqlite3", out)
    turn_a_head(site, heads, out, work)
    zip_folder(heads, out / "heads.zip")
    shutil.rmtree(work)


def read_truth(heads: Path) -> dict[str, str]:
    """Filename -> light; where the renderer leaves it open, the lamp's side."""
    with (heads / "truth.csv").open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    side = {True: "left", False: "right"}
    return {
        row["filename"]: row["light"]
        if row["light"] in ("left", "center", "right")
        else side[float(row["light_azimuth_deg"]) > 0]
        for row in rows
    }


def make_site(site: Site, heads: Path, truth: Mapping[str, str], work: Path) -> None:
    """Two campaigns, gold, votes with and without proposals, a pause and a qualification."""
    site.manage("init")
    site.manage("images", "import", heads, "--name", "heads", "--check", "--activate")
    site.manage("images", "poses")
    site.manage(
        "campaigns",
        "set",
        "heads",
        "gold_rate=0.3",
        "blind_share=0.3",
        "mirror_views=yes",
        "required_votes=3",
        "vote_cap=5",
        "threshold=0.97",
    )
    site.manage(
        "campaigns",
        "create",
        "Second look",
        "--sample",
        8,
        "--seed",
        1,
        "--rule",
        "method=majority",
        "--rule",
        "required_votes=3",
    )
    gold = work / "gold.csv"
    lines = [f"{name},{label},Look at the nose.\n" for name, label in list(truth.items())[:GOLD]]
    gold.write_text("filename,label,explanation\n" + "".join(lines))
    site.manage("gold", "import", gold)
    boss = Person(site, "boss", "admin")
    people = {name: Person(site, name, "annotator") for name in (*VOTERS, "emil")}
    names = image_names(work / "home" / "sidelight.sqlite3")
    cast(people, truth, names, 12)
    site.manage("propose")
    people["ada"].undo(cast(people, truth, names, 5)["ada"])
    site.manage("consensus", "refresh")
    boss.manage(f"/admin/people/{people['dora'].id}/pause", {"reason": "Please see me first."})
    site.manage("campaigns", "set", "heads", "training=3")
    boss.manage(f"/admin/people/{people['emil'].id}/train", {})
    people["emil"].exercise()
    boss.manage(f"/admin/people/{people['ada'].id}/resume", {})  # excused from the training


def cast(
    people: Mapping[str, Person], truth: Mapping[str, str], names: Mapping[int, str], each: int
) -> dict[str, int]:
    """Everybody votes in turn; returns the last vote of each."""
    last = {}
    for _ in range(each):
        for name, right in VOTERS.items():
            last[name] = people[name].vote(truth, names, right) or last.get(name, 0)
    return last


def image_names(database: Path) -> dict[int, str]:
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("SELECT id, filename FROM image"))


def write_exports(site: Site, database: Path, out: Path) -> None:
    site.manage("export", "labels", "--out", out / "labels.csv")
    site.manage("export", "labels", "--out", out / "labels_with_proposals.csv", "--with-proposals")
    site.manage("export", "votes", "--out", out / "votes.csv")
    site.manage("consensus", "refresh", "--method", "majority", "--out", out / "majority.csv")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE dataset SET path = '/somewhere/heads'")
        connection.commit()
        connection.execute("VACUUM INTO ?", [str(out / "sidelight.sqlite3")])


def turn_a_head(site: Site, heads: Path, out: Path, work: Path) -> None:
    """A small model, a pipeline with directions, a pose CSV, a pose cache and a latent store."""
    site.manage(
        "rotation",
        "train",
        "--data",
        heads,
        "--out",
        work / "run",
        "--holdout",
        4,
        "--device",
        "cpu",
        *MODEL,
    )
    engine = ("--images", heads, "--landmarks", "mtcnn", "--device", "cpu")
    site.manage("rotation", "poses", *engine, "--out", out / "poses.csv")
    turn = ("--labels", out / "labels_with_proposals.csv", *TURN, *SPARSE, "--out", work / "turned")
    site.manage(
        "rotation",
        "run",
        *engine,
        *turn,
        "--model",
        work / "run" / "model",
        "--cache",
        work / "cache",
        "--save-pipeline",
        out / "pipeline",
    )
    site.manage(
        "rotation", "run", *engine, *turn, "--model", out / "pipeline", "--cache", out / "cache"
    )
    (poses,) = (out / "cache").glob("poses-*.csv")
    poses.rename(out / "cache" / "poses.csv")  # its name tells the folder of the images


def zip_folder(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
