"""Judges in processes of their own, since rendering takes longer than turning on a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from rotation.child_processes import SpawnPool
from rotation.data.crop import Pixels
from rotation.evaluation.ground_truth import TrueRenders
from rotation.evaluation.judge import JudgedFrames, Judgement, judge_all

Judgements = dict[str, Judgement]


class Judges:
    """Judges sources in `workers` processes; with 0, at once in this process.

    A process judges all variants of a source, so that they share its true renders. Use it in a
    `with` block.
    """

    def __init__(self, workers: int) -> None:
        self._pool = SpawnPool(workers) if workers else None

    def __enter__(self) -> Judges:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(
        self,
        truth: TrueRenders,
        yaws_deg: Sequence[float],
        crop: Pixels,
        turned: Mapping[str, JudgedFrames],
    ) -> Future[Judgements]:
        """The future judgements on one source, by variant; see `judge_all`."""
        if self._pool is not None:
            return self._pool.submit(judge_all, truth, yaws_deg, crop, turned)
        done: Future[Judgements] = Future()
        done.set_result(judge_all(truth, yaws_deg, crop, turned))
        return done
