"""Pickles as Python 2 and chumpy wrote them, which is what FLAME's files are."""

from __future__ import annotations

import copyreg
import io
import pickle
from typing import Any, ClassVar

import numpy as np


class _Python2(pickle._Pickler):  # the pure-Python one: it lets a class be written under another name
    """Writes objects as Python 2 wrote them: numpy's and scipy's old module names, `copy_reg._reconstructor`."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        old = {
            "Ch": b"cchumpy.ch\nCh\n",
            "_reconstructor": b"ccopy_reg\n_reconstructor\n",
            "csc_matrix": b"cscipy.sparse.csc\ncsc_matrix\n",
            "_reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n",
        }
        found = old.get(getattr(obj, "__name__", ""))
        if found is None:
            super().save_global(obj, name)
        else:
            self.write(found)
            self.memoize(obj)

    dispatch: ClassVar = {
        **pickle._Pickler.dispatch,
        type: save_global,
        type(len): save_global,
        type(copyreg._reconstructor): save_global,
    }


class Ch:
    """chumpy's wrapper of an array."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __reduce__(self) -> Any:
        return copyreg._reconstructor, (Ch, object, None), {"x": self.x, "_dirty_vars": [], "_itr": None}


def python2_pickle(value: Any) -> bytes:
    stream = io.BytesIO()
    _Python2(stream, protocol=2).dump(value)
    return stream.getvalue()
