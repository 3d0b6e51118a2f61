"""Every file that the page is made of is there, can be asked for, and asks for nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from agent.page.static import TYPES, assets

ASSETS = Path(str(files("agent.page") / "assets"))
NAMES = sorted(path.name for path in ASSETS.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_asset_has_a_name_and_a_type_that_are_served(name: str) -> None:
    assert name.rpartition(".")[2] in TYPES
    assert assets()[name][0] == (ASSETS / name).read_bytes()


def test_the_assets_are_read_once() -> None:
    """Strangers may ask for them as often as they like."""
    assert assets() is assets()


def test_the_page_refers_to_assets_that_are_there() -> None:
    referred = set(re.findall(r'(?:src|href)="/page/assets/([^"]+)"', (ASSETS / "index.html").read_text("utf-8")))
    for path in ASSETS.glob("*.js"):
        referred |= set(re.findall(r"""from '\./([^']+)'""", path.read_text("utf-8")))
    assert referred
    assert referred <= set(NAMES)
