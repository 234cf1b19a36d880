"""The stages of a run, in order: points, the vision tower's trunk, its polish, photos, the language, all together; for
a backbone, face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from facegpt.training.config import TrainConfig

StageName = Literal["points", "trunk", "polish", "photos", "language", "together", "face"]


@dataclass(frozen=True)
class Stage:
    """A stage: steps `first` to `last` - 1 of a run, with the peak of their learning rate.

    points: the places of points in the picture, on which all that follows rests. trunk: all of the vision tower, by
    its estimate of the face, without the language model. polish: the same with the statistics of its batch norms
    fixed, since those of a small batch are a noise that hides what is faint. photos: the same, with photos that
    nobody has labelled beside the rendered faces (`photos.teacher.MeanTeacher`). language: <FACE>, captions and
    dialogues; the trunk is held fixed, and its estimate is what <FACE> has to become. Each is learned several times
    faster alone than together with the others. together: trunk and language at once, each with its own losses, and
    the trunk with that of the text as well: what captions need of a picture is not what moves the most points. face:
    all of a backbone, or its adapters, which has no trunk: the face that <FACE> becomes against the true one, and its
    text.
    """

    name: StageName
    first: int
    last: int
    peak: float


def stages_of(config: TrainConfig) -> list[Stage]:
    """Lists the stages of a run, without empty ones."""
    stages, first = list[Stage](), 0
    for name in get_args(StageName):
        stage = getattr(config.stages, name)
        if stage.steps:
            stages.append(Stage(name, first, first + stage.steps, stage.learning_rate))
        first += stage.steps
    return stages


def stage_at(config: TrainConfig, step: int) -> Stage:
    """Finds the stage that `step` belongs to; the last one from there on."""
    stages = stages_of(config)
    return next((stage for stage in stages if step < stage.last), stages[-1])


def learning_rate(config: TrainConfig, step: int) -> float:
    """Computes the learning rate: a linear warm-up from nothing, then a cosine down to `final_learning_rate`, in every
    stage.
    """
    stage = stage_at(config, step)
    warmup, final = config.optimiser.warmup, config.optimiser.final_learning_rate
    done = step - stage.first
    if done < warmup:
        return stage.peak * (done + 1) / warmup
    progress = min(1.0, (done - warmup) / max(1, stage.last - stage.first - warmup))
    return final + (stage.peak - final) * 0.5 * (1 + math.cos(math.pi * progress))
