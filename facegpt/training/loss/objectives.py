"""What each stage of training descends: a batch in, loss terms out."""

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
"""How much more what a caption must not leave out counts among the visible attributes."""


class Objectives:
    """Loss terms (scalars) by stage; those named in `LossWeights`, and `text`, add up to the loss."""

    def __init__(self, config: TrainConfig, face_model: FaceModel) -> None:
        self.config, self.face_model = config, face_model
        self.device = torch.device(config.device)
        self.skin = LossPoints(face_model).to(self.device)
        self.form = FormMeasures(LossPoints(face_model, skin=0)).to(self.device)
        self.margins = torch.tensor([scale.margin for scale in SCALES.values()], device=self.device)
        stress = torch.tensor([STRESS if name in REQUIRED else 1.0 for name in SCALES], device=self.device)
        self.stress = stress / stress.sum()

    def points(self, model: FaceGptForConditionalGeneration, batch: Batch, images: Tensor) -> Terms:
        """The loss of the points, and their mean error in px."""
        trunk = trunk_of(model)
        with autocast(self.config):
            _, points, spread = trunk.locate(images)
        return self._points(trunk, batch, points, spread)

    def trunk(self, model: FaceGptForConditionalGeneration, batch: Batch, images: Tensor) -> Terms:
        """The loss of the points, and of the trunk's own guess of the face."""
        seen = self.look(model, images)
        found = self._points(trunk_of(model), batch, seen.points, seen.spread)
        return {**found, **self._face(batch, *model.face_head.scaled(seen.guess))}

    def look(self, model: FaceGptForConditionalGeneration, images: Tensor) -> TrunkOutput:
        """What the trunk sees in the pictures."""
        with autocast(self.config):
            seen: TrunkOutput = trunk_of(model)(images)
        return seen

    def guessed(self, model: FaceGptForConditionalGeneration, seen: TrunkOutput) -> Theta:
        """The faces that the trunk guesses, without gradients."""
        return self._split(model.face_head.scaled(seen.guess.detach())[0])

    def language(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        images: Tensor,
        seen: TrunkOutput,
        text: Text,
        noise: torch.Generator,
        together: bool = False,
    ) -> Terms:
        """The loss of the face that <FACE> becomes, and of the text and the imagined faces, if there are any;
        `together` with the losses of the trunk, named `trunk_`. `seen` is what the trunk sees in the pictures.

        <FACE> is to become what the trunk guesses: the truth would add nothing but the noise of what the picture does
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
                trunk_output=seen,
            )
        if output.theta is None or output.log_error is None:
            raise RuntimeError("a training batch without a <FACE> token")
        terms, _ = theta_losses(
            self._split(output.theta), self.guessed(model, seen), None, self.skin, self.config.size
        )
        true = self._face(batch, output.theta, output.log_error)
        terms["log_error"] = true.pop("log_error")
        if output.loss is not None:
            terms["text"] = output.loss
        if text.described is not None:
            terms |= self._imagined(model, batch, text.described, noise)
        if together:
            own = {
                **self._points(trunk_of(model), batch, seen.points, seen.spread),
                **self._face(batch, *model.face_head.scaled(seen.guess)),
            }
            terms |= {f"{TRUNK}{name}": term for name, term in own.items()}
        return {**terms, **{f"true_{name}": term.detach() for name, term in true.items()}}

    def face(
        self,
        model: FaceGptForConditionalGeneration,
        batch: Batch,
        shown: dict[str, Tensor],
        text: Text,
        noise: torch.Generator,
    ) -> Terms:
        """The loss of the face that <FACE> becomes, against the true one, of the text and of the imagined faces, for a
        model of any backbone; `shown` is what it sees and knows of the places of `text`.
        """
        text = text.to(self.device)
        with autocast(self.config):
            output = model(
                input_ids=text.ids,
                attention_mask=text.attention,
                labels=text.labels,
                label_weights=text.weights,
                **shown,
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
        """How far the faces imagined of descriptions are from being drawn as the described ones are, and from having
        what is named.
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
        """The weighted sum of the terms that have a weight."""
        c = self.config
        weights = {
            **vars(c.weights),
            "text": c.text_weight,
            "imagined": c.imagine_weight,
            "named": c.named_weight,
            "retained": c.retain_weight,
        }
        weighted = [
            weights[name.removeprefix(TRUNK)] * term
            for name, term in terms.items()
            if name.removeprefix(TRUNK) in weights
        ]
        return torch.stack(weighted).sum()

    def _points(self, trunk: FaceTrunk, batch: Batch, points: Tensor, spread: Tensor) -> Terms:
        true = anchor_points(trunk.fit, batch.theta.to(self.device), batch.perspective.to(self.device))
        inside = (true.abs() < 0.5).all(-1)
        pixels = (points - true).norm(dim=-1)[inside].mean() * self.config.size
        return {"points": points_loss(points, spread, true), "points_px": pixels.detach()}

    def _face(self, batch: Batch, theta: Tensor, log_error: Tensor) -> Terms:
        places = batch.landmarks2d.to(self.device)
        found, true = self._split(theta), batch.theta.to(self.device)
        terms, nme = theta_losses(found, true, places, self.skin, self.config.size)
        visible = nn.functional.smooth_l1_loss(self._visible(found), self._visible(true), reduction="none")
        own = nme.detach().clamp(0.3, 60).log()
        error = nn.functional.l1_loss(log_error, own)
        return {
            **terms,
            "visible": (visible * self.stress).sum(1).mean(),
            "log_error": error,
            "nme": nme.detach().mean(),
        }

    def _visible(self, theta: Theta) -> Tensor:
        """Visible attributes (B,17) in units of their margins."""
        found = measures(theta.expression, theta.rotation, theta.lighting, self.face_model.expression_names)
        return found / self.margins

    def _split(self, theta: Tensor) -> Theta:
        f = self.face_model
        return Theta.split(theta, f.n_shape, f.n_expression, f.n_albedo)
