"""The trunk of the small tower: the convolutional network that reads anchors and a guess of theta off a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facegpt.model.tower.albedo_fit import AlbedoFit
from facegpt.model.tower.layers import channel_deviation, convolution, reduced, reduction, stages
from facegpt.model.tower.point_fit import PointFit
from facegpt.model.tower.point_maps import PointMaps, colours_at
from facegpt.model.tower.unwrap import Unwrap

if TYPE_CHECKING:
    from facegpt.model.tower.config import ConvVisionConfig


@dataclass(frozen=True)
class TrunkOutput:
    """What the trunk reads off B pictures.

    `summary` (B,D); `guess` (B,Z), a first guess of the face head's z; `points` (B,K,2) and `spread` (B,K), the anchors
    as `PointMaps` gives them; `fitted_albedo` (B,A), the coefficients that `AlbedoFit` found, which the guess includes,
    or None for a trunk without such a fit.
    """

    summary: Tensor
    guess: Tensor
    points: Tensor
    spread: Tensor
    fitted_albedo: Tensor | None = None


class FaceTrunk(nn.Module):
    """The network from pictures (B,3,W,W), sRGB in 0..1, to a `TrunkOutput`, in two looks at each picture.

    The first look, at the picture reduced, finds anchors (`PointMaps`) and fits the face model to them (`PointFit`).
    The second look, in full sharpness, is at the face laid flat along that fit (`Unwrap`): details of shape and
    expression, which change a picture a hundred times less than pose does, then always lie in the same place.
    """

    def __init__(self, config: ConvVisionConfig) -> None:
        super().__init__()
        c = config
        self.reduced_size = c.reduced_size
        self.stem = convolution(c.num_channels, c.widths[0], 2)
        self.stages = stages(c.widths, c.blocks)
        self.reduce = reduction(c.widths[-1], c.reduced_width)
        self.points = PointMaps(c.widths[1:], c.point_width, c.num_points)
        self.fit = PointFit(c.num_points, c.n_shape, c.n_expression)
        self.unwrap = Unwrap(c.num_points, c.unwrapped_side, c.unwrapped_detail)
        widths = c.unwrapped_widths
        # Each cell has the colours, how far its points lie from the fit (u, v) and the logarithm of their spread.
        self.second_look = nn.Sequential(
            convolution(c.num_channels + 3, widths[0], 2),
            *stages(widths, c.unwrapped_blocks),
            reduction(widths[-1], c.unwrapped_reduced_width),
        )
        measured = self.fit.n_features + 6 * c.num_points
        self.standardise = nn.BatchNorm1d(measured, affine=False)
        n_features = c.reduced_width * c.final_side**2 + c.unwrapped_reduced_width * c.unwrapped_final_side**2
        self.albedo = AlbedoFit(c.n_albedo, c.albedo_side) if c.albedo_side else None
        self.albedo_first = c.n_shape + c.n_expression
        n_albedo = c.n_albedo if c.albedo_side else 0
        self.summary = nn.Linear(
            n_features + 2 * c.num_channels + measured + n_albedo, c.summary_width, bias=False
        )
        # Before training, summaries of different pictures are nearly equal; the batch norm removes what they share.
        self.whiten = nn.BatchNorm1d(c.summary_width)
        self.guess = nn.Linear(2 * c.summary_width, c.n_guess)

    def forward(self, pixel_values: Tensor) -> TrunkOutput:
        small = reduced(pixel_values, self.reduced_size)
        mean = small.mean((2, 3))
        deviation, of_all = channel_deviation(small, mean)
        last, points, spread = self._locate(small, mean.mean(1), of_all)
        # No gradient flows back to the anchors from what is computed of them: they learn from their true places alone.
        places, deviations = points.detach(), spread.detach()
        fitted = self.fit(places, deviations)
        residual = fitted[:, -2 * places.shape[1] :].unflatten(1, places.shape[1:]).detach()
        values = torch.cat([20 * residual, deviations.log()[..., None] + 3], -1)
        flat = self.unwrap(pixel_values, places - residual, values, mean, 1 / (deviation + 0.05))
        colours = colours_at(small, places).flatten(1)
        measured = torch.cat([fitted, places.flatten(1), deviations.log().flatten(1), colours], 1)
        parts = [
            self.reduce(last),
            self.second_look(flat),
            4 * mean - 2,
            8 * deviation - 2,
            self.standardise(measured).clamp(-5, 5),
        ]
        fitted_albedo = None
        if self.albedo is not None:
            fitted_albedo = self.albedo(self._colours(flat, mean, deviation), self.fit.rotation(fitted))
            parts.append(fitted_albedo)
        summary = self.whiten(self.summary(torch.cat(parts, 1)))
        guess = self.guess(torch.cat([summary, nn.functional.gelu(summary)], 1))
        return TrunkOutput(
            summary, self.with_fitted_albedo(guess, fitted_albedo), points, spread, fitted_albedo
        )

    def with_fitted_albedo(self, values: Tensor, fitted_albedo: Tensor | None) -> Tensor:
        """Adds the fitted albedo (R,A) to `values`: z or theta (R,N), with albedo behind shape and expression."""
        if self.albedo is None or fitted_albedo is None:
            return values
        before, albedo, after = values.tensor_split(
            [self.albedo_first, self.albedo_first + fitted_albedo.shape[1]], 1
        )
        return torch.cat([before, albedo + self.albedo.added(fitted_albedo, albedo), after], 1)

    @staticmethod
    def _colours(flat: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Undoes the standardisation of the colours of a face laid flat: (B,3,S,S) sRGB."""
        channels = mean.shape[1]
        return flat[:, :channels] * (deviation[..., None, None] + 0.05) + mean[..., None, None]

    def locate(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runs the first look alone: the last feature map (B,C,S,S) of pictures, and the anchors (B,K,2) and their
        spreads (B,K) as `PointMaps` gives them.
        """
        small = reduced(pixel_values, self.reduced_size)
        mean = small.mean((2, 3))
        return self._locate(small, mean.mean(1), channel_deviation(small, mean)[1])

    def _locate(self, small: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runs the first look at reduced pictures of which the mean and the deviation (B,) of all values are known."""
        mean, deviation = mean[:, None, None, None], deviation[:, None, None, None]
        x = ((small - mean) / (deviation + 0.05)).contiguous(memory_format=torch.channels_last)
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        points, spread = self.points(maps)
        return x, points, spread
