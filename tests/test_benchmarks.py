"""The benchmarks' ties to the programs that no import checks."""

from __future__ import annotations

import importlib
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_stages_of_turn_speed_name_functions_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    turn_speed = importlib.import_module("turn_speed")
    for places in turn_speed.STAGES.values():
        for place in places:
            module, _, path = place.partition(":")
            found = reduce(
                lambda owner, name: getattr(owner, name, None),
                path.split("."),
                importlib.import_module(f"rotation.{module}"),
            )
            assert callable(found), place
