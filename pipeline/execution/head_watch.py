"""Noticing that the head of a cluster is gone: Ray would end this process after a minute, and say nothing."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger("facegpt")
EVERY_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
MISSES = 3
"""So many times in a row it may fail to answer: networks have their moments."""


@contextmanager
def watched(address: str, every: float = EVERY_SECONDS) -> Iterator[None]:
    """Says while the block runs, once for each time, that what listens at `address` (HOST:PORT) has gone away."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(address, every, ended), name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(address: str, every: float, ended: threading.Event) -> None:
    if not _answers(address):
        return  # Ray reaches it some other way from here, through a proxy for instance
    missed = 0
    while not ended.wait(every):
        missed = 0 if _answers(address) else missed + 1
        if missed == MISSES:
            LOG.error(
                "the head of the Ray cluster at %s does not answer: unless it does soon, this run ends here. What is "
                "committed is safe, and the same command on a cluster with a head goes on from there",
                address,
            )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True
