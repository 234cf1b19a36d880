"""Procedural albedo of skin, lips, brows, eyes, scalp and beard, linear RGB, and the linear model of its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from facegpt.morphable.bake.heads import F32
from facegpt.morphable.bake.shape import F64, TEETH, LinearHead
from facegpt.morphable.face_area import SKIN

Rng = np.random.Generator
BROW_PEAK = (0.036, 0.0205)


def srgb_to_linear(values: npt.ArrayLike) -> F64:
    """Converts sRGB in 0..1 to linear RGB (IEC 61966-2-1), in float64."""
    v = np.asarray(values, np.float64)
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def brow_line(x: npt.ArrayLike) -> F64:
    """Computes the height (m) of the brow's middle line at distance `x` (m) from the midline, 0.010..0.061, on the mean
    head.
    """
    x = np.abs(np.asarray(x, np.float64))
    falling = np.where(x < BROW_PEAK[0], 8.0, 17.0)
    return BROW_PEAK[1] - falling * (x - BROW_PEAK[0]) ** 2


def smoothstep(low: float, high: float, values: F64) -> F64:
    """Rises from 0 at `low` to 1 at `high`, cubic between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


class Appearance:
    """The appearance of the mean head: soft masks (V,), and a sampler of whole faces' vertex colours."""

    def __init__(self, head: LinearHead) -> None:
        self.mean = head.mean.astype(np.float64)
        self.regions = head.regions
        x, y, z = np.abs(self.mean[:, 0]), self.mean[:, 1], self.mean[:, 2]
        skin = (self.regions == SKIN).astype(np.float64)
        self.skin = skin
        self.lips = head.masks["lips"] * skin
        self.lids = head.masks["eyelids"] * skin
        thickness = 0.0042 - 0.0020 * smoothstep(0.030, 0.060, x)
        self.brows = (
            np.exp(-(((y - brow_line(x)) / thickness) ** 2))
            * smoothstep(0.008, 0.014, x)
            * (1 - smoothstep(0.057, 0.064, x))
            * (z > 0)
            * skin
        )
        eyeballs = self.mean[np.isin(self.regions, [1, 2])]
        gap, _ = cKDTree(eyeballs).query(self.mean)
        # The rim of the lids lies on the eyeball; the upper one carries most of the lashes.
        upper = np.where(y > (eyeballs[:, 1].min() + eyeballs[:, 1].max()) / 2 - 0.002, 1.0, 0.4)
        self.lashes = np.exp(-((gap / 0.0016) ** 2)) * upper * (z > 0) * skin
        crown = (y - 0.070) + np.maximum(0, -(z + 0.005)) * 0.9 + np.maximum(0, x - 0.055) * 1.2
        self.scalp = skin * (1 - smoothstep(0.078, 0.082, x)) / (1 + np.exp(-crown / 0.004))
        jaw = (1 - smoothstep(-0.060, -0.045, y + 0.25 * (x - 0.03))) * (z > -0.06)
        jaw *= smoothstep(-0.135, -0.120, y) * (1 - self.lips)
        self.moustache = (
            np.exp(-(((y + 0.0555) / 0.006) ** 2))
            * (1 - smoothstep(0.024, 0.032, x))
            * (1 - self.lips)
            * skin
        )
        self.beard = jaw * skin
        self.cheeks = np.exp(-(((x - 0.038) / 0.018) ** 2 + ((y + 0.035) / 0.018) ** 2)) * skin
        self.sockets = np.exp(-(((x - 0.0315) / 0.022) ** 2 + ((y + 0.004) / 0.013) ** 2)) * skin
        self.iris, self.pupil = np.zeros_like(x), np.zeros_like(x)
        for region in (1, 2):
            eye = self.regions == region
            centre = (self.mean[eye][:, :2].min(0) + self.mean[eye][:, :2].max(0)) / 2
            radius = np.linalg.norm(self.mean[eye][:, :2] - centre, axis=1)
            self.iris[eye] = 1 - smoothstep(0.0052, 0.0068, radius)
            self.pupil[eye] = 1 - smoothstep(0.0016, 0.0032, radius)

    def _mottle(self, rng: Rng, frequency: float, terms: int) -> F64:
        """Draws a smooth pattern (V,) of unit variance: a sum of plane waves."""
        total = np.zeros(len(self.mean))
        for _ in range(terms):
            total += np.sin(self.mean @ (rng.normal(size=3) * frequency) + rng.uniform(0, 2 * np.pi))
        return np.asarray(total / np.sqrt(terms))

    def sample(self, rng: Rng) -> F32:
        """Draws the vertex albedo (V,3), linear RGB, of one face."""
        depth = rng.beta(1.1, 1.3)
        light, dark = srgb_to_linear([0.94, 0.80, 0.72]), srgb_to_linear([0.30, 0.19, 0.14])
        skin = light ** (1 - depth) * dark**depth * np.exp(rng.normal(size=3) * [0.06, 0.06, 0.09])
        colour = np.tile(skin, (len(self.mean), 1))
        colour *= 1 + 0.05 * self._mottle(rng, 50, 4)[:, None] * [1, 0.9, 0.8]
        colour *= 1 + self.cheeks[:, None] * rng.uniform(0, 1) * np.array([0.15, -0.12, -0.10])
        colour *= 1 - self.sockets[:, None] * rng.uniform(-0.05, 0.3)

        def blend(mask: F64, target: F64, strength: float) -> None:
            nonlocal colour
            alpha = np.clip(mask * strength, 0, 1)[:, None]
            colour = colour * (1 - alpha) + target * alpha

        lips = skin * np.array([rng.uniform(0.75, 1.15), rng.uniform(0.4, 0.8), rng.uniform(0.45, 0.85)])
        blend(self.lips, lips, rng.uniform(0.6, 1.0))
        warmth = rng.uniform(0.6, 1.15)
        hair = np.exp(rng.uniform(np.log(0.012), np.log(0.45))) * np.array([1, 0.70, 0.48]) ** warmth
        if rng.random() < 0.15:
            hair = np.full(3, rng.uniform(0.15, 0.6))
        strands = 1 + 0.2 * rng.random() * self._mottle(rng, 200, 3)[:, None]
        blend(self.brows, hair * rng.uniform(0.5, 1.2), rng.uniform(0.25, 1.0))
        if rng.random() < 0.85:
            blend(self.scalp, hair * strands, rng.uniform(0.7, 1.0))
        if rng.random() < 0.3:
            full = rng.uniform(0.15, 0.95)
            blend(self.beard, hair * strands, full)
            blend(self.moustache, hair * strands, full * rng.uniform(0.6, 1.2))
        elif rng.random() < 0.1:
            blend(self.moustache, hair * strands, rng.uniform(0.3, 0.95))
        blend(self.lids, skin * rng.uniform(0.3, 0.9, 3), rng.uniform(0, 0.6))
        blend(self.lashes, np.minimum(hair, 0.05) * rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.9))

        for region in (1, 2):
            colour[self.regions == region] = 0.75
        for region in (3, 4):
            colour[self.regions == region] = 0.6
        eyes = np.isin(self.regions, [1, 2])
        colour[eyes] *= rng.uniform(0.35, 0.8) * np.array([1, 0.95, 0.92])
        iris = srgb_to_linear([0.45, 0.30, 0.18]) ** rng.uniform(0.8, 1.7)
        if rng.random() < 0.3:
            iris = srgb_to_linear([0.38, 0.50, 0.56]) * rng.uniform(0.5, 1.1)
        blend(self.iris, iris, 1.0)
        blend(self.pupil, np.full(3, 0.01), 1.0)
        for region in (5, 6):
            colour[self.regions == region] *= 0.5
        colour[self.regions == 7] = np.array([0.10, 0.02, 0.02]) * rng.uniform(0.4, 1.2)
        colour[self.regions == 8] = np.array([0.30, 0.08, 0.08]) * rng.uniform(0.5, 1.3)
        colour[self.regions == TEETH] = np.array([0.70, 0.66, 0.56]) * rng.uniform(0.35, 0.85)
        return np.clip(colour, 0.004, 1).astype(np.float32)


def albedo_pca(samples: F32, count: int) -> tuple[F32, F32, F32]:
    """Computes mean (V,3), modes (count,V,3) per standard deviation and the samples' coefficients (N,count)."""
    mean = samples.mean(0)
    centred = (samples - mean).reshape(len(samples), -1)
    _, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    coefficients = (vectors[:, ::-1][:, :count] * np.sqrt(len(samples))).astype(np.float32)
    modes = (coefficients.T @ centred / len(samples)).reshape(count, *mean.shape)
    return mean.astype(np.float32), modes.astype(np.float32), coefficients
