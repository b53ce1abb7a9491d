#!/usr/bin/env python3
"""The fault table: break one thing after another while people vote. Is anything lost or doubled?

Each fault happens to a real site (`manage.py serve`) while people vote over HTTP. Afterwards the
votes that people got acknowledged are compared with the votes that are stored, and the labels with
what the votes say. Jobs are struck in mid-work, and must be done in the end. Commands meet a full
disk. A migration is killed at many moments.

PostgreSQL runs in a folder of its own (initdb, pg_ctl). Small disks are mounted (root). The clock
is moved by a small library, which needs a C compiler. A row whose means are missing here says so.

Examples:
    python benchmarks/faults.py
    python benchmarks/faults.py --database postgres --only kill-server,job:restore_run --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from _fault_commands import COMMANDS, killed_migration, on_a_full_disk
from _fault_jobs import BLOWS, CASES, in_a_job
from _fault_places import MissingError, own_postgres
from _fault_voters import tracebacks
from _fault_voting import FAULTS, while_voting
from _site import new_site, sign_up
from half_open import STYLES
from half_open import measure as measure_half_open

from labeler.jobs.kinds import KINDS

DATABASES = ("sqlite", "postgres")
SOCKETS, SOCKETS_S, VISITORS = (8, 64, 512), 6.0, 8
P99_MS = 1000.0  # other people's pages may take no longer
Row = dict[str, Any]


def rows(votes: int) -> dict[str, dict[str, Callable[[], Row]]]:
    """All rows: by their name, then by the database."""
    found: dict[str, dict[str, Callable[[], Row]]] = {}
    for name, fault in FAULTS.items():
        found[name] = {kind: partial(while_voting, name, kind, votes) for kind in fault.databases}
    for job in KINDS:
        for blow, what in BLOWS.items():
            found[f"job:{job}:{blow}"] = {
                kind: partial(_job_row, job, blow, kind) for kind in what.databases
            }
    for name in COMMANDS:
        found[f"full:{name}"] = {kind: partial(on_a_full_disk, name, kind) for kind in DATABASES}
    found["migration"] = {kind: partial(killed_migration, kind) for kind in DATABASES}
    for count in SOCKETS:
        found[f"sockets:{count}"] = {kind: partial(half_open, count, kind) for kind in DATABASES}
    return found


def _job_row(job: str, blow: str, kind: str) -> Row:
    if job not in CASES:
        raise MissingError("has no case in benchmarks/_fault_jobs.py")
    return in_a_job(job, blow, kind)


def half_open(count: int, kind: str) -> Row:
    """Other people's pages while so many connections never finish a request, in three styles."""
    with own_postgres(kind == "postgres"), new_site(kind) as site:
        cookies = [person.cookie for person in sign_up(site, VISITORS)]
        site.start()
        found = [
            asyncio.run(measure_half_open(site, cookies, style, count, SOCKETS_S))
            for style in STYLES
        ]
        site.stop()
        logged = tracebacks(site.log())
    worst, failed = max(one["p99_ms"] for one in found), sum(one["failed"] for one in found)
    return {
        "fault": f"{count} half-open connections",
        "database": kind,
        "outcome": ", ".join(f"{one['style']} p99 {one['p99_ms']:.0f} ms" for one in found),
        "pages": sum(one["pages"] for one in found),
        "failed": failed,
        "tracebacks": logged,
        "sound": not failed and worst < P99_MS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    parser.add_argument(
        "--only", default="", help="beginnings of names, separated by commas; see --list"
    )
    parser.add_argument("--list", action="store_true", help="list the names of the rows")
    parser.add_argument("--votes", type=int, default=1_500, help="while each fault happens")
    parser.add_argument("--json", action="store_true", help="write JSON, one row a line")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # what was started is ended
    every = rows(options.votes)
    wanted = tuple(options.only.split(",")) if options.only else ("",)
    if unknown := [one for one in wanted if not any(name.startswith(one) for name in every)]:
        parser.error(f"--only {unknown[0]}: no row begins so; see --list")
    chosen = [name for name in every if name.startswith(wanted)]
    if options.list:
        print("\n".join(f"{name}: {', '.join(every[name])}" for name in chosen))
        return
    kinds = DATABASES if options.database == "both" else (options.database,)
    unsound = []
    for name in chosen:
        for kind in (kind for kind in kinds if kind in every[name]):
            row = {"row": name} | _run(every[name][kind], kind)
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
            if not row["sound"] and "missing" not in row:
                unsound.append(f"{name} ({kind})")
    if unsound:
        raise SystemExit(f"Lost, doubled, wrong or left undone: {', '.join(unsound)}.")


def _run(measure: Callable[[], Row], kind: str) -> Row:
    try:
        return measure()
    except MissingError as error:
        return {"database": kind, "missing": f"not measured: {error}", "sound": False}


if __name__ == "__main__":
    main()
