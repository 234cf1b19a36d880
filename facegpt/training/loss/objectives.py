"""The objective of each training stage: a batch in, loss terms out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegpt.language.attributes import REQUIRED, SCALES, measures
from facegpt.language.features import FORM, FormMeasures
from facegpt.model.modeling import FaceGptForConditionalGeneration, trunk_of
from facegpt.model.tower.trunk import FaceTrunk, TrunkOutput
from facegpt.morphable import FaceModel, Theta
from facegpt.morphable.point_subset import LossPoints
from facegpt.training.config import TrainConfig
from facegpt.training.data.pool import Batch
from facegpt.training.data.writer import Described, Text
from facegpt.training.loss.losses import energy, outside, theta_losses
from facegpt.training.loss.point_loss import anchor_points, points_loss
from facegpt.training.precision import autocast

Terms = dict[str, Tensor]
TRUNK = "trunk_"
STRESS = 3.0
"""The weight, among the visible attributes, of those that a caption must not leave out; the others have 1."""


class Objectives:
    """The loss terms (scalars) of each stage; those named in `LossWeights` add up to the loss."""

    def __init__(self, config: TrainConfig, face_model: FaceModel) -> None:
        self.config, self.face_model = config, face_model
        self.size = config.start.crop_size
        self.device = torch.device(config.compute.device)
        self.skin = LossPoints(face_model).to(self.device)
        self.form = FormMeasures(LossPoints(face_model, skin=0)).to(self.device)
        self.margins = torch.tensor([scale.margin for scale in SCALES.values()], device=self.device)
        stress = torch.tensor([STRESS if name in REQUIRED else 1.0 for name in SCALES], device=self.device)
        self.stress = stress / stress.sum()

    def points(self, model: FaceGptForConditionalGeneration, batch: Batch, images: Tensor) -> Terms:
        """Computes the loss of the points, and their mean error in px."""
        trunk = trunk_of(model)
        with autocast(self.config):
            _, points, spread = trunk.locate(images)
        return self._points(trunk, batch, points, spread)

    def trunk(self, model: FaceGptForConditionalGeneration, batch: Batch, images: Tensor) -> Terms:
        """Computes the loss of the points, and of the trunk's estimate of the face."""
        return self._trunk(model, batch, self.features(model, images))

    def features(self, model: FaceGptForConditionalGeneration, images: Tensor) -> TrunkOutput:
        """Runs the trunk on the pictures (B,3,W,W)."""
        with autocast(self.config):
            features: TrunkOutput = trunk_of(model)(images)
        return features

    def estimate(self, model: FaceGptForConditionalGeneration, features: TrunkOutput) -> Theta:
        """Reads the trunk's estimate of the faces off its features, without gradients."""
        return self._split(model.face_head.scaled(features.guess.detach())[0])

    def language(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        images: Tensor,
        *,
        features: TrunkOutput,
        text: Text,
        noise: torch.Generator,
        together: bool = False,
    ) -> Terms:
        """Computes the loss of the face of <FACE>, and of the text and the imagined faces, if there are any; `together`
        with the losses of the trunk, named `trunk_`. `features` are the trunk's of the pictures.

        The target of <FACE> is the trunk's estimate: the truth would add nothing but the noise of what the picture does
        not show. Terms named `true_` measure it against the truth.
        """
        text = text.to(self.device)
        with autocast(self.config):
            output = model(
                input_ids=text.ids,
                attention_mask=text.attention,
                pixel_values=images,
                labels=text.labels,
                label_weights=text.weights,
                trunk_output=features,
            )
        if output.theta is None or output.log_error is None:
            raise RuntimeError("a training batch without a <FACE> token")
        terms, _ = theta_losses(
            self._split(output.theta), self.estimate(model, features), None, self.skin, self.size
        )
        true = self._face(batch, output.theta, output.log_error)
        terms["log_error"] = true.pop("log_error")
        if output.loss is not None:
            terms["text"] = output.loss
        if text.described is not None:
            terms |= self._imagined(model, batch, text.described, noise)
        if together:
            trunk = self._trunk(model, batch, features)
            terms |= {f"{TRUNK}{name}": term for name, term in trunk.items()}
        return {**terms, **{f"true_{name}": term.detach() for name, term in true.items()}}

    def face(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        inputs: dict[str, Tensor],
        text: Text,
        noise: torch.Generator,
    ) -> Terms:
        """Computes the loss of the face of <FACE> against the true one, of the text and of the imagined faces, for a
        model of any backbone; `inputs` are its processor's for the pictures and the positions of `text`.
        """
        text = text.to(self.device)
        with autocast(self.config):
            output = model(
                input_ids=text.ids,
                attention_mask=text.attention,
                labels=text.labels,
                label_weights=text.weights,
                **inputs,
            )
        if output.theta is None or output.log_error is None:
            raise RuntimeError("a training batch without a <FACE> token")
        terms = self._face(batch, output.theta, output.log_error)
        if output.loss is not None:
            terms["text"] = output.loss
        if text.described is not None:
            terms |= self._imagined(model, batch, text.described, noise)
        return terms

    def _imagined(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        described: Described,
        noise: torch.Generator,
    ) -> Terms:
        """Computes how far faces imagined from descriptions are from the distribution of the described ones (`energy`),
        and from having what is named (`outside`).
        """
        count = len(described.ids)
        draws = torch.randn(2 * count, model.config.noise_size, generator=noise).to(self.device)
        ids, attention = described.ids.repeat(2, 1), described.attention.repeat(2, 1)
        with autocast(self.config):
            output = model(input_ids=ids, attention_mask=attention, noise=draws)
        if output.theta is None:
            raise RuntimeError("descriptions without a <FACE> token")
        both = self._split(output.theta)
        values = torch.cat([self._visible(both), self.form(both.shape) / FORM.margin], 1)
        return {
            "imagined": energy(both[:count], both[count:], batch.theta[:count].to(self.device)),
            "named": outside(values, described.ranges.repeat(2, 1, 1)),
        }

    def loss(self, terms: Terms) -> Tensor:
        """Sums the terms that have a weight, weighted."""
        weights = self.config.weights.model_dump()
        weighted = [
            weights[name.removeprefix(TRUNK)] * term
            for name, term in terms.items()
            if name.removeprefix(TRUNK) in weights
        ]
        return torch.stack(weighted).sum()

    def _trunk(self, model: FaceGptForConditionalGeneration, batch: Batch, features: TrunkOutput) -> Terms:
        points = self._points(trunk_of(model), batch, features.points, features.spread)
        return {**points, **self._face(batch, *model.face_head.scaled(features.guess))}

    def _points(self, trunk: FaceTrunk, batch: Batch, points: Tensor, spread: Tensor) -> Terms:
        true = anchor_points(trunk.fit, batch.theta.to(self.device), batch.perspective.to(self.device))
        inside = (true.abs() < 0.5).all(-1)
        pixels = (points - true).norm(dim=-1)[inside].mean() * self.size
        return {"points": points_loss(points, spread, true), "points_px": pixels.detach()}

    def _face(self, batch: Batch, theta: Tensor, log_error: Tensor) -> Terms:
        landmarks = batch.landmarks2d.to(self.device)
        predicted, true = self._split(theta), batch.theta.to(self.device)
        terms, nme = theta_losses(predicted, true, landmarks, self.skin, self.size)
        visible = nn.functional.smooth_l1_loss(
            self._visible(predicted), self._visible(true), reduction="none"
        )
        error = nn.functional.l1_loss(log_error, nme.detach().clamp(0.3, 60).log())
        return {
            **terms,
            "visible": (visible * self.stress).sum(1).mean(),
            "log_error": error,
            "nme": nme.detach().mean(),
        }

    def _visible(self, theta: Theta) -> Tensor:
        """Measures the visible attributes (B,17) in units of their margins."""
        values = measures(theta.expression, theta.rotation, theta.lighting, self.face_model.expression_names)
        return values / self.margins

    def _split(self, theta: Tensor) -> Theta:
        f = self.face_model
        return Theta.split(theta, f.n_shape, f.n_expression, f.n_albedo)
