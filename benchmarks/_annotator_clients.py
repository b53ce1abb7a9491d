"""Two clients of a simulated annotator: over HTTP, as the page, and through the services."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from _http_client import Browser, Timing
from _site import Person, Site
from sqlalchemy import func, select

from labeler.assignment.leases import lease_images
from labeler.assignment.presentation import LeasedImage
from labeler.jobs import kinds, queue
from labeler.models.proposals import ModelRun
from labeler.proposals.service import train_and_propose
from labeler.quality.refresh import is_due, refresh_campaign
from labeler.voting.service import SubmittedAnswer, cast_vote

POLL_S = 0.05
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class ShownImage:
    """A picture before a person; `label`: the proposal beside it, in their view."""

    image_id: int
    mirrored: bool
    label: str | None


class AnnotatorClient(Protocol):
    """What the simulated class needs."""

    def lease(self, person: int, count: int) -> list[ShownImage]:
        """The next pictures of a person."""

    def vote(
        self, person: int, shown: ShownImage, answer: str, elapsed_ms: int
    ) -> list[ShownImage]:
        """Answer one; returns the next."""

    def settle(self) -> None:
        """Let the refresh that is due be done."""

    def propose(self) -> None:
        """Train on the votes so far and publish proposals."""


class ServiceClient:
    """The services in this process, without HTTP; refreshes are done when they are due."""

    def __init__(self, site: Site, campaign_id: int, refresh: bool) -> None:
        self._site, self._campaign_id, self._refresh = site, campaign_id, refresh

    def lease(self, person: int, count: int) -> list[ShownImage]:
        with self._site.db.write() as session:
            leased = lease_images(session, person, count, settings=self._site.settings)
        return _shown(leased)

    def vote(
        self, person: int, shown: ShownImage, answer: str, elapsed_ms: int
    ) -> list[ShownImage]:
        submitted = SubmittedAnswer(
            shown.image_id, answer, str(uuid.uuid4()), elapsed_ms, next_count=1
        )
        with self._site.db.write() as session:
            cast = cast_vote(session, person, submitted, settings=self._site.settings)
        return _shown(cast.next_images)

    def settle(self) -> None:
        if self._refresh and _is_due(self._site, self._campaign_id):
            refresh_campaign(self._site.db, self._campaign_id)

    def propose(self) -> None:
        train_and_propose(self._site.db, self._campaign_id, processes=1)
        refresh_campaign(self._site.db, self._campaign_id, all_images=True)


class HttpClient:
    """The site that runs, one connection a person; jobs are done by its worker."""

    def __init__(self, site: Site, campaign_id: int, people: Sequence[Person]) -> None:
        self._site, self._campaign_id = site, campaign_id
        self._loop = asyncio.new_event_loop()
        self.leases, self.votes = Timing(), Timing()
        self._browsers = {
            person.id: Browser(site.settings.port, person.cookie, person.id) for person in people
        }
        for browser in self._browsers.values():
            self._loop.run_until_complete(browser.sign_in())

    def lease(self, person: int, count: int) -> list[ShownImage]:
        return self._post(person, "/label/leases", {"count": count}, self.leases)

    def vote(
        self, person: int, shown: ShownImage, answer: str, elapsed_ms: int
    ) -> list[ShownImage]:
        body = {
            "image_id": shown.image_id,
            "answer": answer,
            "request_id": str(uuid.uuid4()),
            "elapsed_ms": elapsed_ms,
            "then": 1,
        }
        return self._post(person, "/label/votes", body, self.votes)

    def settle(self) -> None:
        """Wait for the worker, as a class that thinks between the votes would let it keep up."""
        if not self._site.with_worker or not _is_due(self._site, self._campaign_id):
            return
        with self._site.db.write() as session:
            kinds.refresh_campaign.queue(session, self._campaign_id)
        self._wait(lambda: not _is_due(self._site, self._campaign_id))

    def propose(self) -> None:
        before = self._runs()
        with self._site.db.write() as session:
            kinds.propose_labels.queue(session, self._campaign_id)
        self._wait(lambda: self._runs() > before)
        self._wait(self._no_job_is_open)

    def _no_job_is_open(self) -> bool:
        with self._site.db.read() as session:
            return not any(job.state != "failed" for job in queue.list_open(session))

    def close(self) -> None:
        """Hang up."""
        for browser in self._browsers.values():
            browser.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _post(
        self, person: int, path: str, body: dict[str, Any], timing: Timing
    ) -> list[ShownImage]:
        answer = self._loop.run_until_complete(self._browsers[person].post(path, body, timing))
        return [
            ShownImage(
                one["image_id"], one["mirrored"], one["shown"]["label"] if one["shown"] else None
            )
            for one in answer["images"]
        ]

    def _runs(self) -> int:
        with self._site.db.read() as session:
            published = select(func.count()).where(ModelRun.status == "published")
            return session.scalar(published) or 0

    def _wait(self, happened: Any) -> None:
        end = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > end:
                raise SystemExit(f"The worker does not keep up:\n{self._site.log()[-2000:]}")
            time.sleep(POLL_S)


def _shown(leased: Sequence[LeasedImage]) -> list[ShownImage]:
    return [
        ShownImage(one.image_id, one.presentation.mirrored, one.shown_as_seen) for one in leased
    ]


def _is_due(site: Site, campaign_id: int) -> bool:
    with site.db.read() as session:
        return is_due(session, campaign_id)
