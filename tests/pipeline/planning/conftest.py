"""Short probes."""

from __future__ import annotations

import pytest

from pipeline.planning import probe


@pytest.fixture(autouse=True)
def short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe ends after the fewest shards that it may have."""
    monkeypatch.setattr(probe, "STEADY_SECONDS", 0.0)
