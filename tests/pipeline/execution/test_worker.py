"""The envelope around the steps of a stage."""

from __future__ import annotations

import errno
import pickle
from typing import Any

import pyarrow as pa

from pipeline.execution.worker import Step, Worker
from pipeline.shards.shard import ShardOutcome


def batch(**row: Any) -> pa.Table:
    return pa.table(
        {
            key: [value]
            for key, value in ({"shard": "s", "error": "", "refused": False, "payload": b""} | row).items()
        }
    )


def doubled(value: int) -> int:
    if value < 0:
        raise ValueError("negative\nnumber")
    return 2 * value


def test_a_worker_gets_and_gives_objects() -> None:
    worker = Worker([Step("double", lambda: doubled)])
    result = worker(batch(payload=pickle.dumps(21))).to_pylist()[0]
    assert (result["shard"], result["error"], pickle.loads(result["payload"])) == ("s", "", 42)


def test_a_step_that_throws_marks_the_shard_and_goes_on() -> None:
    worker = Worker([Step("double", lambda: doubled)])
    assert (
        worker(batch(payload=pickle.dumps(-1))).to_pylist()[0]["error"]
        == "double: ValueError: negative number"
    )
    assert worker(batch(payload=pickle.dumps(1))).to_pylist()[0]["error"] == ""


def test_a_worker_that_cannot_start_says_so_for_each_shard() -> None:
    def fail() -> Any:
        raise OSError("no weights")

    result = Worker([Step("annotate", fail)])(batch(payload=pickle.dumps(1))).to_pylist()[0]
    assert result["error"] == "the annotate worker cannot start: OSError: no weights"


def test_an_error_is_handed_through() -> None:
    row = batch(error="detect: broken")
    assert Worker([Step("double", lambda: doubled)])(row).to_pylist()[0]["error"] == "detect: broken"


def test_steps_follow_each_other_and_the_first_that_throws_is_named() -> None:
    worker = Worker(
        [Step("double", lambda: doubled), Step("again", lambda: doubled), Step("text", lambda: str)]
    )
    assert worker.run("s", 3) == "12"
    refuses = Worker([Step("double", lambda: doubled), Step("commit", lambda: full)])
    assert refuses.run("s", 3) == ShardOutcome("s", error="commit: OSError: no space", refused=True)
    assert refuses.run("s", -3) == ShardOutcome("s", error="double: ValueError: negative number")


def full(value: int) -> int:
    raise OSError(errno.ENOSPC, "no space")
