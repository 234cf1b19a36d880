"""What every room's tests share: one thread, fixed seeds, and the parts that only some machines have."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from obligations import missing
from photo_files import collect_photos
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
INTEGRATION = "tests/integration/"
ONE_SERVER = f"{INTEGRATION}s3/"


class ByFile(LoadScopeScheduling):
    """Hands the tests to the processes that share them (`-n`), by three rules.

    1. A file goes to one process, whole: the fixtures of its module are made once.
    2. So does all of tests/integration/s3: it stores to one server, on one port.
    3. What may take longest, by its `timeout`, is begun first (`pytest_collection_modifyitems`): begun last, it would
       keep one process busy while the others have nothing left to do.
    """

    def _split_scope(self, nodeid: str) -> str:
        return ONE_SERVER if nodeid.startswith(ONE_SERVER) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    config.option.loadscopereorder = False  # or it would begin with the file that has the most tests
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks all of tests/integration as `slow`, for `make integration` alone, and sorts by rule 3 of `ByFile`."""
    for item in items:
        if item.nodeid.startswith(INTEGRATION):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        items.sort(key=_allowed_seconds, reverse=True)


def _allowed_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


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
def s3_endpoint() -> Iterator[str]:
    """A mock S3 server, which `small_ray`'s workers find; this process finds it by `mock_s3.connect`."""
    # Imported here, as Ray is below: these take seconds, and most tests need neither.
    from mock_s3 import mock_s3

    with mock_s3() as endpoint:
        yield endpoint


@pytest.fixture
def small_ray(s3_endpoint: str) -> None:
    """A Ray of two CPUs; tests that ask for it one after another share it, and it ends before one that does not."""
    import ray
    from s3_secrets import environment
    from small_ray import start_ray

    if not ray.is_initialized():
        start_ray(environment(s3_endpoint))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if _wants_ray(item) and not _wants_ray(nextitem):
        import ray

        ray.shutdown()


def _wants_ray(item: pytest.Item | None) -> bool:
    return "small_ray" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample photos, a group of six faces, a close-up and a cat."""
    folder = tmp_path_factory.mktemp("photos")
    collect_photos(folder)
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
