"""The index of a bulk run: index.html for people, index.json and index.csv for programs.

Each is written completely or not at all. While the run goes on they are written every few seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import format_csv
from rotation.errors import DatasetError
from rotation.imaging.images import save_text
from rotation.reading import read_json
from rotation.report.html_report import HTML_REPORT

TEMPLATES = Path(__file__).parents[1] / "templates"
COLUMNS = ("source", "status", "reason", "light", "yaw_deg", "reached", "seconds")
WRITE_EVERY_S = 5.0
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class SourceRow:
    """What became of a source.

    Attributes:
        source: its filename, which is also its folder.
        status: `done` or `failed`.
        reason: why it could not be turned, or why frames may not be good; "" if all is well.
        light: the light of its clusters; None if they are of every light.
        yaw_deg: its own yaw, in degrees.
        reached: how many of the yaws asked for were reached; None if nothing was measured.
        seconds: spent on this source alone.
    """

    source: str
    status: str
    reason: str = ""
    light: str | None = None
    yaw_deg: float | None = None
    reached: int | None = None
    seconds: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether its folder holds the turned head."""
        return self.status == DONE

    @classmethod
    def failed(cls, source: str, error: Exception) -> SourceRow:
        """The row of a source that cannot be turned."""
        return cls(source, FAILED, str(error))

    @classmethod
    def of_report(cls, report: Mapping[str, Any], seconds: float | None = None) -> SourceRow:
        """The row of a turned head.

        Parameters:
            report: that of the head (report.json).
            seconds: spent on it; None: the sum of its stages.
        """
        source, turn = report["source"], report["turn"]
        doubts = [
            f"{yaw:+g}°: {doubt}"
            for yaw, doubt in zip(report["yaws_deg"], turn["doubts"] or (), strict=False)
            if doubt
        ]
        spent = sum(report["seconds"].values()) if seconds is None else seconds
        return cls(
            source["name"],
            DONE,
            "; ".join(doubts),
            source["light"],
            source["yaw_deg"],
            None if turn["reached"] is None else sum(turn["reached"]),
            round(spent, 2),
        )


@dataclass
class BulkIndex:
    """The index in the folder of a bulk run.

    Attributes:
        out: the folder.
        fingerprint: a hash of the options; sources that were turned with others do not count.
        command: the command line.
    """

    out: Path
    fingerprint: str
    command: str
    _written_at: float = 0.0

    def check(self) -> None:
        """Check that the folder is empty or holds a run with the same options.

        Raises:
            DatasetError: it holds a run with other options, or its index cannot be read.
        """
        path = self.out / "index.json"
        if not path.exists():
            save_text(self._json([], 0, False), path)
            return
        try:
            known = read_json(path)["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            raise DatasetError(
                f"{path}: it is not the index of a bulk run. Name another folder, or remove it."
            ) from None
        if known != self.fingerprint:
            raise DatasetError(
                f"{self.out}: it holds heads that were turned with other options. Give the options "
                "of that run to go on with it, or name another folder."
            )

    def finished_row(self, source: str) -> SourceRow | None:
        """The row of a source whose folder is complete; None if it is still to be turned."""
        folder = self.out / source
        if not (folder / HTML_REPORT).is_file():
            return None
        try:
            return SourceRow.of_report(read_json(folder / "report.json"))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, rows: Sequence[SourceRow], total: int, finished: bool = False) -> None:
        """Write the index, but not more often than every few seconds unless it is `finished`.

        Parameters:
            total: how many sources there are.

        Raises:
            DatasetError: a file cannot be written.
        """
        now = time.monotonic()
        if not finished and now - self._written_at < WRITE_EVERY_S:
            return
        self._written_at = now
        save_text(self._json(rows, total, finished), self.out / "index.json")
        save_text(_csv(rows), self.out / "index.csv")
        save_text(self._html(rows, total, finished), self.out / "index.html")

    def _json(self, rows: Sequence[SourceRow], total: int, finished: bool) -> str:
        content = {
            "fingerprint": self.fingerprint,
            "command": self.command,
            "finished": finished,
            "sources": total,
            "rows": [asdict(row) for row in rows],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def _html(self, rows: Sequence[SourceRow], total: int, finished: bool) -> str:
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["address"] = lambda name: f"./{quote(name)}"
        return environment.get_template("bulk_index.html").render(
            done=[row for row in rows if row.is_done],
            failed=[row for row in rows if not row.is_done],
            total=total,
            finished=finished,
            command=self.command,
        )


def _csv(rows: Sequence[SourceRow]) -> str:
    cells = [[getattr(row, name) for name in COLUMNS] for row in rows]
    for row in cells:
        row[0], row[2] = guard_formula(row[0]), guard_formula(row[2])
    return format_csv([COLUMNS, *cells])
