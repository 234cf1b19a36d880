"""Photos with faces from the installed packages, and small images made on the spot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.samples import collect


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `facegpt samples` makes."""
    folder = tmp_path_factory.mktemp("photos")
    collect(folder)
    return folder


@pytest.fixture(scope="session")
def portrait(photos: Path) -> NDArray[np.uint8]:
    """One frontal face, 512 x 512."""
    return np.asarray(Image.open(photos / "portrait-spacesuit.png").convert("RGB"))
