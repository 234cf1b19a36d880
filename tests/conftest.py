"""What every room's tests share: one thread, fixed seeds, and the parts that only some machines have."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from obligations import missing
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

from pipeline.sources.samples import collect

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
INTEGRATION = "tests/integration/"
DRILLS = f"{INTEGRATION}test_drills.py"
"""As long as all the rest of tests/integration, and without its server, so that two processes can share them."""


class ByFile(LoadScopeScheduling):
    """Of several processes that share the tests, one runs what stores to the S3 server of tests/integration, which has
    one port; the rest is taken file by file, whose fixtures are made once.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return INTEGRATION if file.startswith(INTEGRATION) and file != DRILLS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest is begun first, or one process would end with it while the others have nothing left to do."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(INTEGRATION))


@pytest.fixture(scope="session", autouse=True)
def single_thread() -> None:
    """Torch on one thread: small tensors are slower on several, and the tests share their cores with Ray."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The developers' folder of labelled faces and odd files that lies beside the checkout; a user does not have it."""
    if not SHARED.is_dir():
        pytest.skip("needs the developers' data folder beside the checkout")
    return SHARED


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


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    return _program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromedriver() -> str:
    """The path of the driver that goes with `chromium`."""
    return _program("chromedriver")


def _program(*names: str) -> str:
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    return missing(f"{names[0]} is not installed")
