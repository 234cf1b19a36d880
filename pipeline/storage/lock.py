"""The lock of an output: one run at a time. A second run is told who holds it; the lock of a dead run is taken over."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.storage.locations import local_path
from pipeline.storage.store import LOCK, Storage

LOG = logging.getLogger("facegpt")
BEAT_SECONDS = 20.0
STALE_SECONDS = 90.0
"""An object store cannot tell that a process died: a holder that gave no sign of life for this long counts as dead."""


@dataclass(frozen=True)
class Holder:
    """Process that holds an output. The fields are the keys of the lock's JSON.

    `token`: random, one per holder; `host` and `pid`: of the process; `birth`: as `birth_of` gives it; `started` and
    `alive`: UTC times in ISO 8601, of the start and of the last sign of life.
    """

    token: str
    host: str
    pid: int
    birth: str
    started: str
    alive: str

    @classmethod
    def this_process(cls) -> Holder:
        """Describes this process, with a new token."""
        pid, time = os.getpid(), _now()
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=pid,
            birth=birth_of(pid),
            started=time,
            alive=time,
        )

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """Parses a lock's JSON; returns None if it is not one."""
        try:
            values: Any = json.loads(data)
            return cls(**values)
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def run_lock(storage: Storage) -> Iterator[None]:
    """Holds `storage` for one run, until the block ends.

    A local folder is locked by the operating system (flock), which lets go when the process ends, however it ends. In
    an object store the lock is an object that only one can create, and whose holder renews it every 20 seconds.

    Raises:
        UsageError: another run holds it; or it cannot be written to.
    """
    with _hold_lock_object(storage) if storage.remote else _hold_lock_file(storage):
        yield


@contextmanager
def _hold_lock_file(storage: Storage) -> Iterator[None]:
    """Holds a local folder by a locked file in it; a folder that was made for it and stays empty is removed again."""
    path = Path(local_path(storage.root)) / LOCK
    is_new = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(path)
    except OSError as error:
        raise UsageError(f"cannot write to OUTPUT {storage.root}: {error.strerror}") from error
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, _to_json(Holder.this_process()))
        yield
    finally:
        path.unlink(missing_ok=True)
        if is_new and not any(path.parent.iterdir()):
            # A run that came to nothing leaves nothing.
            path.parent.rmdir()
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Opens and locks a file, and returns its descriptor; raises UsageError if another process has it locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = Holder.parse(os.read(descriptor, 10_000))
            os.close(descriptor)
            raise UsageError(_in_use_message(str(path.parent), holder)) from None
        # Its last holder may have removed the file between our opening and our locking it.
        if path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
        os.close(descriptor)


@contextmanager
def _hold_lock_object(storage: Storage) -> Iterator[None]:
    """Holds an S3 prefix by an object, which a thread renews."""
    holder = Holder.this_process()
    try:
        _acquire(storage, holder)
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot write to OUTPUT {storage.root}: {reason}") from error
    ended = threading.Event()
    beat = threading.Thread(target=_renew, args=(storage, holder, ended), name="lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _release(storage)


def _acquire(storage: Storage, holder: Holder) -> None:
    """Creates the lock, in place of a dead holder's; raises UsageError if another run is alive."""
    if _create(storage, holder):
        return
    other = Holder.parse(storage.read(LOCK)) if storage.exists(LOCK) else None
    if other is not None and not is_dead(other):
        raise UsageError(_in_use_message(storage.root, other))
    LOG.info("taking over from a run that ended without a word: %s", other or "unreadable record")
    storage.delete([LOCK])
    if not _create(storage, holder):
        raise UsageError(_in_use_message(storage.root, Holder.parse(storage.read(LOCK))))


def _release(storage: Storage) -> None:
    """Removes the lock; an error is logged, not raised."""
    try:
        storage.delete([LOCK])
    except OSError as error:
        # What the run has to say matters more, and the next one takes over from a process that is gone.
        LOG.warning("the lock of %s stays: %s", storage.root, error)


def _create(storage: Storage, holder: Holder) -> bool:
    """Creates the lock, and tells whether it is the holder's now.

    It is, too, where the store did it and its answer was lost, so that the same request, sent again, was refused.
    """
    if storage.create(LOCK, _to_json(holder)):
        return True
    current = Holder.parse(storage.read(LOCK)) if storage.exists(LOCK) else None
    return current is not None and current.token == holder.token


def _renew(storage: Storage, holder: Holder, ended: threading.Event) -> None:
    """Writes the lock with a new sign of life every `BEAT_SECONDS` until `ended` is set."""
    while not ended.wait(BEAT_SECONDS):
        try:
            storage.write(LOCK, _to_json(Holder(**{**asdict(holder), "alive": _now()})))
        except OSError as error:
            # The next beat tries again; shards are committed whole whoever holds the lock.
            LOG.warning("cannot renew the lock of %s: %s", storage.root, error)


def is_dead(holder: Holder) -> bool:
    """Tells whether a holder's process is gone: for certain on this machine, by its silence on another."""
    if holder.host == socket.gethostname():
        return birth_of(holder.pid) != holder.birth
    silent = datetime.now(UTC) - datetime.fromisoformat(holder.alive)
    return silent.total_seconds() > STALE_SECONDS


def birth_of(pid: int) -> str:
    """Returns when a process of this machine started: the boot's id and ticks since it; empty if there is none.

    It tells a process from a later one that got the same number.
    """
    try:
        # The name in parentheses may hold spaces; the 20th field after it is the start.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _in_use_message(where: str, holder: Holder | None) -> str:
    """Formats the error line for an output that another run holds; `holder` is None if its lock is not written yet."""
    if holder is None:
        return f"another run is just taking hold of OUTPUT {where}: try again in a moment"
    ends = "" if holder.host == socket.gethostname() else f"; last sign of life {holder.alive}"
    return f"OUTPUT {where} is in use by {holder}{ends}: wait for it, or stop it (nothing is lost), and try again"


def _to_json(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
