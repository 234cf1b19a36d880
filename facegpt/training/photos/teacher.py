"""A mean teacher for photos without labels: a slow average of the model sets the target for a worse view of a photo."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.point_subset import LossPoints
from facegpt.training.config import TrainConfig
from facegpt.training.loss.losses import theta_losses
from facegpt.training.photos.crops import wide_side
from facegpt.training.photos.photometric import Photometric
from facegpt.training.photos.views import Change, View, degraded
from facegpt.training.precision import autocast

GEOMETRY = ("landmarks", "shape", "surface", "expression", "rotation", "translation")
"""The terms of `theta_losses` that a change of view or of the camera leaves as they are."""
TEACHER_SPREAD = 0.3
"""The spread of the teacher's views of a photo, see `View.draw`."""


@dataclass(frozen=True)
class Target:
    """The teacher's points (B,K,2), their spreads (B,K) and faces (B), as the student's view shows them."""

    points: Tensor
    spread: Tensor
    theta: Theta


class MeanTeacher:
    """Tarvainen and Valpola's mean teacher (NeurIPS 2017) on photos: the student sees a turned, shifted, zoomed, worse
    picture, and its targets are the estimates of its average on a good one.

    The teacher begins as what the stage began with and follows by `teacher_ema`, far more slowly than the average that
    is trained for: a quick one takes over what the student gets wrong, and both drift.
    """

    def __init__(
        self, config: TrainConfig, model: FaceGptForConditionalGeneration, face_model: FaceModel
    ) -> None:
        self.config, self.face_model = config, face_model
        self.model = deepcopy(model)
        module: nn.Module = self.model
        module.eval().requires_grad_(False)
        self.device = torch.device(config.compute.device)
        self.skin = LossPoints(face_model).to(self.device)
        self.photometric = Photometric(face_model).to(self.device)

    def begin(self, weights: dict[str, Tensor]) -> None:
        """Takes over `weights`."""
        self.model.load_state_dict(weights)

    @torch.no_grad()
    def follow(self, student: FaceGptForConditionalGeneration) -> None:
        """Moves the weights a little towards the student's."""
        # Not by name: weights that are tied have two.
        for weight, new in zip(self.model.parameters(), student.parameters(), strict=True):
            weight.lerp_(new, 1 - self.config.photos.teacher_ema)
        for buffer, measured in zip(self.model.buffers(), student.buffers(), strict=True):
            buffer.copy_(measured)

    def losses(
        self, student: FaceGptForConditionalGeneration, wide: Tensor, clean: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Computes the losses (scalars) on wide crops (B,3,S,S), the first `clean` of which the student sees
        undegraded.

        photo_points: distance from the teacher's points in units of its own spread there. photo_face: weighted sum of
        the terms `GEOMETRY`. photometric: see `Photometric`; of the clean ones, none if there are none.
        """
        size, count = self.config.start.crop_size, len(wide)
        if wide.shape[-1] != wide_side(size):
            raise ValueError(f"wide crops of {wide.shape[-1]} px, where {wide_side(size)} px are wanted")
        one, other = View.draw(count, TEACHER_SPREAD, generator), View.draw(count, 1.0, generator)
        target = self._target(one.cut(wide, size).to(self.device), Change.between(one, other).to(self.device))
        sharp = other.cut(wide, size)
        images = torch.cat([sharp[:clean], degraded(sharp[clean:], generator)]).to(self.device)
        with autocast(self.config):
            features = trunk_of(student)(images)
        inside = (target.points.abs() < 0.5).all(-1)
        distance = (features.points - target.points).square().sum(-1).add(1e-8).sqrt() / target.spread
        predicted = self._split(student.face_head.scaled(features.guess)[0])
        terms, _ = theta_losses(predicted, target.theta, None, self.skin, size)
        weights = self.config.weights.model_dump()
        losses = {
            "photo_points": distance[inside].mean(),
            "photo_face": torch.stack([weights[name] * terms[name] for name in GEOMETRY]).sum(),
        }
        if clean:
            losses["photometric"] = self.photometric(predicted[:clean], images[:clean])
        return losses

    @torch.no_grad()
    def _target(self, images: Tensor, change: Change) -> Target:
        with autocast(self.config):
            features = trunk_of(self.model)(images)
        theta = self._split(self.model.face_head.scaled(features.guess)[0])
        spread = change.zoom[:, None] * features.spread
        return Target(change.points(features.points), spread, change.theta(theta))

    def _split(self, theta: Tensor) -> Theta:
        f = self.face_model
        return Theta.split(theta, f.n_shape, f.n_expression, f.n_albedo)
