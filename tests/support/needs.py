"""Programs that a test cannot run without: elsewhere their absence is a counted skip, in CI the test runs and fails."""

from __future__ import annotations

import os
import shutil

import pytest

_IN_CI = os.environ.get("CI") == "true"  # read before any test clears its environment


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of these is missing."""
    absent = [one for one in programs if shutil.which(one) is None]
    return pytest.mark.skipif(bool(absent) and not _IN_CI, reason=f"needs {', '.join(absent)}")
