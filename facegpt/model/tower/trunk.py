"""What the small vision tower makes of a picture before it speaks: points, a fitted face, and a second look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facegpt.model.tower.albedo_fit import AlbedoFit
from facegpt.model.tower.layers import convolution, reduction, stages
from facegpt.model.tower.point_fit import PointFit
from facegpt.model.tower.point_maps import PointMaps, colours_at
from facegpt.model.tower.unwrap import Unwrap

if TYPE_CHECKING:
    from facegpt.model.tower.config import ConvVisionConfig


@dataclass(frozen=True)
class Seen:
    """Of B pictures: the summary (B,D), a first guess of the face head's z (B,Z), points (B,K,2) and spreads (B,K), and
    what `AlbedoFit` read off them (B,A), if the trunk has one; the guess has that already.
    """

    summary: Tensor
    guess: Tensor
    points: Tensor
    spread: Tensor
    read: Tensor | None = None


class FaceTrunk(nn.Module):
    """Looks twice. The first look, at the picture reduced, finds points (`PointMaps`) and fits the face model to them
    (`PointFit`); the second lays the face flat along that fit (`Unwrap`), in full sharpness, so that what is left to
    see, a hundredth of what pose does to a picture, is always in the same place.
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
        # Beside the colours each cell knows how unsure its points are, and how far from the fit they were found.
        self.second_look = nn.Sequential(
            convolution(c.num_channels + 3, widths[0], 2),
            *stages(widths, c.unwrapped_blocks),
            reduction(widths[-1], c.unwrapped_reduced_width),
        )
        measured = self.fit.n_features + 6 * c.num_points
        self.standardise = nn.BatchNorm1d(measured, affine=False)
        seen = c.reduced_width * c.final_side**2 + c.unwrapped_reduced_width * c.unwrapped_final_side**2
        self.albedo = AlbedoFit(c.n_albedo, c.albedo_side) if c.albedo_side else None
        self.albedo_first = c.n_shape + c.n_expression
        read = c.n_albedo if c.albedo_side else 0
        self.summary = nn.Linear(seen + 2 * c.num_channels + measured + read, c.summary_width, bias=False)
        # What all pictures have in common outweighs what tells them apart at first; the batch norm takes it away.
        self.whiten = nn.BatchNorm1d(c.summary_width)
        self.guess = nn.Linear(2 * c.summary_width, c.n_guess)

    def forward(self, pixel_values: Tensor) -> Seen:
        small = self._reduced(pixel_values)
        mean, deviation = small.mean((2, 3)), small.std((2, 3))
        last, points, spread = self._locate(small)
        # What is made of the points does not teach the net to find them: their true places do.
        found, doubt = points.detach(), spread.detach()
        fitted = self.fit(found, doubt)
        left = fitted[:, -2 * found.shape[1] :].unflatten(1, found.shape[1:]).detach()
        picture = (pixel_values - mean[..., None, None]) / (deviation[..., None, None] + 0.05)
        values = torch.cat([20 * left, doubt.log()[..., None] + 3], -1)
        flat = self.unwrap(picture, found - left, values).contiguous(memory_format=torch.channels_last)
        colours = colours_at(small, found).flatten(1)
        measured = torch.cat([fitted, found.flatten(1), doubt.log().flatten(1), colours], 1)
        seen = [
            self.reduce(last),
            self.second_look(flat),
            4 * mean - 2,
            8 * deviation - 2,
            self.standardise(measured).clamp(-5, 5),
        ]
        read = None
        if self.albedo is not None:
            read = self.albedo(self._colours(flat, mean, deviation), self.fit.rotation(fitted))
            seen.append(read)
        summary = self.whiten(self.summary(torch.cat(seen, 1)))
        guess = self.guess(torch.cat([summary, nn.functional.gelu(summary)], 1))
        return Seen(summary, self.with_read(guess, read), points, spread, read)

    def with_read(self, said: Tensor, read: Tensor | None) -> Tensor:
        """z or theta (R,N), with albedo behind shape and expression, and what was `read` of albedo (R,A) added."""
        if self.albedo is None or read is None:
            return said
        before, albedo, after = said.tensor_split([self.albedo_first, self.albedo_first + read.shape[1]], 1)
        return torch.cat([before, albedo + self.albedo.added(read, albedo), after], 1)

    @staticmethod
    def _colours(flat: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The colours (B,3,S,S) of a face laid flat, as they were in the picture."""
        channels = mean.shape[1]
        return flat[:, :channels] * (deviation[..., None, None] + 0.05) + mean[..., None, None]

    def locate(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last feature map (B,C,S,S) of pictures, and points (B,K,2) and spreads (B,K) as `PointMaps` gives
        them.
        """
        return self._locate(self._reduced(pixel_values))

    def _reduced(self, pixel_values: Tensor) -> Tensor:
        if pixel_values.shape[-1] == self.reduced_size:
            return pixel_values
        return nn.functional.adaptive_avg_pool2d(pixel_values, self.reduced_size)

    def _locate(self, small: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = small.mean((1, 2, 3), keepdim=True)
        deviation = small.std((1, 2, 3), keepdim=True)
        x = ((small - mean) / (deviation + 0.05)).contiguous(memory_format=torch.channels_last)
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        points, spread = self.points(maps)
        return x, points, spread
