"""Hair of many cuts, behind a rendered face and in front of it, and hats.

All functions take and return float32 pictures (H,W,3) in sRGB 0..1, as those of `props`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegpt.synthetic.props import blend, noise, polygon

F32 = npt.NDArray[np.float32]
Rng = np.random.Generator


def hair_texture(rng: Rng, size: int, colour: F32) -> F32:
    """Draws strands: noise stretched along a direction, in the hair's colour."""
    fine = int(rng.integers(8, 60))
    strands = noise(rng, size, (int(rng.integers(2, 7)), fine)) * 0.16 + noise(rng, size, (4, 4)) * 0.12
    return np.clip(colour * np.exp(strands), 0, 1).astype(np.float32)


def _ring(centre: F32, up: F32, right: F32, radii: F32) -> F32:
    """Places points (N,2) around `centre` at `radii` (N,), evenly by angle."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.asarray(
        centre + radii[:, None] * (np.cos(angles)[:, None] * up + np.sin(angles)[:, None] * right), np.float32
    )


def hair_behind(rng: Rng, picture: F32, texture: F32, crown: F32, chin: F32, ears: F32) -> F32:
    """Draws hair that falls behind the head: a ragged blob around the skull, short to far below the chin."""
    size = len(picture)
    up, width = crown - chin, np.linalg.norm(ears[1] - ears[0])
    length = float(np.linalg.norm(up))
    up = up / max(float(length), 1e-3)
    right = np.array([-up[1], up[0]], np.float32)
    n = 24
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    long = rng.uniform(0.0, 1.2) if rng.random() < 0.5 else 0.0
    radius = 0.62 * width * (1 + rng.uniform(-0.1, 0.35)) * np.ones(n)
    along = np.cos(angles)
    radius = np.where(
        along > 0, radius * (1 + rng.uniform(-0.05, 0.35) * along**2), radius * (1 - long * along * 1.3)
    )
    radius *= 1 + 0.06 * rng.normal(size=n)
    middle = crown - up * length * 0.38
    mask = polygon(size, _ring(middle, up, right, radius.astype(np.float32)), rng.uniform(0.4, 2.0))
    return blend(picture, mask, texture)


def fringe(rng: Rng, picture: F32, texture: F32, crown: F32, brows: F32, ears: F32) -> F32:
    """Draws hair over the forehead and down the temples: a band between a skull line and a ragged hairline."""
    size = len(picture)
    left, right = ears
    down = (brows.mean(0) - crown).astype(np.float32)
    n = 12
    across = np.linspace(0, 1, n)[:, None]
    part = rng.uniform(0.1, 0.9)
    low = rng.uniform(0.25, 1.05)
    sweep = low * (0.55 + 0.45 * np.clip(np.abs(across - part) * rng.uniform(0.6, 2.2), 0, 1))
    sweep = sweep + 0.05 * rng.normal(size=(n, 1))
    base = crown - (right - left) * 0.5 + across * (right - left)
    hairline = base + down * sweep
    for end, side in ((0, left), (-1, right)):
        drop = rng.uniform(0.1, 1.0) if rng.random() < 0.5 else 0.1
        hairline[end] = side + down * (drop - 0.55)
    top = base[::-1] - down * rng.uniform(0.3, 0.6)
    mask = polygon(size, np.concatenate([hairline, top]), rng.uniform(0.4, 1.5))
    return blend(picture, mask * rng.uniform(0.75, 1.0), texture)


def locks(rng: Rng, picture: F32, texture: F32, ears: F32, chin: F32, crown: F32) -> F32:
    """Draws long hair in front of ears and cheeks, on one side or both."""
    size = len(picture)
    up = (crown - chin) / max(float(np.linalg.norm(crown - chin)), 1e-3)
    width = float(np.linalg.norm(ears[1] - ears[0]))
    for side, ear in enumerate(ears):
        if rng.random() < 0.25:
            continue
        inward = (ears[1 - side] - ear) / max(width, 1e-3)
        reach = width * rng.uniform(0.02, 0.22)
        n = 7
        along = np.linspace(0.9, -rng.uniform(0.4, 1.3), n)[:, None] * width
        inner = ear + up * along + inward * (reach + 0.03 * width * rng.normal(size=(n, 1)))
        outer = ear + up * along - inward * width * rng.uniform(0.15, 0.4)
        mask = polygon(size, np.concatenate([inner, outer[::-1]]), rng.uniform(0.4, 1.5))
        picture = blend(picture, mask, texture)
    return picture


def hat(rng: Rng, picture: F32, crown: F32, brows: F32, ears: F32) -> F32:
    """Draws a cap, a woollen hat or one with a brim, from above the brows to beyond the crown."""
    size = len(picture)
    width = float(np.linalg.norm(ears[1] - ears[0]))
    middle = brows.mean(0)
    up = (crown - middle) / max(float(np.linalg.norm(crown - middle)), 1e-3)
    right = np.array([-up[1], up[0]], np.float32)
    edge = middle + (crown - middle) * rng.uniform(0.12, 0.6)
    half, height, sag = (
        width * rng.uniform(0.5, 0.62),
        width * rng.uniform(0.5, 1.0),
        width * rng.uniform(-0.1, 0.12),
    )
    angles = np.linspace(0, np.pi, 11)[:, None]
    dome = edge + right * np.cos(angles) * half + up * np.sin(angles) * height
    rim = edge + right * np.linspace(-half, half, 7)[:, None] - up * sag * np.linspace(-1, 1, 7)[:, None] ** 2
    colour = rng.random(3).astype(np.float32) * rng.choice([0.25, 1.0])
    texture = np.clip(colour + noise(rng, size, (9, 9)) * rng.random() * 0.12, 0, 1).astype(np.float32)
    picture = blend(picture, polygon(size, np.concatenate([dome, rim]), rng.uniform(0.3, 1.2)), texture)
    if rng.random() < 0.5:
        wide, thick = half * rng.uniform(1.0, 1.6), width * rng.uniform(0.03, 0.14)
        ends = [(-wide, -0.3), (wide, -0.3), (half, 1.0), (-half, 1.0)]
        brim = np.stack([edge + right * a + up * b * thick for a, b in ends])
        picture = blend(picture, polygon(size, brim, 0.5), texture * np.float32(rng.uniform(0.4, 1.0)))
    return picture
