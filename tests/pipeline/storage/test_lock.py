"""One run at a time: the second is told who holds the output, and a dead holder's lock is taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.storage import lock
from pipeline.storage.lock import Holder, birth_of, is_dead, run_lock
from pipeline.storage.store import LOCK, Storage

HOLD = """
import sys
from pipeline.storage.lock import run_lock
from pipeline.storage.store import Storage
with run_lock(Storage(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "out"))
    process = holding(tmp_path / "out")
    told = rf"in use by process {process.pid} on .*, since .*try again"
    with pytest.raises(UsageError, match=told), run_lock(storage):
        pass
    process.communicate("")
    with run_lock(storage):
        assert not storage.is_empty() or storage.exists(LOCK)
    assert not storage.exists(LOCK)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    process = holding(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / LOCK).exists()
    assert Storage(str(tmp_path)).is_empty()
    with run_lock(Storage(str(tmp_path))):
        pass


def test_a_run_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), run_lock(Storage(str(tmp_path / "new"))):
        raise RuntimeError
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    storage = Storage(str(tmp_path / "file" / "out"))
    told = r"cannot write to OUTPUT .*file/out: Not a directory"
    with pytest.raises(UsageError, match=told), run_lock(storage):
        pass


def test_who_is_dead() -> None:
    me = Holder.this_process()
    assert not is_dead(me)
    assert is_dead(replace(me, birth="an earlier process with my number"))
    elsewhere = replace(me, host="elsewhere")
    assert not is_dead(elsewhere)
    long_ago = datetime.now(UTC) - timedelta(seconds=lock.STALE_SECONDS + 1)
    assert is_dead(replace(elsewhere, alive=long_ago.isoformat()))
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert birth_of(ended.pid) == ""


def test_records_that_are_none_are_told_apart() -> None:
    me = Holder.this_process()
    assert Holder.parse(json.dumps(asdict(me)).encode()) == me
    assert Holder.parse(b"") is None
    assert Holder.parse(b"[1]") is None
