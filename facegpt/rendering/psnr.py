"""Peak signal-to-noise ratio of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = Tensor | NDArray[np.floating[Any]]


def psnr(predicted: Array, target: Array, mask: Array) -> Tensor:
    """Peak signal-to-noise ratio inside a mask: (N,) decibels, for a peak of 1.

    Args:
        predicted: (N, C, H, W) values in [0, 1]; say which transfer curve (sRGB or linear) beside the figure.
        target: (N, C, H, W) likewise.
        mask: (N, H, W), true on the pixels that count.

    Returns:
        (N,); infinite where the pictures are equal, nan for a face whose mask is empty.
    """
    guess, truth = _pair(predicted, target)
    weights = torch.as_tensor(mask, device=truth.device).to(torch.float64).unsqueeze(1).expand_as(truth)
    squares = ((guess - truth).square() * weights).flatten(1).sum(dim=1)
    return -10 * torch.log10(squares / weights.flatten(1).sum(dim=1))


def _pair(predicted: Array, target: Array) -> tuple[Tensor, Tensor]:
    guess = torch.as_tensor(predicted).to(torch.float64)
    truth = torch.as_tensor(target).to(guess.device, torch.float64)
    if guess.shape != truth.shape:
        raise ValueError(f"predicted is {tuple(guess.shape)}, target {tuple(truth.shape)}: they must agree")
    return guess, truth
