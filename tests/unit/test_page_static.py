"""Every file that the page is made of is there, can be asked for, and asks for nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from agent.page.static import _NAME, TYPES

ASSETS = Path(str(files("agent.page") / "assets"))
NAMES = sorted(path.name for path in ASSETS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_asset_has_a_name_and_a_type_that_are_served(name: str) -> None:
    match = _NAME.match(name)
    assert match is not None
    assert match[1] in TYPES
    assert (ASSETS / name).is_file()


def test_the_page_refers_to_assets_that_are_there() -> None:
    referred = set(re.findall(r'(?:src|href)="/page/assets/([^"]+)"', (ASSETS / "index.html").read_text("utf-8")))
    for path in ASSETS.glob("*.js"):
        referred |= set(re.findall(r"""from '\./([^']+)'""", path.read_text("utf-8")))
    assert referred
    assert referred <= set(NAMES)
