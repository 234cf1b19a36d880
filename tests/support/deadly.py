"""Work for `pipeline.execution.sandbox` that dies, hangs or fails as an item tells it to."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Work = Callable[[list[Any]], Iterator[Any]]


def deadly(factor: int = 2) -> Work:
    """Gives (item * factor, pid); words do what they say."""

    def work(items: list[Any]) -> Iterator[Any]:
        for item in items:
            yield _one(item, factor), os.getpid()

    return work


def _one(item: Any, factor: int) -> Any:
    match item:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            signal.pause()
        case "raise":
            raise ValueError("an exception")
        case ("kill once", path):
            if not Path(path).exists():
                Path(path).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return "survived"
        case ("bytes", count):
            return bytes(count)
    return item * factor


def unable() -> Work:
    """Cannot be made."""
    raise OSError("no weights")
