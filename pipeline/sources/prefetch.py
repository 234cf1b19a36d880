"""Several slow iterators at once, in an order that does not depend on which of them is quick."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from queue import Empty, Queue
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

CHUNK = 1000
CHUNKS_AHEAD = 4
CALLS_AHEAD = 64


def iter_chunks(items: Iterable[A], size: int = CHUNK) -> Iterator[list[A]]:
    """Yields the items in lists of `size`, the last one shorter."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def map_ordered(pool: Executor, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Calls a function in a pool and yields its results in order; at most `CALLS_AHEAD` are waiting to be yielded."""
    source = iter(items)
    results: deque[Future[B]] = deque(pool.submit(function, item) for item in islice(source, CALLS_AHEAD))
    while results:
        yield results.popleft().result()
        for item in islice(source, 1):
            results.append(pool.submit(function, item))


def interleave(makers: Iterable[Callable[[], Iterator[A]]], width: int) -> Iterator[list[A]]:
    """Runs `width` iterators at a time, each in a thread of its own, and yields a chunk of each in turn.

    The order depends on the makers and their items alone. Memory is bounded by `width` times `CHUNKS_AHEAD` chunks.
    """
    waiting = iter(makers)
    active = deque(_Prefetcher(make) for make in islice(waiting, width))
    try:
        while active:
            chunk = active[0].take()
            if chunk is not None:
                active.rotate(-1)
                yield chunk
                continue
            active.popleft()
            for make in islice(waiting, 1):
                active.appendleft(_Prefetcher(make))
    finally:
        for prefetcher in active:
            prefetcher.close()


class _Prefetcher(Generic[A]):
    """Thread that reads an iterator ahead, in chunks."""

    def __init__(self, make: Callable[[], Iterator[A]]) -> None:
        self._queue: Queue[list[A] | BaseException | None] = Queue(CHUNKS_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(make,), name="listing", daemon=True)
        self._thread.start()

    def take(self) -> list[A] | None:
        """Returns the next chunk, None at the end; raises what the iterator raised."""
        chunk = self._queue.get()
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def close(self) -> None:
        """Ends the thread, also one that waits for room in the queue."""
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except Empty:
                continue

    def _run(self, make: Callable[[], Iterator[A]]) -> None:
        """Puts the chunks into the queue, then None, or the error that ended the iterator."""
        try:
            for chunk in iter_chunks(make()):
                self._queue.put(chunk)
                if self._stopped.is_set():
                    return
            self._queue.put(None)
        except BaseException as error:
            # It is raised again in the thread that reads.
            self._queue.put(error)
