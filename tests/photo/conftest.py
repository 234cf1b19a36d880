"""Detectors whose weights lie in the developers' folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegpt.photo.config import DetectorConfig


@pytest.fixture(scope="module")
def scrfd(shared_dir: Path) -> DetectorConfig:
    weights = shared_dir / "weights" / "det_500m.onnx"
    if not weights.is_file():
        pytest.skip("needs the SCRFD weights of the developers' folder")
    return DetectorConfig(name="insightface", model=str(weights))


@pytest.fixture(scope="module")
def yunet(shared_dir: Path) -> DetectorConfig:
    weights = shared_dir / "weights" / "yunet_n_dynamic.onnx"
    if not weights.is_file():
        pytest.skip("needs the YuNet weights of the developers' folder")
    return DetectorConfig(name="yunet", model=str(weights))
