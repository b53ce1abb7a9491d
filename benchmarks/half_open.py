"""Measure what other people notice of connections that never finish a request.

Example:
  python benchmarks/half_open.py --counts 0,8,64,512 --json

Each style is tried with each number of connections: `silent` sends nothing, `head` stops within the
head, `body` sends its body one byte at a time. A connection that the site closes is opened again.
Meanwhile other people ask for pages, a new connection each time, and the script prints how long
they wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import numpy as np
from _site import Site, new_site, sign_up

STYLES = {
    "silent": b"",
    "head": b"GET /guide HTTP/1.1\r\nHost: here\r\nX-Slow: ",
    "body": b"POST /sign-in HTTP/1.1\r\nHost: here\r\nContent-Length: 60000\r\n\r\n",
}
PAGES = ("/healthz", "/guide", "/label/state")
PATIENCE_S = 30.0  # a page that takes longer is counted with this time, and as failed
BYTE_EVERY_S = 0.5


async def hold(port: int, style: str) -> None:
    """One connection that never finishes a request."""
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(STYLES[style])
                while not reader.at_eof():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1000), BYTE_EVERY_S)
                    if style != "silent":
                        writer.write(b"a")
                        await writer.drain()
            finally:
                writer.close()
        await asyncio.sleep(0.1)


async def ask(port: int, path: str, cookie: str) -> bool:
    """Open a page on a new connection; returns whether it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        return (await reader.read()).startswith(b"HTTP/1.1 200 ")
    finally:
        writer.close()


async def visit(port: int, cookie: str, end: float, every_s: float) -> tuple[list[float], int]:
    """Another person, who opens pages until `end`; returns milliseconds, and how many failed."""
    waits, failed, number = [], 0, 0
    while (started := time.perf_counter()) < end:
        came = False
        with suppress(OSError, TimeoutError):
            asked = ask(port, PAGES[number % len(PAGES)], cookie)
            came = await asyncio.wait_for(asked, PATIENCE_S)
        waits.append(1000 * (time.perf_counter() - started))
        failed += not came
        number += 1
        await asyncio.sleep(every_s)
    return waits, failed


async def measure(site: Site, cookies: list[str], style: str, count: int, seconds: float) -> Any:
    """One style and one number of connections."""
    port = site.settings.port
    await asyncio.gather(*(ask(port, path, cookies[0]) for path in PAGES))  # the site has started
    held = [asyncio.create_task(hold(port, style)) for _ in range(count)]
    await asyncio.sleep(1.0)
    end = time.perf_counter() + seconds
    results = await asyncio.gather(*(visit(port, cookie, end, 0.1) for cookie in cookies))
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    waits = [ms for found, _ in results for ms in found]
    p50, p99, most = np.percentile(waits, [50, 99, 100]).round(1).tolist()
    figures = {"pages": len(waits), "p50_ms": p50, "p99_ms": p99, "max_ms": most}
    return {"style": style, "connections": count, **figures, "failed": sum(f for _, f in results)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", default="0,8,64,512", help="numbers of connections")
    parser.add_argument("--people", type=int, default=8, help="other people")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--json", action="store_true", help="write JSON")
    options = parser.parse_args()
    report = []
    with new_site(options.database) as site:
        cookies = [person.cookie for person in sign_up(site, options.people)]
        site.start()
        for style in STYLES:
            for count in map(int, options.counts.split(",")):
                row = asyncio.run(measure(site, cookies, style, count, options.seconds))
                report.append(row)
                if not options.json:
                    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if options.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
