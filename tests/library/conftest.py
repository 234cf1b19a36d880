from __future__ import annotations

import pytest

import facegpt


@pytest.fixture(scope="session")
def model() -> facegpt.FaceGpt:
    """The bundled model on the CPU, loaded once."""
    return facegpt.load(device="cpu")
