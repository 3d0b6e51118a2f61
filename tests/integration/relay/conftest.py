"""What the tests of the relay share: a Messages API behind it, and the socket before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.relay_world import Api, messages_api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An API that answers as a test says."""
    async with messages_api() as one:
        yield one


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Where the relay listens."""
    return tmp_path / "relay.sock"
