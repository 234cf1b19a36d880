"""Tables come back as they were written, and no thread of Arrow's is left to outlive the interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from small_output import entry, make_output

from pipeline.storage.store import Storage
from pipeline.storage.tables import from_parquet, open_parquet_bytes, read_row_group, to_parquet

TABLE = pa.table({"uri": ["a", "b", None], "size": [1, 2, 3], "points": [[0.5], [], [1.0, 2.0]]})

JOB_AND_THREADS = """
import importlib, os, sys
from jobs.cli import main

def threads():
    return len(os.listdir("/proc/self/task"))

importlib.import_module(f"jobs.{sys.argv[1]}")
before = threads()
code = main(sys.argv[1:])
print("threads:", threads() - before)
sys.exit(code)
"""


def test_a_table_comes_back_as_it_was() -> None:
    assert from_parquet(to_parquet(TABLE)).equals(TABLE)


def test_some_columns_in_the_order_of_the_file_and_none_for_one_that_is_not_there() -> None:
    found = from_parquet(to_parquet(TABLE), ["size", "uri", "no such column"])
    assert set(found.column_names) == {"uri", "size"}
    assert found["size"].to_pylist() == [1, 2, 3]


def test_a_row_group() -> None:
    group = read_row_group(open_parquet_bytes(to_parquet(TABLE)), 0, ["size"])
    assert group.to_pydict() == {"size": [1, 2, 3]}


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        from_parquet(b"PAR1 and no more")


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="threads are counted in /proc, which Linux has"
)
@pytest.mark.parametrize("job", ["verify", "status"])
def test_a_job_leaves_no_native_thread(job: str, tmp_path: Path) -> None:
    make_output(Storage(str(tmp_path)), [entry(name) for name in "abcn"], 2)
    done = subprocess.run(
        [sys.executable, "-c", JOB_AND_THREADS, job, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "threads: 0"
