"""Storage of an output: one small interface to a local folder and to an S3 prefix, by fsspec.

S3 credentials and the endpoint come from the environment or the profile (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...),
never from a URL.
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.storage.locations import ONE_REQUEST, is_s3, local_path, normalize, s3, s3_path

LOCK = "run.lock"
"""Key of the object that `pipeline.storage.lock` holds an output by; it does not count as content."""
PLAN = "plan.json"
PROBE = "probe"
"""Key of the plan of a run, and folder in which its probe writes and deletes again: a run may begin beside both."""
ASIDE = (LOCK, PLAN, PROBE)
KEYS_PER_REQUEST = 1000
"""As many keys as S3 deletes by one request."""
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
REFUSAL_STATUSES = (403, 404, 507)


def is_refusal(error: Exception) -> bool:
    """Tells whether a failed write means that the next one fails, too: full disk, quota, no permission, no bucket."""
    # s3fs makes an OSError of a store's answer, mostly without a number; the answer itself is its cause.
    answer = getattr(error.__cause__, "response", None) or {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return isinstance(error, OSError) and (error.errno in REFUSALS or status in REFUSAL_STATUSES)


class Storage:
    """Folder or S3 prefix that a run writes into; keys are relative paths with slashes.

    A local file appears whole or not at all (temporary file, then rename); an S3 object is atomic by itself.
    """

    def __init__(self, location: str) -> None:
        self.root = normalize(location)
        self.remote = is_s3(self.root)

    def uri(self, key: str) -> str:
        """Returns the path or s3:// URL of `key`."""
        return f"{self.root}/{key}"

    def _local_path(self, key: str) -> Path:
        return Path(local_path(self.root)) / key

    def _s3_path(self, key: str) -> str:
        return f"{s3_path(self.root)}/{key}"

    def read(self, key: str) -> bytes:
        """Reads what is stored under `key`; raises FileNotFoundError if nothing is."""
        if self.remote:
            return bytes(s3().cat_file(self._s3_path(key), **ONE_REQUEST))
        return self._local_path(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, in place of what was there."""
        if self.remote:
            s3().pipe_file(self._s3_path(key), data)
            return
        path = self._local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A leading dot hides the temporary file from every Parquet reader.
        temporary = path.with_name(
            f".{path.name}.{os.getpid()}.{threading.get_ident()}.{uuid.uuid4().hex[:8]}"
        )
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def create(self, key: str, data: bytes) -> bool:
        """Stores `data` under `key` unless something is stored there, and tells whether it did.

        Of several processes that try at the same time one succeeds.
        """
        if self.remote:
            try:
                s3().pipe_file(self._s3_path(key), data, mode="create")
            except OSError:
                # Servers refuse in different ways (FileExistsError, an OSError without a number): what counts is
                # whether something is there.
                if self.exists(key):
                    return False
                raise
            return True
        path = self._local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def exists(self, key: str) -> bool:
        """Tells whether something is stored under `key`."""
        return bool(s3().exists(self._s3_path(key))) if self.remote else self._local_path(key).exists()

    def keys(self, prefix: str = "", hidden: bool = False) -> list[str]:
        """Lists all keys below the folder `prefix`, sorted; none if there is no such folder.

        Keys in which a folder below `prefix`, or the file, has a name with a leading dot are left out unless `hidden`.

        Raises:
            OSError: the folder cannot be listed. Taken for empty, its committed shards would be executed again.
        """
        return sorted(key for key in self._keys(prefix) if hidden or not _is_hidden(key, prefix))

    def _keys(self, prefix: str) -> Iterator[str]:
        """Yields all keys below a folder, in any order."""
        if self.remote:
            base = self._s3_path(prefix).rstrip("/")
            cut = len(self._s3_path(""))
            yield from (path[cut:] for path in s3().find(base) if path.startswith(base + "/"))
            return
        root = Path(local_path(self.root))
        for folder, _, names in os.walk(root / prefix, onerror=_raise_unless_missing):
            yield from (Path(folder, name).relative_to(root).as_posix() for name in names)

    def is_file(self) -> bool:
        """Tells whether the location is a file, so that nothing can be stored below it."""
        return bool(s3().isfile(s3_path(self.root))) if self.remote else Path(local_path(self.root)).is_file()

    def is_empty(self) -> bool:
        """Tells whether nothing is stored here, but for the lock of a run and what was planned for it."""
        if self.remote:
            return not any(key.partition("/")[0] not in ASIDE for key in self.keys())
        path = Path(local_path(self.root))
        return not path.exists() or (
            path.is_dir() and not any(inner.name not in ASIDE for inner in path.iterdir())
        )

    def delete(self, keys: list[str]) -> None:
        """Removes what is stored under `keys`; keys that do not exist are passed over.

        Raises:
            OSError: something could not be removed.
        """
        if not self.remote:
            for key in keys:
                self._local_path(key).unlink(missing_ok=True)
            return
        bucket, _, prefix = self._s3_path("").partition("/")
        for start in range(0, len(keys), KEYS_PER_REQUEST):
            objects = [{"Key": prefix + key} for key in keys[start : start + KEYS_PER_REQUEST]]
            # Not s3fs's rm: it takes [ and * in a key for a pattern, and says nothing of what the server refused.
            answer = s3().call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for refused in answer.get("Errors", []):
                raise OSError(f"{refused.get('Key')} could not be removed: {refused.get('Message')}")

    def abort_uploads(self) -> int:
        """Aborts the multipart uploads below this prefix, and returns how many there were; a folder has none.

        Unfinished ones occupy storage that no listing shows. Uploads that are going on are aborted, too.
        """
        if not self.remote:
            return 0
        bucket, _, prefix = self._s3_path("").partition("/")
        aborted, marker = 0, dict[str, str]()
        while True:
            answer = s3().call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
            for upload in answer.get("Uploads", []):
                s3().call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                aborted += 1
            if not answer.get("IsTruncated"):
                return aborted
            marker = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
            }


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_hidden(key: str, prefix: str) -> bool:
    """Tells whether a part of the key below `prefix` starts with a dot."""
    return any(part.startswith(".") for part in key.removeprefix(prefix).split("/"))
