"""Peak signal-to-noise ratio (PSNR) of pictures inside a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = Tensor | NDArray[np.floating[Any]]


def psnr(predicted: Array, target: Array, mask: Array) -> Tensor:
    """Computes the peak signal-to-noise ratio inside a mask, in decibels, for a peak of 1: ``-10 log10(MSE)``.

    Args:
        predicted: (N, C, H, W) values in [0, 1]; say which transfer curve (sRGB or linear) beside the figure.
        target: (N, C, H, W) likewise.
        mask: (N, H, W), true on the pixels that count.

    Returns:
        (N,) float64; infinite where the pictures are equal, nan for a face whose mask is empty.

    Raises:
        ValueError: if the shapes of the pictures differ.
    """
    guess, truth = float64_pair(predicted, target)
    weights = torch.as_tensor(mask, device=truth.device).to(torch.float64).unsqueeze(1).expand_as(truth)
    squares = ((guess - truth).square() * weights).flatten(1).sum(dim=1)
    return -10 * torch.log10(squares / weights.flatten(1).sum(dim=1))


def float64_pair(predicted: Array, target: Array) -> tuple[Tensor, Tensor]:
    """Converts a prediction and its target to float64 on one device; raises ValueError if their shapes differ."""
    guess = torch.as_tensor(predicted).to(torch.float64)
    truth = torch.as_tensor(target).to(guess.device, torch.float64)
    if guess.shape != truth.shape:
        raise ValueError(f"predicted is {tuple(guess.shape)}, target {tuple(truth.shape)}: they must agree")
    return guess, truth
