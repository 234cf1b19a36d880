"""The stages of a run, in order: points, the vision tower's trunk, its polish, photos, the language, all together; for
a backbone, face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from facegpt.training.config import TrainConfig

Name = Literal["points", "trunk", "polish", "photos", "language", "together", "face"]


@dataclass(frozen=True)
class Stage:
    """Steps `first` to `last` - 1 of a run, with the peak of their learning rate.

    points: the places of points in the picture, on which all that follows rests. trunk: all that the tower knows, as
    its own guess of the face, without the language model. polish: the same with the statistics of its batch norms
    fixed, since those of a small batch are a noise that hides what is faint. photos: the same, with photos that nobody
    has labelled beside the rendered faces (`photos.teacher.MeanTeacher`). language: <FACE>, captions and dialogues;
    the trunk is held fixed, and its guess is what <FACE> has to become. Each is learned several times faster alone than
    together with the others. together: trunk and language at once, each with its own losses, and the trunk with that of
    the text as well: what captions need of a picture is not what moves the most points. face: all of a backbone, or its
    adapters, which has no trunk: the face that <FACE> becomes against the true one, and its text.
    """

    name: Name
    first: int
    last: int
    peak: float


def stages_of(config: TrainConfig) -> list[Stage]:
    """The stages of a run, without empty ones."""
    c, stages, first = config, list[Stage](), 0
    lengths: list[tuple[Name, int, float]] = [
        ("points", c.points_steps, c.points_learning_rate),
        ("trunk", c.trunk_steps, c.learning_rate),
        ("polish", c.polish_steps, c.polish_learning_rate),
        ("photos", c.photos_steps, c.photos_learning_rate),
        ("language", c.language_steps, c.learning_rate),
        ("together", c.together_steps, c.together_learning_rate),
        ("face", c.face_steps, c.face_learning_rate),
    ]
    for name, length, peak in lengths:
        if length:
            stages.append(Stage(name, first, first + length, peak))
        first += length
    return stages


def stage_at(config: TrainConfig, step: int) -> Stage:
    """The stage that `step` belongs to; the last one from there on."""
    stages = stages_of(config)
    return next((stage for stage in stages if step < stage.last), stages[-1])


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up from nothing, then a cosine down to `final_learning_rate`, in every stage."""
    stage = stage_at(config, step)
    done = step - stage.first
    if done < config.warmup:
        return stage.peak * (done + 1) / config.warmup
    progress = min(1.0, (done - config.warmup) / max(1, stage.last - stage.first - config.warmup))
    span = stage.peak - config.final_learning_rate
    return config.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * progress))
