"""Text to 3D: theta of faces that a description fits, one for every seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from facegpt.model.modeling import FaceGptForConditionalGeneration
from facegpt.model.processing import FaceProcessor
from facegpt.morphable import Theta
from facegpt.synthetic.sampling import CROP_CENTRE, CROP_HALF, FOCAL

TEMPERATURE = 0.8
"""How far from the mean face of a description the drawn ones lie: at 1 as faces are in training, at 0 all are alike."""
CROWD = 32
"""Faces over which that mean is taken."""


@torch.inference_mode()
def imagine(
    model: FaceGptForConditionalGeneration,
    processor: FaceProcessor,
    text: str,
    seeds: Sequence[int],
    palette: Tensor,
    temperature: float = TEMPERATURE,
) -> Theta:
    """A face for each seed that `text` describes; the same text and seed give the same face.

    What the text does not name varies with the seed. With a `temperature` below 1 the faces move towards the mean of
    all that fit. (Less noise would not do: its length is lost in the model's norms.) The albedo is the one of `palette`
    (N,A) that is nearest to what was drawn, since not all colours go together. The head is placed in the middle of a
    crop. Raises ValueError for a text without words, and for a checkpoint that was not trained to imagine.
    """
    if not text.strip():
        raise ValueError("an empty description")
    if not model.config.noise_size:
        raise ValueError("this checkpoint was not trained to imagine faces (its noise_size is 0)")
    device = next(model.parameters()).device
    size = model.config.noise_size
    own_noise = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    crowd = torch.randn(CROWD, size, generator=torch.Generator().manual_seed(0))
    noise = torch.cat([torch.stack(own_noise), crowd]).to(device)
    ids = torch.tensor(processor.description(text), device=device).expand(len(noise), -1)
    own, others = model(input_ids=ids, noise=noise).theta.split([len(seeds), CROWD])
    c, mean = model.config, others.mean(0)
    drawn, theta = (
        Theta.split(flat, c.n_shape, c.n_expression, c.n_albedo)
        for flat in (own, mean + temperature * (own - mean))
    )
    return Theta(
        theta.shape,
        theta.expression.clamp(0, 1),
        palette[torch.cdist(drawn.albedo, palette).argmin(1)],
        theta.lighting,
        theta.rotation_vector,
        centred(theta.rotation),
    )


def centred(rotation: Tensor) -> Tensor:
    """The translation (B,3), metres, that brings a head turned by `rotation` (B,3,3) into the middle of its crop."""
    centre = rotation @ rotation.new_tensor(CROP_CENTRE)
    return -centre - centre.new_tensor([0.0, 0.0, FOCAL * 2 * CROP_HALF])
