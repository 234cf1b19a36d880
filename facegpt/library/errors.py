"""What the library refuses, in one line for people."""

from __future__ import annotations


class FaceGptError(Exception):
    """Any refusal of the library."""


class LoadError(FaceGptError):
    """A model that cannot be loaded: checkpoint, face model, detector or device; the message has the way out."""


class PhotoError(FaceGptError):
    """A photo that cannot be read: `photo` is its path or what else it was given as, `reason` what is wrong with it."""

    def __init__(self, photo: str, reason: str) -> None:
        super().__init__(photo, reason)
        self.photo = photo
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.photo} is no photo that can be read: {self.reason}"
