"""Ray for the time of a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
import ray.data

from pipeline.errors import NothingRanError, describe
from pipeline.execution.head_watch import watched
from pipeline.execution.quiet_threads import await_threads

OBJECT_STORE_BYTES = 2 * 10**9
"""Of a Ray of this process's own."""
LEFTOVER_SECONDS = 20.0
"""How long threads that Ray Data left behind may take to end."""


@contextmanager
def cluster() -> Iterator[tuple[float, float]]:
    """Gives Ray for the time of a run: the cluster of RAY_ADDRESS, the one that this process is in already, or one of
    its own.

    Yields:
        The number of CPUs and of GPUs.

    Raises:
        NothingRanError: Ray could not start, or the cluster cannot be reached.
    """
    ours = not ray.is_initialized()
    if ours:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not os.environ.get("RAY_ADDRESS"):
            # `local` keeps it from joining whatever cluster another process left running on this machine.
            options |= {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
            }
        try:
            with _without_stderr():
                ray.init(**options)
        except Exception as error:
            raise NothingRanError(f"Ray could not start: {describe(error)}") from error
    try:
        resources = ray.cluster_resources()
        # A Ray of its own ends with this process, and is not to be waited for.
        joined = ours and os.environ.get("RAY_ADDRESS")
        with watched(ray.get_runtime_context().gcs_address) if joined else nullcontext():
            yield resources.get("CPU", 1.0), resources.get("GPU", 0.0)
    finally:
        # A thread of Ray Data's that asks for something after the shutdown makes Ray end this process at once, with
        # code 1 and not a word. Where one does not end, Ray ends with the process, which has had its say by then.
        if ours and await_threads("ray.data", LEFTOVER_SECONDS):
            ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Hides what Ray's native code writes as it starts (that it read RAY_BACKEND_LOG_LEVEL); errors are exceptions."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
