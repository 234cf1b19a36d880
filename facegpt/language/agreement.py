"""Whether a caption agrees with the parameters of a face.

This defines "captions that agree with the parameters" (strict, a face counts or does not) and the column
`caption_agreement` (a share).
"""

from __future__ import annotations

from dataclasses import dataclass

from facegpt.language.attributes import REQUIRED, Attributes
from facegpt.language.captions import parse


@dataclass(frozen=True)
class Agreement:
    """The statements of a caption that are right and wrong, and the required ones that are missing."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def share(self) -> float:
        """Right statements over right, wrong and missing ones; 0 for a caption without a statement."""
        counted = len(self.right) + len(self.wrong) + len(self.missing)
        return len(self.right) / counted if counted else 0.0

    @property
    def strict(self) -> bool:
        """Whether a statement is right, none is wrong, and none that is required is missing."""
        return bool(self.right) and not self.wrong and not self.missing


def agreement(text: str, attributes: Attributes) -> Agreement:
    """Compares a caption with measured attributes: a statement is wrong if its value is not acceptable."""
    statements = parse(text)
    right = tuple(name for name, value in statements.items() if value in attributes.acceptable(name))
    wrong = tuple(name for name in statements if name not in right)
    missing = tuple(name for name in REQUIRED if name not in statements and attributes.required(name))
    return Agreement(right, wrong, missing)
