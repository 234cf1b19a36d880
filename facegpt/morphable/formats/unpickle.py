"""A restricted unpickler for FLAME's files, which runs nothing that they name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegpt.morphable.formats.raw import FaceModelError


class Unread:
    """A stand-in for an object that is not needed and never made: a sparse matrix, a torch tensor."""

    def __init__(self, *args: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Chumpy(Unread):
    """A stand-in for `chumpy.ch.Ch`, which wraps an array as `x`; chumpy itself no longer builds."""

    @property
    def array(self) -> npt.NDArray[Any]:
        """The array; raises ValueError if the object holds none."""
        values = self.state.get("x") if isinstance(self.state, dict) else None
        if not isinstance(values, np.ndarray):
            raise ValueError("a chumpy object holds no array")
        return values


def _reconstructor(cls: Any, base: Any, state: object) -> object:
    """Makes objects as pickles of Python 2 do: only the stand-ins above, which start empty."""
    if not (isinstance(cls, type) and issubclass(cls, Unread)):
        raise pickle.UnpicklingError(f"{cls} is not to be made")
    return cls()


def _ignored(*args: Any, **kwargs: Any) -> Unread:
    return Unread()


def _encode(text: str, encoding: str = "latin1", errors: str = "strict") -> bytes:
    """Encodes as `_codecs.encode` does, in the one encoding that arrays are pickled with."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding} is not used for arrays")
    return text.encode("latin1", errors)


def _empty() -> bytes:
    """Returns `b""`, which protocol 2 writes as `bytes()`; with an argument that could ask for any amount of memory."""
    return b""


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_CALLS: dict[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): np._core.multiarray._reconstruct for module in _MULTIARRAY},  # type: ignore[attr-defined]
    **{(module, "scalar"): np._core.multiarray.scalar for module in _MULTIARRAY},  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
    ("chumpy.ch", "Ch"): Chumpy,
    ("collections", "OrderedDict"): _ignored,
    ("torch._utils", "_rebuild_tensor_v2"): _ignored,
    ("torch.storage", "_load_from_bytes"): _ignored,
}
_CLASSES = {
    (module, name): Unread
    for name in ("csc_matrix", "csr_matrix", "coo_matrix")
    for short in ("csc", "csr", "coo")
    for module in (f"scipy.sparse.{short}", f"scipy.sparse._{short}")
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        stand_in = _CALLS.get((module, name)) or _CLASSES.get((module, name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return stand_in


def unpickle(path: Path, skip: int = 0) -> Any:
    """Loads a pickle of numpy arrays, sparse matrices and chumpy arrays; no other name in it is ever looked up.

    Sparse matrices and tensors are read past (`Unread`). `skip`: bytes before the pickle.

    Raises:
        FaceModelError: the file is missing or no pickle, or names anything else.
    """
    try:
        with path.open("rb") as file:
            file.seek(skip)
            return _Restricted(file, encoding="latin1").load()
    except OSError as error:
        raise FaceModelError(f"cannot read {path}: {error.strerror}") from None
    except pickle.UnpicklingError as error:
        raise FaceModelError(
            f"{path} is not loaded, since a pickle can run code and this one is not plain arrays: {error}"
        ) from None
    except Exception as error:
        # A pickle can fail with any exception; each of them means the same here.
        raise FaceModelError(f"{path} is no pickle of arrays: {type(error).__name__}: {error}") from None


def array(value: Any, path: Path, key: str) -> npt.NDArray[Any]:
    """Returns the plain array that `value`, found under `key`, is or wraps; raises FaceModelError."""
    try:
        values = value.array if isinstance(value, Chumpy) else value
    except ValueError as error:
        raise FaceModelError(f"{path}: {key!r}: {error}") from None
    if not isinstance(values, np.ndarray) or values.dtype == object:
        raise FaceModelError(f"{path}: {key!r} is no array of numbers")
    return values
