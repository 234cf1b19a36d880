"""A loaded FaceGPT that takes photos, questions and descriptions: what `facegpt.load()` gives."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar, get_args, overload

import numpy as np
import torch
from numpy.typing import NDArray

from facegpt.bundled import BUNDLED
from facegpt.library.errors import LoadError, PhotoError
from facegpt.library.face import Answer, Face, Faces, ImaginedFace
from facegpt.library.photo_input import PhotoInput, name_of, open_photo
from facegpt.library.row import is_finite, row_of
from facegpt.memory import is_out_of_memory
from facegpt.model.annotation import FaceAnnotation
from facegpt.model.annotator import FaceAnnotator
from facegpt.model.checkpoint import MORE_MEMORY, Checkpoint, CheckpointError
from facegpt.model.checkpoint import load as load_checkpoint
from facegpt.model.generation import generate_faces
from facegpt.model.imagination import TEMPERATURE, imagine
from facegpt.morphable import FaceModel, bundled
from facegpt.photo.config import DEFAULT_DETECTOR, DecodeConfig, DetectorConfig
from facegpt.photo.crop import Floats
from facegpt.photo.detectors import DetectorError
from facegpt.photo.finder import FaceCrop, FaceFinder, cut_all

Device = Literal["auto", "cpu", "cuda"]
Photo = TypeVar("Photo", bound=PhotoInput)
GPU_SHARE = 0.8
"""Of a GPU's memory, what micro-batches may take."""
ASKED_AT_ONCE = 32
PICTURE_SIDE = 336
"""Side in pixels of the square that a face keeps for people to look at."""


@dataclass(frozen=True)
class _PhotoCrops:
    """A photo on its way through the model: its faces as cut for the model and for people, or what is wrong with it."""

    name: str
    error: PhotoError | None = None
    image_id: str = ""
    uri: str | None = None
    size: tuple[int, int] = (0, 0)
    faces: Sequence[FaceCrop] = ()
    pictures: Sequence[NDArray[np.uint8]] = ()


class FaceGpt:
    """A FaceGPT with its face model and a face detector, each loaded when it is first needed; `load` loads all at once.

    `path`: a checkpoint's folder, `bundled`, or a name on the Hugging Face hub. `face_model`: the one that the
    checkpoint was trained on, `bundled` or a .safetensors of `facegpt import-face-model`. `device`: `auto` is a GPU if
    there is one. `detector`: its name, or its settings. `decode`: bounds on what is read. `micro_batch`: faces that the
    model takes at a time; absent, what a GPU's memory holds, 32 on the CPU. Names and defaults are those of a run.

    Raises (when loaded):
        LoadError: the checkpoint, the face model, the detector or the device cannot be had, or they do not fit.
        ValueError: a device or micro-batch that is none.
    """

    def __init__(
        self,
        path: str | Path = BUNDLED,
        *,
        face_model: str | Path = BUNDLED,
        device: Device = "auto",
        detector: str | DetectorConfig = DEFAULT_DETECTOR,
        decode: DecodeConfig | None = None,
        micro_batch: int | None = None,
    ) -> None:
        if device not in get_args(Device):
            raise ValueError(f"device is one of {', '.join(get_args(Device))}, not {device!r}")
        if micro_batch is not None and micro_batch < 1:
            raise ValueError(f"micro_batch is at least 1, not {micro_batch}")
        self.path, self.face_model_path = str(path), str(face_model)
        self.decode = DecodeConfig() if decode is None else decode
        self.detector = DetectorConfig(name=detector) if isinstance(detector, str) else detector
        cuda = torch.cuda.is_available()
        if device == "cuda" and not cuda:
            raise LoadError("device is cuda, but torch finds no GPU here: say device='cpu'")
        self.device = "cuda" if cuda and device != "cpu" else "cpu"
        self._micro_batch = micro_batch

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model on its device, and its processor."""
        try:
            return load_checkpoint(self.path, self.device)
        except CheckpointError as error:
            raise LoadError(str(error)) from error

    @cached_property
    def face_model(self) -> FaceModel:
        """The face model, on the CPU."""
        name = self.face_model_path
        try:
            found = bundled() if name == BUNDLED else FaceModel.load(Path(name).expanduser())
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise LoadError(f"not enough memory for the face model {name}: {MORE_MEMORY}") from error
            raise LoadError(f"{error}; a checkpoint needs the face model it was trained on") from error
        if self.checkpoint.model.config.face_model_sha256 != found.sha256:
            raise LoadError(f"{self.path} was trained on another face model than {found.id}")
        return found

    @cached_property
    def finder(self) -> FaceFinder:
        """The detector, and what cuts the model's crops."""
        try:
            return FaceFinder(self.decode, self.detector, int(self.checkpoint.model.config.crop_size))
        except DetectorError as error:
            raise LoadError(str(error)) from error

    @cached_property
    def annotator(self) -> FaceAnnotator:
        """The model from crops to annotations."""
        model = self.face_model if self.device == "cpu" else copy.deepcopy(self.face_model).to(self.device)
        return FaceAnnotator(self.checkpoint, model, self.device)

    @cached_property
    def micro_batch(self) -> int:
        """How many faces the model takes at a time; the last digits of what it says depend on it."""
        return self._micro_batch or self.annotator.crops_at_once(GPU_SHARE)

    @overload
    def __call__(self, photo: PhotoInput) -> Faces: ...

    @overload
    def __call__(self, photo: list[Photo] | tuple[Photo, ...]) -> list[Faces]: ...

    def __call__(self, photo: PhotoInput | list[Photo] | tuple[Photo, ...]) -> Faces | list[Faces]:
        """Finds and reconstructs the faces of a photo, the surest first; of many photos, one such list for each.

        A photo is a path, the bytes of an image file, a PIL picture, or upright uint8 RGB pixels (height, width, 3).
        Faces of many photos go through the model together. One of many that cannot be read does not keep the others:
        its list is empty, says why in its `error`, and a warning says it as well.

        Raises:
            PhotoError: the only photo cannot be read.
            TypeError: a photo of another kind.
        """
        if not isinstance(photo, list | tuple):
            (faces,) = self._faces([self._crops_of(photo, name_of(photo))])
            if faces.error is not None:
                raise faces.error
            return faces
        names = [name_of(one, number) for number, one in enumerate(photo)]
        many = self._faces([self._crops_of(one, name) for one, name in zip(photo, names, strict=True)])
        for faces in many:
            if faces.error is not None:
                warnings.warn(str(faces.error), stacklevel=2)
        return many

    def ask(self, photo: PhotoInput, question: str) -> list[Answer]:
        """Answers a question in plain words about each face of a photo, the surest first.

        Raises:
            PhotoError: the photo cannot be read.
            ValueError: there are no words in the question.
        """
        words = plain_question(question)
        cropped = self._crops_of(photo, name_of(photo))
        if cropped.error is not None:
            raise cropped.error
        model, processor = self.checkpoint.model, self.checkpoint.processor
        texts: list[str] = []
        for start in range(0, len(cropped.faces), ASKED_AT_ONCE):
            crops = np.stack([face.crop for face in cropped.faces[start : start + ASKED_AT_ONCE]])
            pixels = processor.pixel_values(crops).to(self.device)
            texts += generate_faces(model, processor, pixels, question=words).texts
        return [
            Answer(text, face.face_id, face.face_index, face.box, face.det_score)
            for face, text in zip(cropped.faces, texts, strict=True)
        ]

    def imagine(
        self, text: str, *, count: int = 4, seed: int = 0, temperature: float = TEMPERATURE
    ) -> list[ImaginedFace]:
        """Makes `count` faces that a description fits, of `seed` and the seeds after it; what the text does not name
        varies with the seed, and with the `temperature`: at 0 all are alike.

        Raises:
            ValueError: no words, a number below its bound, or a checkpoint that was not trained to imagine.
            LoadError: the checkpoint was trained on another face model.
        """
        if count < 1 or seed < 0 or temperature < 0:
            raise ValueError("count is at least 1, seed and temperature are not negative")
        seeds, palette = range(seed, seed + count), self.face_model.albedo_examples.to(self.device)
        theta = imagine(
            self.checkpoint.model, self.checkpoint.processor, text, seeds, palette, temperature=temperature
        ).to("cpu")
        return [
            ImaginedFace(text, one, theta[index : index + 1], self.face_model)
            for index, one in enumerate(seeds)
        ]

    def _crops_of(self, photo: PhotoInput, name: str) -> _PhotoCrops:
        """Decodes a photo and cuts its faces; its pixels are not kept."""
        finder = self.finder
        try:
            opened = open_photo(photo, self.decode, name, finder.detector.sees)
            faces = finder.find(opened.image, opened.image_id)
            larger = [_larger(face.crop_matrix, finder.crop_size) for face in faces]
            pictures = cut_all(opened.image, larger, PICTURE_SIDE)
        except PhotoError as error:
            return _PhotoCrops(name, error)
        except Exception as error:
            # Whatever a library throws at one photo must not cost the others.
            failure = PhotoError(name, f"{type(error).__name__}: {' '.join(str(error).split())}")
            failure.__cause__ = error
            return _PhotoCrops(name, failure)
        size = (opened.image.width, opened.image.height)
        return _PhotoCrops(
            name, image_id=opened.image_id, uri=opened.uri, size=size, faces=faces, pictures=pictures
        )

    def _faces(self, photos: list[_PhotoCrops]) -> list[Faces]:
        """The faces of photos, all of which go through the model together."""
        crops = [face.crop for photo in photos for face in photo.faces]
        annotations = iter(self.annotator.annotate(crops, self.micro_batch) if crops else [])
        return [self._one(photo, [next(annotations) for _ in photo.faces]) for photo in photos]

    def _one(self, photo: _PhotoCrops, annotations: list[FaceAnnotation]) -> Faces:
        if photo.error is not None:
            return Faces([], photo.name, error=photo.error)
        image_id, uri, size = photo.image_id, photo.uri, photo.size
        if not all(is_finite(annotation) for annotation in annotations):
            error = PhotoError(photo.name, "the model gave numbers that are not finite")
            return Faces([], photo.name, image_id, size, error)
        faces = [
            Face.from_row(
                row_of(face, annotation, image_id=image_id, uri=uri, shard=None, mesh=True),
                face.crop,
                picture,
                self.face_model,
            )
            for face, annotation, picture in zip(photo.faces, annotations, photo.pictures, strict=True)
        ]
        return Faces(faces, photo.name, image_id, size)


def load(
    path: str | Path = BUNDLED,
    *,
    face_model: str | Path = BUNDLED,
    device: Device = "auto",
    detector: str | DetectorConfig = DEFAULT_DETECTOR,
    decode: DecodeConfig | None = None,
    micro_batch: int | None = None,
) -> FaceGpt:
    """Loads a FaceGPT with its face model and detector; `FaceGpt` explains the arguments and the errors."""
    model = FaceGpt(
        path,
        face_model=face_model,
        device=device,
        detector=detector,
        decode=decode,
        micro_batch=micro_batch,
    )
    # Whatever is missing is said now, not at the first photo.
    _ = model.annotator, model.finder
    return model


def plain_question(text: str) -> str:
    """Writes a question as the model learned them, in lower case without question mark; raises ValueError if empty."""
    words = text.strip().rstrip("?").strip().lower()
    if not words:
        raise ValueError("the question is empty")
    return words


def _larger(matrix: Floats, crop_size: int) -> Floats:
    """The matrix (2, 3) to the same square, `PICTURE_SIDE` pixels wide."""
    scale = PICTURE_SIDE / crop_size
    larger = matrix * scale
    larger[:, 2] += (scale - 1) / 2
    return larger
