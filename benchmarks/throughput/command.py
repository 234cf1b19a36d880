"""Commands as a user gives them: each a process of its own, timed from its start on, with all threads that it wants."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""For what is measured on one thread; everything else runs without these variables, whatever the caller has."""


class CommandError(RuntimeError):
    """A measured command failed; the message ends with what it said."""


@dataclass(frozen=True)
class Done:
    """A command that has ended: its wall seconds, and what it reported (`ready`: seconds until its work began)."""

    seconds: float
    report: Mapping[str, Any]


def run_module(
    module: str, arguments: Sequence[str], *, one_thread: bool = False, tree: Path | None = None
) -> Done:
    """Runs `python -m MODULE ARGUMENTS --report FILE`, of the checkout `tree` if there is one, and reads the JSON that
    it leaves in FILE.
    """
    return run_reporting([sys.executable, "-m", module, *arguments], one_thread=one_thread, tree=tree)


def run_reporting(
    command: Sequence[str],
    *,
    one_thread: bool = False,
    tree: Path | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> Done:
    """Runs a command with `--report FILE` added, into which it writes JSON; `ready` there is `time.monotonic()`.

    Raises:
        CommandError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        start = time.monotonic()
        seconds = run([*command, "--report", str(file)], one_thread=one_thread, tree=tree, watch=watch)
        report = json.loads(file.read_text("utf-8"))
    if "ready" in report:
        report["ready"] -= start
    return Done(seconds, report)


def run(
    command: Sequence[str],
    *,
    one_thread: bool = False,
    tree: Path | None = None,
    watch: Callable[[int, float], None] | None = None,
    every: float = 0.2,
) -> float:
    """Runs a command to its end; gives its wall seconds. `watch` is called with its process id and the seconds so far.

    Raises:
        CommandError: it failed.
    """
    with tempfile.TemporaryFile("w+") as said:
        start = time.monotonic()
        child = subprocess.Popen(
            list(command),
            stdout=said,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**environment(one_thread), **({"PYTHONPATH": str(tree)} if tree else {})},
            cwd=tree,
            start_new_session=True,
        )
        try:
            if watch is not None:
                while child.poll() is None:
                    watch(child.pid, time.monotonic() - start)
                    time.sleep(every)
            child.wait()
            seconds = time.monotonic() - start
        finally:
            if child.poll() is None:
                # With all that it has started: a pool's processes would wait for ever.
                os.killpg(child.pid, signal.SIGTERM)
                child.wait()
        if child.returncode:
            said.seek(0)
            words = " ".join(str(part) for part in command)
            raise CommandError(f"{words} ended with {child.returncode}:\n{said.read()[-2000:]}")
    return seconds


def end_on_sigterm() -> None:
    """Lets this process end in order when it is told to, so that no measured command goes on without it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def environment(one_thread: bool) -> dict[str, str]:
    """Makes the variables of a measured command: threads as its libraries choose them, or one."""
    kept = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return {**kept, **quiet, **(ONE_THREAD if one_thread else {})}


def annotate_command(photos: Path, output: Path, overrides: Sequence[str], module: str = "jobs") -> list[str]:
    """Makes the command of a run, with settings as `--set` takes them; `module`: what stands in for the command."""
    settings = [word for override in overrides for word in ("--set", override)]
    return [sys.executable, "-m", module, "annotate", str(photos), str(output), *settings]


def write_report(file: Path, **values: Any) -> None:
    """Writes what a measured child has to say."""
    file.write_text(json.dumps(values), "utf-8")
