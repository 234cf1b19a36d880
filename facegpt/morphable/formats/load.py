"""Loading of a face model by name, in this project's format or its publisher's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facegpt.bundled import BUNDLED
from facegpt.memory import is_out_of_memory
from facegpt.morphable.bundled import bundled
from facegpt.morphable.face_model import FaceModel
from facegpt.morphable.formats.assemble import assemble
from facegpt.morphable.formats.bfm import names_in, read_bfm_2009, read_bfm_front
from facegpt.morphable.formats.bfm_h5 import read_bfm_h5
from facegpt.morphable.formats.flame import read_flame
from facegpt.morphable.formats.gnm import read_gnm
from facegpt.morphable.formats.ict import NEUTRAL, read_ict
from facegpt.morphable.formats.landmarks import read_landmarks
from facegpt.morphable.formats.raw import FaceModelError, Point, RawModel

KINDS = (
    "'bundled', a .safetensors of this project, BFM 2009's 01_MorphableModel.mat or Deep3D's BFM_model_front.mat, "
    "BFM 2017/2019 .h5, FLAME .pkl, ICT-FaceKit's folder FaceXModel, GNM Head .npz"
)


def load_face_model(
    name: str, landmarks: str | None = None, keep: tuple[int, int, int] | None = None
) -> FaceModel:
    """Loads a face model by name: `bundled`, a file of this project, or one in its publisher's format.

    A model that is read from its publisher's files has the sha256 that its stored form has.

    Args:
        landmarks: a file of landmarks in place of those that come with the format (see `read_landmarks`).
        keep: how many of the first shape, expression and albedo modes to keep.

    Raises:
        FaceModelError: no such file, another format, another version, no landmarks, not enough memory; one line with
            the way out.
    """
    if name == BUNDLED:
        return bundled()
    path = Path(name).expanduser()
    if path.suffix == ".safetensors":
        return stored_model(path)
    points = None if landmarks is None else read_landmarks(Path(landmarks).expanduser())
    with _enough_memory(path, "end other programs, keep fewer modes (--keep), or take a machine with more"):
        return assemble(_read(path, points), keep)


def stored_model(path: Path) -> FaceModel:
    """Loads a model in this project's own format; raises FaceModelError."""
    with _enough_memory(path, "end other programs, or store it with fewer modes (import-face-model --keep)"):
        try:
            return FaceModel.load(path)
        except FileNotFoundError:
            raise FaceModelError(f"no face model at {path}; a face model is {KINDS}") from None
        except (OSError, ValueError, KeyError) as error:
            raise FaceModelError(f"{error}; `facegpt import-face-model` makes one out of {KINDS}") from None


@contextmanager
def _enough_memory(path: Path, way_out: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise FaceModelError(f"not enough memory to load the face model {path}: {way_out}") from error


def _read(path: Path, points: dict[int, Point] | None) -> RawModel:
    if path.is_dir():
        folder = path if (path / NEUTRAL).is_file() else path / "FaceXModel"
        if not (folder / NEUTRAL).is_file():
            raise FaceModelError(
                f"the folder {path} holds no {NEUTRAL}: not ICT-FaceKit's FaceXModel; a face model is {KINDS}"
            )
        return read_ict(folder)
    if not path.is_file():
        raise FaceModelError(f"no face model at {path}; a face model is {KINDS}")
    suffix = path.suffix.lower()
    if suffix == ".mat":
        front = "meanshape" in names_in(path)
        return read_bfm_front(path, points) if front else read_bfm_2009(path, points)
    if suffix in (".h5", ".hdf5"):
        return read_bfm_h5(path, points)
    if suffix == ".pkl":
        return read_flame(path, points)
    if suffix == ".npz":
        return read_gnm(path, points)
    raise FaceModelError(f"{path} is no format that is known; a face model is {KINDS}")
