"""The parts of a rendered face that can be left out, to measure their effect on training."""

from __future__ import annotations

from collections.abc import Collection

PARTS = {
    "hair": "all hair: behind the head, fringe, locks (the scalp of the face model stays)",
    "hat": "caps and hats",
    "neck": "the neck below the head",
    "beard": "beards, from stubble to 12 mm",
    "lids": "lashes, creases, folds and bags of the eyelids, drawn along the landmarks",
    "brows": "brows darker than the face model paints them",
    "lips": "painted lips, the line between them, the hollow below",
    "folds": "the folds beside the mouth",
    "creases": "the lines that actions fold into the skin: forehead, between the brows, beside eyes, nose and mouth",
    "clothes": "collars and shoulders",
    "glasses": "glasses",
    "occluder": "hands and other things in front of the face",
    "self-shadow": "the shadow of the head on itself",
    "shine": "the specular lobe of skin and eyes",
    "coloured light": "the colours of lights (all of them white)",
    "perspective": "cameras nearer or farther than theta's",
    "jitter": "how detectors' boxes wander about a face",
    "turns": "heads turned by more than 30 degrees, but for one in seven",
    "camera": "exposure, colour cast, blur, noise, low resolution and compression",
}


def check_parts(names: Collection[str]) -> None:
    """Raises ValueError, in one line, for a name that is none of `PARTS`."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ValueError(
            f"cannot render without {', '.join(unknown)}; what can be left out: {', '.join(PARTS)}"
        )
