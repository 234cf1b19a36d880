"""Reading inputs and writing outputs: local paths and s3:// URLs, by one small interface over fsspec.

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

from pipeline.storage.locations import ONE_REQUEST, S3, is_s3, local_path, normalize, s3

LOCK = "run.lock"
"""The key that `pipeline.storage.lock` holds an output by; it is no content."""
DELETED_AT_ONCE = 1000
"""As many as S3 takes."""


REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)


REFUSED_STATUS = (403, 404, 507)


def is_refusal(error: Exception) -> bool:
    """Whether a failed write says that the next one fails as well: a full disk, a quota, no permission, no bucket."""
    # s3fs makes an OSError of a store's answer, mostly without a number; the answer itself is its cause.
    answer = getattr(error.__cause__, "response", None) or {}
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return isinstance(error, OSError) and (error.errno in REFUSALS or status in REFUSED_STATUS)


class Storage:
    """A folder or S3 prefix that a run writes into; keys are relative paths with slashes.

    A local file appears whole or not at all (temporary file, then rename); an S3 object is atomic by itself.
    """

    def __init__(self, location: str) -> None:
        self.root = normalize(location)
        self.remote = is_s3(self.root)

    def uri(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _path(self, key: str) -> Path:
        return Path(local_path(self.root)) / key

    def _object(self, key: str) -> str:
        return f"{self.root[len(S3) :]}/{key}"

    def read(self, key: str) -> bytes:
        """The bytes stored under `key`; raises FileNotFoundError if there are none."""
        if self.remote:
            return bytes(s3().cat_file(self._object(key), **ONE_REQUEST))
        return self._path(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        """Stores `data` under `key`, in place of what was there."""
        if self.remote:
            s3().pipe_file(self._object(key), data)
            return
        path = self._path(key)
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
        """Stores `data` under `key` unless something is there already; says whether it did. Of several that try at the
        same time one succeeds.
        """
        if self.remote:
            try:
                s3().pipe_file(self._object(key), data, mode="create")
            except OSError:
                # Servers refuse in different ways (FileExistsError, an OSError without a number): what counts is
                # whether something is there.
                if self.exists(key):
                    return False
                raise
            return True
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
        return True

    def exists(self, key: str) -> bool:
        return bool(s3().exists(self._object(key))) if self.remote else self._path(key).exists()

    def keys(self, prefix: str = "", hidden: bool = False) -> list[str]:
        """All keys below the folder `prefix`, sorted; none if there is no such folder.

        Those with a dot before the name of the file, or of a folder below `prefix`, are left out unless `hidden`.

        Raises:
            OSError: it cannot be listed. To take it for empty would be to take what is committed there for work to do.
        """
        return sorted(key for key in self._keys(prefix) if hidden or not _is_hidden(key, prefix))

    def _keys(self, prefix: str) -> Iterator[str]:
        if self.remote:
            base = self._object(prefix).rstrip("/")
            cut = len(self._object(""))
            yield from (path[cut:] for path in s3().find(base) if path.startswith(base + "/"))
            return
        root = Path(local_path(self.root))
        for folder, _, names in os.walk(root / prefix, onerror=_unless_gone):
            yield from (Path(folder, name).relative_to(root).as_posix() for name in names)

    def is_file(self) -> bool:
        """Whether the location is one file, so that nothing can be stored below it."""
        return (
            bool(s3().isfile(self.root[len(S3) :])) if self.remote else Path(local_path(self.root)).is_file()
        )

    def is_empty(self) -> bool:
        """Whether nothing at all is stored here, but for the lock of a run."""
        if self.remote:
            return not any(key != LOCK for key in self.keys())
        path = Path(local_path(self.root))
        return not path.exists() or (
            path.is_dir() and not any(inner.name != LOCK for inner in path.iterdir())
        )

    def delete(self, keys: list[str]) -> None:
        """Removes what is stored under `keys`; what is not there is passed over.

        Raises:
            OSError: something could not be removed.
        """
        if not self.remote:
            for key in keys:
                self._path(key).unlink(missing_ok=True)
            return
        bucket, _, prefix = self._object("").partition("/")
        for start in range(0, len(keys), DELETED_AT_ONCE):
            objects = [{"Key": prefix + key} for key in keys[start : start + DELETED_AT_ONCE]]
            # Not s3fs's rm: it takes [ and * in a key for a pattern, and says nothing of what the server refused.
            answer = s3().call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            for refused in answer.get("Errors", []):
                raise OSError(f"{refused.get('Key')} could not be removed: {refused.get('Message')}")

    def abort_uploads(self) -> int:
        """Ends the multipart uploads to this place that nobody finished, and says how many; a folder has none.

        They hold storage that no listing shows. Uploads that are going on are ended, too.
        """
        if not self.remote:
            return 0
        bucket, _, prefix = self._object("").partition("/")
        ended, marker = 0, dict[str, str]()
        while True:
            answer = s3().call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
            for upload in answer.get("Uploads", []):
                s3().call_s3(
                    "abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
                ended += 1
            if not answer.get("IsTruncated"):
                return ended
            marker = {
                "KeyMarker": answer["NextKeyMarker"],
                "UploadIdMarker": answer.get("NextUploadIdMarker", ""),
            }


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_hidden(key: str, prefix: str) -> bool:
    return any(part.startswith(".") for part in key.removeprefix(prefix).split("/"))
