"""Everything that decides a training run: two runs of one config on one machine give the same weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from facegpt.synthetic.parts import check_parts


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; see `theta_losses` and `photos.teacher.MeanTeacher.losses` for their units."""

    points: float = 2.0
    landmarks: float = 30.0
    shape: float = 8.0
    surface: float = 4.0
    expression: float = 15.0
    visible: float = 10.0
    rotation: float = 10.0
    translation: float = 2.0
    albedo: float = 2.0
    lighting: float = 0.3
    colour: float = 4.0
    log_error: float = 0.1
    photo_points: float = 0.5
    photo_face: float = 0.5
    photometric: float = 3.0


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `facegpt train`; shards of `shard_faces` rendered faces, each shown about `reuse` times.

    `initial`: a checkpoint to start from ("bundled", a folder, a hub name) instead of untrained weights, or a list of
    them, for the mean of their weights (`soup.soup`). `size`: side of the crops in px; a checkpoint whose crops are
    half as large is grown to look closer (`closer.looking_closer`). `backbone`: a vision-language model of transformers
    (a folder, a hub name) that is to become a FaceGPT, in the stage of `face_steps`: with adapters of `lora_rank`, or,
    if that is 0, with all of its weights; `retain_weight` holds its answers to ordinary questions where they were.
    `face_model`: "bundled", or a file of `facegpt import-face-model` whose faces can be rendered as portraits. The
    small FaceGPT has six stages (see `stages.Stage`) of `points_steps`, `trunk_steps`, `polish_steps`, `photos_steps`,
    `language_steps` and `together_steps`, any of which may be 0.
    `photos`: folders, lists, tars or Parquet files, local or on S3, whose faces, as `detector` finds them, the stage of
    photos learns from without any label, or outputs of `facegpt annotate`, of which it takes the faces of at least
    `photo_quality`: `photo_batch` in each step beside the rendered ones, of which `photo_clean` are compared with their
    rendering; their teacher keeps `teacher_ema` of itself in each step, the rest it takes over from the student. In the
    last two stages, `descriptions` faces of a batch are also learned from words alone. `without`: what rendered faces
    are to lack (`synthetic.parts.PARTS`), to measure what it is worth. `workers`
    processes train together, each on `batch` faces of its own. `bfloat16`: whether the forward pass is computed in it;
    by default wherever `device` has instructions for it (`precision.in_bfloat16`).
    """

    output: str
    initial: tuple[str, ...] = ()
    backbone: str | None = None
    lora_rank: int = 0
    face_model: str = "bundled"
    photos: tuple[str, ...] = ()
    detector: str = "dlib"
    synthetic_folder: str = ".cache/synthetic"
    shard_faces: int = 4096
    without: tuple[str, ...] = ()
    size: int = 224
    seed: int = 0
    points_steps: int = 4000
    trunk_steps: int = 6000
    polish_steps: int = 3000
    photos_steps: int = 0
    language_steps: int = 4000
    together_steps: int = 0
    face_steps: int = 0
    batch: int = 32
    workers: int = 1
    photo_batch: int = 16
    photo_clean: int = 6
    photo_quality: float = 0.0
    reuse: float = 4.0
    pool: int = 8
    first_shard: int = 0
    points_learning_rate: float = 4e-3
    learning_rate: float = 1.5e-3
    polish_learning_rate: float = 5e-4
    photos_learning_rate: float = 5e-4
    together_learning_rate: float = 4e-4
    face_learning_rate: float = 2e-4
    final_learning_rate: float = 1e-5
    warmup: int = 200
    weight_decay: float = 0.02
    clip: float = 50.0
    ema: float = 0.998
    teacher_ema: float = 0.9995
    text_every: int = 4
    text_weight: float = 1.0
    descriptions: int = 16
    imagine_weight: float = 0.5
    named_weight: float = 0.5
    retain_weight: float = 1.0
    bfloat16: bool | None = None
    evaluate_every: int = 500
    save_every: int = 250
    threads: int = 2
    device: str = "cpu"
    weights: LossWeights = field(default_factory=LossWeights)

    @property
    def steps(self) -> int:
        """Length of the whole run."""
        return (
            self.points_steps
            + self.trunk_steps
            + self.polish_steps
            + self.photos_steps
            + self.language_steps
            + self.together_steps
            + self.face_steps
        )


def train_config(values: Mapping[str, Any]) -> TrainConfig:
    """A TrainConfig from a mapping, `weights` nested; raises ValueError naming the nearest key or the wrong type."""
    values = dict(values)
    if isinstance(values.get("initial"), str):
        values["initial"] = [values["initial"]]
    weights = values.get("weights", {})
    if not isinstance(weights, Mapping):
        raise ValueError("training config key 'weights' must be a mapping of loss terms to numbers")
    _check(weights, LossWeights(), "weights.")
    _check({k: v for k, v in values.items() if k != "weights"}, TrainConfig(output=""), "")
    if not values.get("output"):
        raise ValueError("the training config names no 'output' folder")
    plain = {name: value for name, value in values.items() if name != "weights"}
    for name in ("initial", "photos", "without"):
        plain[name] = tuple(plain.get(name, ()))
    check_parts(plain["without"])
    if plain.get("photos_steps") and not plain["photos"]:
        raise ValueError(
            "there are photos_steps, but no 'photos': a list of folders, tars or lists of images"
        )
    if plain.get("workers", 1) < 1:
        raise ValueError("training wants at least one of 'workers'")
    _check_backbone(plain)
    return TrainConfig(**plain, weights=LossWeights(**{k: float(v) for k, v in weights.items()}))


def _check_backbone(values: dict[str, Any]) -> None:
    """Sets the stages of the small FaceGPT to 0 for a backbone, which has none of them; raises ValueError for a mix."""
    small = [f"{name}_steps" for name in ("points", "trunk", "polish", "photos", "language", "together")]
    if not values.get("backbone"):
        if values.get("lora_rank"):
            raise ValueError("lora_rank is for a 'backbone', and there is none")
        return
    if values.get("initial"):
        raise ValueError("'initial' and 'backbone' are two things to start from: name one of them")
    for name in small:
        if values.setdefault(name, 0):
            raise ValueError(f"{name} is for the small FaceGPT; a backbone learns in face_steps")
    if not values.get("face_steps"):
        raise ValueError("a backbone learns in face_steps, and there are none")


def _check(values: Mapping[str, Any], default: object, prefix: str) -> None:
    known = {f.name: getattr(default, f.name) for f in fields(default)}  # type: ignore[arg-type]
    hints = get_type_hints(type(default))
    for name, value in values.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0)[0]
            raise ValueError(
                f"unknown training config key '{prefix}{name}'; the nearest one is '{prefix}{near}'"
            )
        wanted = known[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if wanted is None:
            fits = isinstance(value, hints[name])
        elif isinstance(wanted, tuple):
            fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
        else:
            fits = number if isinstance(wanted, float) else isinstance(value, type(wanted))
        if not fits:
            raise ValueError(
                f"training config key '{prefix}{name}' is {value!r}, like {EXAMPLES.get(name, repr(wanted))} is wanted"
            )


EXAMPLES = {
    "initial": "'bundled'",
    "backbone": "'folder/of/a/model'",
    "photos": "['photos/']",
    "without": "['glasses']",
    "bfloat16": "True",
}
"""What is wanted for what has no value of its own to show it."""
