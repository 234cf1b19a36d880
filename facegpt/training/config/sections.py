"""The sections of a training configuration, each with its defaults and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from facegpt.photo.config import DEFAULT_DETECTOR
from facegpt.settings import Section
from facegpt.synthetic.parts import check_parts


def _number(value: Any) -> Any:
    """Refuses yes and no, which pydantic takes for 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    return value


def _names(value: Any) -> Any:
    """Takes one name for a list of one."""
    return (value,) if isinstance(value, str) else value


def _parts(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        check_parts(names)
    except ValueError as error:
        raise PydanticCustomError("unknown_part", "{reason}", {"reason": str(error)}) from None
    return names


Whole = Annotated[int, Field(strict=True, ge=0)]
Counted = Annotated[int, Field(strict=True, ge=1)]
Factor = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Rate = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1)]
Above0 = Annotated[float, BeforeValidator(_number), Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]


DRAWS = 4
"""A batch is drawn from so many shards of the pool, in parts as equal as can be."""
HELD_OUT = 1_000_000
"""Shards numbered from here on are for validation and tests: training never asks for them."""
SMALL_STAGES = ("points", "trunk", "polish", "photos", "language", "together")
"""The stages of the small FaceGPT, which a backbone does not have."""


class StartConfig(Section):
    """What training starts from: nothing learned, checkpoints, or a backbone.

    `initial`: a checkpoint (`bundled`, a folder, a hub name), or a list of them, for the mean of their weights.
    `backbone`: a vision-language model of transformers (a folder, a hub name) that is to become a FaceGPT, with
    adapters of `lora_rank`, or, if that is 0, with all of its weights. `face_model`: `bundled`, or a file of
    `facegpt import-face-model` whose faces can be rendered as portraits. `crop_size`: side of the crops in px; a
    checkpoint whose crops are half as large is grown to it.
    """

    initial: Names = ()
    backbone: Text | None = None
    lora_rank: Whole = 0
    face_model: Text = "bundled"
    crop_size: Annotated[int, Field(strict=True, ge=16, le=4096)] = 224


class StageConfig(Section):
    """The length of a stage in optimiser steps, 0 to leave it out, and the peak of its learning rate."""

    steps: Whole
    learning_rate: Rate


class StagesConfig(Section):
    """The stages in the order in which they run, see `facegpt.training.stages.Stage`; `face` is that of a backbone."""

    points: StageConfig = StageConfig(steps=4000, learning_rate=4e-3)
    trunk: StageConfig = StageConfig(steps=6000, learning_rate=1.5e-3)
    polish: StageConfig = StageConfig(steps=3000, learning_rate=5e-4)
    photos: StageConfig = StageConfig(steps=0, learning_rate=5e-4)
    language: StageConfig = StageConfig(steps=4000, learning_rate=1.5e-3)
    together: StageConfig = StageConfig(steps=0, learning_rate=4e-4)
    face: StageConfig = StageConfig(steps=0, learning_rate=2e-4)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Fills in what is left out of a stage: each stage has defaults of its own."""
        if not isinstance(values, Mapping):
            return values
        usual = {name: field.get_default().model_dump() for name, field in cls.model_fields.items()}
        return {
            name: {**usual[name], **stage} if name in usual and isinstance(stage, Mapping) else stage
            for name, stage in values.items()
        }


class DataConfig(Section):
    """Rendered faces a step and worker (`batch`), drawn from `pool` shards at a time, each face about `reuse` times,
    from the shard `first_shard` on.
    """

    batch: Counted = 32
    reuse: Annotated[Above0, Field(le=10_000)] = 4.0
    pool: Counted = 8
    first_shard: Whole = 0


class RenderingConfig(Section):
    """The cache of rendered faces: shards of `shard_faces` in `folder`, rendered `without` parts of
    `facegpt.synthetic.parts.PARTS`, to measure what these are worth.
    """

    folder: Text = ".cache/synthetic"
    shard_faces: Counted = 4096
    without: Annotated[Names, AfterValidator(_parts)] = ()


class PhotosConfig(Section):
    """Photos without labels, for the stage of photos.

    `locations`: folders, lists, tars or Parquet files, local or on S3, whose faces `detector` finds, or outputs of
    `facegpt annotate`, of which the faces of at least `min_quality` are taken. `batch`: faces a step and worker beside
    the rendered ones, of which the student sees `clean` as they are and compares them with their rendering.
    `teacher_ema`: the share of itself that the teacher keeps in each step.
    """

    locations: Names = ()
    detector: Text = DEFAULT_DETECTOR
    min_quality: Share = 0.0
    batch: Counted = 16
    clean: Whole = 6
    teacher_ema: Share = 0.9995


class TextConfig(Section):
    """Captions and dialogues `every` so many steps (0: none); in those steps `descriptions` of the batch's faces, or
    all of them if it has fewer, are also learned from words alone.
    """

    every: Whole = 4
    descriptions: Whole = 16


class OptimiserConfig(Section):
    """AdamW. In every stage the learning rate rises for `warmup` steps and then falls to `final_learning_rate`.

    `clip`: greatest norm of the gradient (`.inf`: any). `ema`: the share that the average of the weights, which is
    what a run ends with, keeps of itself in each step.
    """

    warmup: Whole = 200
    final_learning_rate: Share = 1e-5
    weight_decay: Share = 0.02
    clip: Above0 = 50.0
    ema: Share = 0.998


class LossWeights(Section):
    """The weight of each term of the loss.

    Their units: `theta_losses`, `MeanTeacher.losses`; `text`: nats a token; `imagined`: `energy`; `named`: margins;
    `retained`: nats a token by which a backbone's answers to ordinary questions have moved.
    """

    points: Factor = 2.0
    landmarks: Factor = 30.0
    shape: Factor = 8.0
    surface: Factor = 4.0
    expression: Factor = 15.0
    visible: Factor = 10.0
    rotation: Factor = 10.0
    translation: Factor = 2.0
    albedo: Factor = 2.0
    lighting: Factor = 0.3
    colour: Factor = 4.0
    log_error: Factor = 0.1
    photo_points: Factor = 0.5
    photo_face: Factor = 0.5
    photometric: Factor = 3.0
    text: Factor = 1.0
    imagined: Factor = 0.5
    named: Factor = 0.5
    retained: Factor = 1.0


class ComputeConfig(Section):
    """`workers` processes that train together, each on `threads` CPU threads or, with `device` cuda, on a GPU.

    `bfloat16`: whether forward passes are computed in it; absent, wherever `device` has instructions for it.
    """

    workers: Counted = 1
    threads: Annotated[int, Field(strict=True, ge=1, le=4096)] = 2
    device: Annotated[str, Field(pattern=r"^(cpu|cuda)(:\d+)?$")] = "cpu"
    bfloat16: Annotated[bool, Field(strict=True)] | None = None


class SavingConfig(Section):
    """Steps between two evaluations on held-out rendered faces, and between two savings of the training state."""

    evaluate_every: Counted = 500
    save_every: Counted = 250
