"""Run the whole method on a real data set and time each step.

It imports a data set, lets several accounts vote at once over HTTP, proposes labels, exports them,
and turns a head. The annotators are scripts that name the brighter half of the face. Their labels
are no ground truth. They only exercise all steps.

Example:
    python benchmarks/end_to_end.py $CELEBA --model MODEL_DIR --source 009600.jpg
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import requests
from _project import ROOT
from PIL import Image, ImageDraw

from rotation.poses.mtcnn import LandmarkDetector

THRESHOLD = 0.06  # log-luminance difference of the halves of the face; below: `center`
DETECTOR = LandmarkDetector()
PASSWORD = secrets.token_urlsafe(12)


class Road:
    """The commands, run one after the other in a home of their own, with their times."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = _free_port()
        self.times: dict[str, float] = {}
        self.environment = {
            **os.environ,
            "SIDELIGHT_HOME": str(home),
            "SIDELIGHT_PORT": str(self.port),
        }

    def run(self, step: str, *arguments: str) -> str:
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{step} failed: {' '.join(command)}")
        self.times[step] = time.perf_counter() - started
        print(f"{step}: {self.times[step]:.1f} s", flush=True)
        return done.stdout

    def serve(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "manage.py"), "serve", "--no-worker"]
        with (self.home / "server.log").open("wb") as log:
            server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return server
            time.sleep(0.1)
        raise SystemExit(f"The server did not start; see {log.name}")


class Annotator:
    """A person with a browser: signs up by the invite link, leases, looks, votes."""

    def __init__(self, link: str, number: int) -> None:
        self.http = requests.Session()
        self.root = link.partition("/join/")[0]
        form = self._get(link).text
        fields = {"username": f"student{number}", "password": PASSWORD, "csrf_token": _csrf(form)}
        self.http.post(link, data=fields).raise_for_status()
        self.token = self._get(f"{self.root}/label/state").json()["csrf_token"]

    def vote(self, count: int) -> list[str]:
        """Answer `count` images; returns the request ids that the server acknowledged."""
        acknowledged: list[str] = []
        while len(acknowledged) < count:
            leased = self._post("/label/leases", {"count": min(5, count - len(acknowledged))})
            acknowledged.extend(self._answer(image) for image in leased["images"])
        return acknowledged

    def _answer(self, image: dict) -> str:
        data = self._get(f"{self.root}{image['url']}").content
        request_id = str(uuid.uuid4())
        vote = {"image_id": image["image_id"], "answer": brighter_half(data), "elapsed_ms": 900}
        self._post("/label/votes", {**vote, "request_id": request_id})
        return request_id

    def _get(self, url: str) -> requests.Response:
        answer = self.http.get(url)
        answer.raise_for_status()
        return answer

    def _post(self, path: str, body: dict) -> dict:
        headers = {"X-CSRFToken": self.token, "Accept": "application/json"}
        answer = self.http.post(self.root + path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()


def brighter_half(data: bytes) -> str:
    """Left, center or right by the mean log luminance of the two halves of the face.

    The face is where MTCNN's landmarks are, and is parted along the nose: hair and background
    change sides as heads turn, and people do not look at them either.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    points = DETECTOR.detect([image])[0][0]
    if not np.isfinite(points).all():
        return "center"
    luminance = np.log(np.asarray(image) @ [0.299, 0.587, 0.114] / 255 + 0.05)
    left, right = (luminance[_mask(image.size, half)].mean() for half in halves_of_face(points))
    if abs(left - right) < THRESHOLD:
        return "center"
    return "left" if left > right else "right"


def halves_of_face(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outlines (9, 2) of the left and the right half, from forehead to chin.

    Their common edge runs between the eyes, over the tip of the nose and the middle of the mouth.
    """
    left_eye, right_eye, nose, left_corner, right_corner = points
    bridge, mouth = (left_eye + right_eye) / 2, (left_corner + right_corner) / 2
    chin, brow = mouth + 0.4 * (mouth - bridge), 0.45 * (bridge - mouth)
    ridge = [bridge + brow, bridge, nose, mouth, chin]
    left, right = (
        [
            *ridge,
            chin + 0.8 * (corner - mouth),
            mouth + 1.5 * (corner - mouth),
            bridge + 1.5 * (eye - bridge),
            bridge + 1.5 * (eye - bridge) + brow,
        ]
        for eye, corner in ((left_eye, left_corner), (right_eye, right_corner))
    )
    return np.array(left), np.array(right)


def _mask(size: tuple[int, int], outline: np.ndarray) -> np.ndarray:
    mask = Image.new("1", size)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in outline], fill=1, outline=1)
    return np.asarray(mask)


def vote_at_once(link: str, people: int, votes: int) -> tuple[list[str], float]:
    """All people sign up, then all vote at the same time; seconds of the voting alone."""
    with ThreadPoolExecutor(people) as pool:
        class_room = list(pool.map(lambda n: Annotator(link, n), range(people)))
        gate = threading.Barrier(people + 1)

        def work(person: Annotator) -> list[str]:
            gate.wait()
            return person.vote(votes // people)

        results = [pool.submit(work, person) for person in class_room]
        gate.wait()
        started = time.perf_counter()
        acknowledged = [request for result in results for request in result.result()]
        return acknowledged, time.perf_counter() - started


def main() -> None:
    options = _options()
    home = Path(options.home or tempfile.mkdtemp(prefix="sidelight-"))
    home.mkdir(parents=True, exist_ok=True)
    road = Road(home)
    road.run("init", "init")
    road.run("import", "images", "import", options.images)
    link = re.search(r"http\S+", road.run("invite", "users", "invite", "--uses", "60"))[0]
    server = road.serve()
    try:
        acknowledged, road.times["vote"] = vote_at_once(link, options.people, options.votes)
    finally:
        server.terminate()
        server.wait(30)
    print(f"vote: {road.times['vote']:.1f} s, {len(acknowledged)} votes by {options.people} people")
    _check_votes(road, acknowledged)
    road.run("propose", "propose")
    labels = str(home / "labels.csv")
    road.run("export", "export", "labels", "--out", labels, "--with-proposals")
    if not options.no_turn:
        arguments = ["--images", options.images, "--labels", labels, "--source", options.source]
        arguments += [
            "--out",
            str(home / "turned"),
            "--cache",
            str(options.cache or home / "cache"),
        ]
        arguments += ["--model", options.model] if options.model else []
        arguments += ["--max-cluster", str(options.max_cluster)]
        road.run("rotate", "rotation", "run", *arguments)
    print(json.dumps({"home": str(home), "votes": len(acknowledged), "seconds": road.times}))


def _check_votes(road: Road, acknowledged: list[str]) -> None:
    """Every acknowledged vote is stored once, and no other."""
    stored = road.run("export votes", "export", "votes", "--out", "-").splitlines()[1:]
    if len(stored) != len(acknowledged) or len(set(acknowledged)) != len(acknowledged):
        raise SystemExit(f"{len(acknowledged)} votes were acknowledged, {len(stored)} are stored")


def _csrf(page: str) -> str:
    return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", help="CelebA's folder")
    parser.add_argument("--model", help="model folder; default: that of `rotation run`")
    parser.add_argument("--source", default="000123.jpg")
    parser.add_argument("--votes", type=int, default=300)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--max-cluster", type=int, default=100)
    parser.add_argument("--no-turn", action="store_true", help="stop after the export")
    parser.add_argument("--cache", help="keeps latents and poses; default: in the home")
    parser.add_argument("--home", help="where everything is written; default: a new folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
