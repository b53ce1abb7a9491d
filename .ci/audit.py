"""Look up whether a version that requirements.txt pins has a known vulnerability.

    .venv/bin/python .ci/audit.py    # part of `.ci/run`

A known vulnerability is a failure. A source of advisories that cannot be reached is none, since the
code is no worse for it; it is said plainly. PIP_AUDIT_VULNERABILITY_SERVICE and PIP_AUDIT_OSV_URL
choose another source, as for pip-audit itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINNED = Path(__file__).resolve().parent.parent / "requirements.txt"
WITHIN_S = 300
NOTHING = "NOT AUDITED: no advisory was looked up for {file}. {reason}"


def ask(requirements: Path) -> list[dict[str, Any]] | str:
    """What pip-audit found out about each package, or why it found out nothing."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements)]
    # The file pins all that is needed, so nothing has to be resolved or downloaded.
    command += ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"The source of advisories has not answered within {WITHIN_S} s."
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["pip-audit says nothing."]
        return f"The source of advisories could not be asked: {lines[-1][:300]}"
    return packages


def tell(requirements: Path, packages: list[dict[str, Any]]) -> bool:
    """Print what was found; returns whether there is no known vulnerability."""
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if len(skipped) == len(packages):
        reason = "The source of advisories knows none of its packages."
        print(NOTHING.format(file=requirements.name, reason=reason))
        return True
    vulnerable = [each for each in packages if each.get("vulns")]
    for package in vulnerable:
        for found in package["vulns"]:
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {found['id']}, mended in {fixed}")
            print(f"    {found['description'][:300]}")
    looked_up = len(packages) - len(skipped)
    print(f"{looked_up} packages looked up, {len(vulnerable)} with a known vulnerability.")
    if skipped:
        print(f"NOT AUDITED, since the source does not know them: {', '.join(skipped)}")
    return not vulnerable


def main() -> None:
    """Audit the pinned versions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requirements", type=Path, default=PINNED, help="the file with the pins")
    given = parser.parse_args()
    if not given.requirements.is_file():
        raise SystemExit(f"Error: {given.requirements} does not exist.")
    answer = ask(given.requirements)
    if isinstance(answer, str):
        print(NOTHING.format(file=given.requirements.name, reason=answer))
    elif not tell(given.requirements, answer):
        raise SystemExit("Move the packages named above to a mended version (CONTRIBUTING.md).")


if __name__ == "__main__":
    main()
