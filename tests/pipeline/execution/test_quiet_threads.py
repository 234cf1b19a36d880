"""Threads that a library leaves at work: who ends what they need waits for them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipeline.execution.quiet_threads import await_threads


def library(code: str, **names: Any) -> Callable[[], None]:
    """The function `work` of `code`, in a module of the package `library`."""
    module = {"__name__": "library.inner", **names}
    exec(code, module)
    return module["work"]  # type: ignore[no-any-return]


@contextmanager
def at_work(code: str, **names: Any) -> Iterator[threading.Thread]:
    end, begun = threading.Event(), threading.Event()
    thread = threading.Thread(target=library(code, end=end, begun=begun, **names), daemon=True)
    thread.start()
    assert begun.wait(60)
    try:
        yield thread
    finally:
        end.set()
        thread.join(60)
    assert not thread.is_alive()


BUSY = "def work():\n    begun.set()\n    while not end.is_set(): sleep(0.01)"
PARKED = "def work():\n    begun.set()\n    end.wait()"


def test_who_is_at_work_is_waited_for() -> None:
    with at_work(BUSY, sleep=time.sleep) as thread:
        assert not await_threads("library", 0.3)
        assert thread.is_alive()
    assert await_threads("library", 60)


def test_others_and_who_sleeps_until_woken_are_not() -> None:
    with at_work(BUSY, sleep=time.sleep), at_work(PARKED):
        assert await_threads("another", 60)
        assert await_threads("lib", 60)
    with at_work(PARKED) as thread:
        time.sleep(0.05)
        assert await_threads("library", 60)
        assert thread.is_alive()


RUN = """
import ray, threading, time
from pipeline.execution.cluster import cluster

code = '''
def work():
    end = time.monotonic() + 2
    while time.monotonic() < end: ray.wait([ray.put(1)], timeout=0)
'''
module = {"__name__": "ray.data._internal.late", "ray": ray, "time": time}
exec(code, module)
late = threading.Thread(target=module["work"], daemon=True)
with cluster():
    late.start()
late.join()
print("the end")
"""


@pytest.mark.slow
def test_a_late_thread_of_ray_data_does_not_end_the_process() -> None:
    """Ray's core ends a process, with code 1 and without a word, that asks it for something after its shutdown."""
    ended = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "the end\n"), ended.stderr
