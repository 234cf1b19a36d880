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
"""The spread of drawn faces about the mean face of a description: at 1 as in training, at 0 all are alike."""
CROWD = 32
"""How many faces that mean is taken over."""


@torch.inference_mode()
def imagine(
    model: FaceGptForConditionalGeneration,
    processor: FaceProcessor,
    text: str,
    seeds: Sequence[int],
    palette: Tensor,
    temperature: float = TEMPERATURE,
) -> Theta:
    """Draws a face that `text` describes for each seed; the same text and seed give the same face.

    Whatever the text does not name varies with the seed. A `temperature` below 1 moves the faces towards the mean of
    all that fit; less noise would not, since the model's norms remove its length. The albedo is the row of `palette`
    (N,A) that is nearest to the drawn one, since not all colours go together. The head is placed in the middle of a
    crop. Raises ValueError for a text without words, and for a checkpoint that was not trained to imagine.
    """
    if not text.strip():
        raise ValueError("an empty description")
    if not model.config.noise_size:
        raise ValueError("this checkpoint was not trained to imagine faces (its noise_size is 0)")
    device = next(model.parameters()).device
    size = model.config.noise_size
    seed_noise = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    crowd = torch.randn(CROWD, size, generator=torch.Generator().manual_seed(0))
    noise = torch.cat([torch.stack(seed_noise), crowd]).to(device)
    ids = torch.tensor(processor.description(text), device=device).expand(len(noise), -1)
    of_seeds, of_crowd = model(input_ids=ids, noise=noise).theta.split([len(seeds), CROWD])
    c, mean = model.config, of_crowd.mean(0)
    drawn, theta = (
        Theta.split(flat, c.n_shape, c.n_expression, c.n_albedo)
        for flat in (of_seeds, mean + temperature * (of_seeds - mean))
    )
    return Theta(
        shape=theta.shape,
        expression=theta.expression.clamp(0, 1),
        albedo=palette[torch.cdist(drawn.albedo, palette).argmin(1)],
        lighting=theta.lighting,
        rotation_vector=theta.rotation_vector,
        translation=centred(theta.rotation),
    )


def centred(rotation: Tensor) -> Tensor:
    """Computes translations (B,3), metres, that bring heads turned by `rotation` (B,3,3) to the middle of a crop."""
    centre = rotation @ rotation.new_tensor(CROP_CENTRE)
    return -centre - centre.new_tensor([0.0, 0.0, FOCAL * 2 * CROP_HALF])
