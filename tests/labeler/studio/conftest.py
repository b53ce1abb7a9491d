"""Fixtures: rendered heads on disk, and a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labeler.config import Settings
from rotation.synthetic_heads.dataset import write_dataset
from tests.rotation.modelling import tiny_folder

COUNT = 60


@pytest.fixture(scope="session")
def heads_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered heads as a data set on disk."""
    return Path(write_dataset(tmp_path_factory.mktemp("heads") / "set", COUNT, seed=5))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained model."""
    return Path(tiny_folder(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def quick_settings(settings: Settings, tiny_model: Path) -> Settings:
    """Settings with which a head is turned in seconds."""
    return replace(settings, studio_model=str(tiny_model))
