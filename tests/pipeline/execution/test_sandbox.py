"""A child process for dangerous work: what kills it costs itself, and nothing else."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deadly import deadly, unable
from processes import wait_until_gone

from pipeline.execution.sandbox import Death, Sandbox, SandboxError


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(pickle.dumps(deadly), seconds=120)
    yield made
    made.close()


def test_results_come_in_order_from_one_process(sandbox: Sandbox) -> None:
    first = list(sandbox.map([1, 2, 3]))
    assert [value for value, _ in first] == [2, 4, 6]
    second = list(sandbox.map([4]))
    assert len({pid for _, pid in (*first, *second)}) == 1
    assert first[0][1] != os.getpid()


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("segfault", "crash: its process was ended by SIGSEGV"),
        ("exit", "crash: its process ended with exit code 3"),
        ("kill", "crash: its process was ended by SIGKILL, as when memory runs out"),
    ],
)
def test_a_killer_costs_itself_alone(sandbox: Sandbox, item: str, reason: str) -> None:
    results = list(sandbox.map([1, item, 3, item, 5]))
    assert [r if isinstance(r, Death) else r[0] for r in results] == [2, Death(reason), 6, Death(reason), 10]


def test_what_never_returns_is_stopped() -> None:
    sandbox = Sandbox(pickle.dumps(deadly), seconds=5)
    results = list(sandbox.map([1, "hang", 3]))
    sandbox.close()
    assert results[0][0] == 2
    assert results[1] == Death("took longer than 5 s (workers.image_seconds): stopped")
    assert results[2][0] == 6


def test_a_death_from_outside_costs_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    once = tmp_path / "killed"
    results = list(sandbox.map([1, ("kill once", str(once)), 3]))
    assert once.exists()
    assert [value for value, _ in results] == [2, "survived", 6]


def test_work_that_cannot_be_made_says_why() -> None:
    sandbox = Sandbox(pickle.dumps(unable), seconds=120)
    with pytest.raises(SandboxError, match="OSError: no weights"):
        list(sandbox.map([1]))


def test_an_exception_of_the_work_is_raised_here(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="ValueError: an exception"):
        list(sandbox.map([1, "raise"]))
    assert next(sandbox.map([2]))[0] == 4


def test_the_child_goes_when_the_parent_is_killed() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        _, pid = next(Sandbox(pickle.dumps(deadly), seconds=120).map([1, 2]))
        os.write(writer, str(pid).encode())
        signal.pause()
    child = int(os.read(reader, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    wait_until_gone([child], 120)


def test_large_results_pass(sandbox: Sandbox) -> None:
    assert len(next(sandbox.map([("bytes", 30_000_000)]))[0]) == 30_000_000


def test_the_factory_may_carry_arguments() -> None:
    sandbox = Sandbox(pickle.dumps(partial(deadly, 10)), seconds=120)
    value: Any = next(sandbox.map([2]))[0]
    sandbox.close()
    assert value == 20
