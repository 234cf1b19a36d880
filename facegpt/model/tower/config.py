"""The configuration of the small vision tower."""

from __future__ import annotations

from dataclasses import field

from transformers import PreTrainedConfig


class ConvVisionConfig(PreTrainedConfig):
    """The sizes of `ConvVisionModel`: widths and residual blocks of its two looks, its anchors, its image tokens.

    The first look takes the picture, reduced to `first_look_size` px if it is larger; the second takes the face laid
    flat, a map of `unwrapped_side` times `unwrapped_detail` cells to a side, sampled from the picture in full size.
    `num_points` is the number of anchors. Albedo is fitted to `albedo_side` cells to a side of the map; 0: no such fit.
    """

    model_type = "facegpt_conv_vision"

    image_size: int = 112
    first_look_size: int = 112
    num_channels: int = 3
    widths: list[int] = field(default_factory=lambda: [24, 48, 96, 192, 320])
    blocks: list[int] = field(default_factory=lambda: [1, 1, 2, 1])
    reduced_width: int = 128
    point_width: int = 64
    num_points: int = 192
    unwrapped_side: int = 80
    unwrapped_detail: int = 1
    unwrapped_widths: list[int] = field(default_factory=lambda: [32, 64, 128, 192])
    unwrapped_blocks: list[int] = field(default_factory=lambda: [1, 2, 1])
    unwrapped_reduced_width: int = 96
    summary_width: int = 768
    n_shape: int = 80
    n_expression: int = 52
    n_albedo: int = 80
    albedo_side: int = 0
    n_guess: int = 246
    num_tokens: int = 8
    hidden_size: int = 256

    @property
    def reduced_size(self) -> int:
        """Side in px of the picture that the first look takes."""
        return min(self.image_size, self.first_look_size)

    @property
    def final_side(self) -> int:
        """Side of the first look's last feature map: every stage and the stem halve the picture, rounding up."""
        return _halved(self.reduced_size, len(self.widths))

    @property
    def unwrapped_final_side(self) -> int:
        """Side of the last feature map of the second look."""
        return _halved(self.unwrapped_side * self.unwrapped_detail, len(self.unwrapped_widths))


def _halved(side: int, times: int) -> int:
    """Halves `side` so many times, rounding up."""
    for _ in range(times):
        side = -(-side // 2)
    return side
