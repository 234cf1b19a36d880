"""One run at a time on an output: a second one is told who holds it, and takes over what a dead one left behind."""

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
    """Who holds an output: a `token` of its own, host and process, when it started and last gave a sign of life."""

    token: str
    host: str
    pid: int
    birth: str
    started: str
    alive: str

    @classmethod
    def me(cls) -> Holder:
        pid, time = os.getpid(), _now()
        return cls(uuid.uuid4().hex, socket.gethostname(), pid, birth_of(pid), time, time)

    @classmethod
    def parse(cls, data: bytes) -> Holder | None:
        """None for what is no such record."""
        try:
            values: Any = json.loads(data)
            return cls(**values)
        except (ValueError, TypeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def run_lock(storage: Storage) -> Iterator[None]:
    """Holds `storage` for one run.

    A local folder is locked by the operating system (flock), which lets go when the process ends, however it ends. In
    an object store the lock is an object that only one can create, and whose holder renews it every 20 seconds.

    Raises:
        UsageError: another run holds it; or it cannot be written to.
    """
    held = _locked_object(storage) if storage.remote else _locked_file(storage)
    with held:
        yield


@contextmanager
def _locked_file(storage: Storage) -> Iterator[None]:
    path = Path(local_path(storage.root)) / LOCK
    fresh = not path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _flocked(path)
    except OSError as error:
        raise UsageError(f"cannot write to OUTPUT {storage.root}: {error.strerror}") from error
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, _encoded(Holder.me()))
        yield
    finally:
        path.unlink(missing_ok=True)
        if fresh and not any(path.parent.iterdir()):
            # A run that came to nothing leaves nothing.
            path.parent.rmdir()
        os.close(descriptor)


def _flocked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = Holder.parse(os.read(descriptor, 10_000))
            os.close(descriptor)
            raise UsageError(_refusal(str(path.parent), holder)) from None
        # Its last holder may have removed the file between our opening and our locking it.
        if path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
        os.close(descriptor)


@contextmanager
def _locked_object(storage: Storage) -> Iterator[None]:
    mine = Holder.me()
    try:
        _take(storage, mine)
    except UsageError:
        raise
    except Exception as error:
        # s3fs and botocore raise many types; each of them means the same to the user.
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot write to OUTPUT {storage.root}: {reason}") from error
    ended = threading.Event()
    beat = threading.Thread(target=_keep_alive, args=(storage, mine, ended), name="lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _let_go(storage)


def _take(storage: Storage, mine: Holder) -> None:
    if _created(storage, mine):
        return
    other = Holder.parse(storage.read(LOCK)) if storage.exists(LOCK) else None
    if other is not None and not is_dead(other):
        raise UsageError(_refusal(storage.root, other))
    LOG.info("taking over from a run that ended without a word: %s", other or "unreadable record")
    storage.delete([LOCK])
    if not _created(storage, mine):
        raise UsageError(_refusal(storage.root, Holder.parse(storage.read(LOCK))))


def _let_go(storage: Storage) -> None:
    try:
        storage.delete([LOCK])
    except OSError as error:
        # What the run has to say matters more, and the next one takes over from a process that is gone.
        LOG.warning("the lock of %s stays: %s", storage.root, error)


def _created(storage: Storage, mine: Holder) -> bool:
    """Whether the lock is ours now; also where the store did it and its answer was lost, so that the same request, sent
    again, was refused.
    """
    if storage.create(LOCK, _encoded(mine)):
        return True
    found = Holder.parse(storage.read(LOCK)) if storage.exists(LOCK) else None
    return found is not None and found.token == mine.token


def _keep_alive(storage: Storage, mine: Holder, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            storage.write(LOCK, _encoded(Holder(**{**asdict(mine), "alive": _now()})))
        except OSError as error:
            # The next beat tries again; shards are committed whole whoever holds the lock.
            LOG.warning("cannot renew the lock of %s: %s", storage.root, error)


def is_dead(holder: Holder) -> bool:
    """Whether a holder's process is gone: for certain on this machine, by its silence on another."""
    if holder.host == socket.gethostname():
        return birth_of(holder.pid) != holder.birth
    silent = datetime.now(UTC) - datetime.fromisoformat(holder.alive)
    return silent.total_seconds() > STALE_SECONDS


def birth_of(pid: int) -> str:
    """When a process of this machine started, in ticks since its boot and with the boot's id; empty if there is none.
    A number that a later process got again is told apart by it.
    """
    try:
        # The name in parentheses may hold spaces; the 20th field after it is the start.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _refusal(where: str, holder: Holder | None) -> str:
    if holder is None:
        return f"another run is just taking hold of OUTPUT {where}: try again in a moment"
    ends = "" if holder.host == socket.gethostname() else f"; last sign of life {holder.alive}"
    return f"OUTPUT {where} is in use by {holder}{ends}: wait for it, or stop it (nothing is lost), and try again"


def _encoded(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
