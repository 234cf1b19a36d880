"""What to do where a test lacks something that only some machines have."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips the test with a reason; fails it where the integration tests are obligatory (`make integration`, CI)."""
    if os.environ.get("FACEGPT_REQUIRE_INTEGRATION"):
        pytest.fail(f"{what}, and FACEGPT_REQUIRE_INTEGRATION is set")
    pytest.skip(what)
