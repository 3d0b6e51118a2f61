"""What git's rules would cost is known before git reads them; what a repository has of them is its people's."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.git import rules
from agent.git.rules import costly

USUAL = [
    "__pycache__/", "*.py[cod]", "*$py.class", "*.so", "build/", "dist/", "*.egg-info/", ".installed.cfg", "*.log", ".env",
    ".env.*", "!.env.example", ".venv", "node_modules/", "npm-debug.log*", "yarn-error.log*", ".pnp.*", "!.yarn/patches",
    "*.tsbuildinfo", "report.[0-9]*.[0-9]*.[0-9]*.[0-9]*.json", "Thumbs.db", "*.sw?", "**/target/", "/target", "# by hand",
    "docs/**/generated/*.html", "**/*.rs.bk", ".cache/**", "coverage/", ".nyc_output", "*.iml", ".idea/**/workspace.xml",
]  # fmt: skip
"""What a run writes that begins a project."""
MANY = 100
"""Names for which others stand: the limit is made smaller by as much as half a million are more."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number in range(MANY):
        place = tmp_path / "node_modules" / f"package-{number % 10}" / "lib" / "a" / "b"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"module-of-some-name-{number}.js").touch()
        (place.parents[2] / ".gitignore").write_text("node_modules\n*.log\n")
    monkeypatch.setattr(rules, "WORK", rules.WORK * MANY // 500_000)
    return tmp_path


def test_what_a_project_usually_has_costs_little_however_many_files_there_are(tree: Path) -> None:
    (tree / ".gitignore").write_text("\n".join(USUAL))
    (tree / ".gitattributes").write_text("* text=auto\n*.png binary\n*.lock -diff\ndocs/** linguist-documentation\n")
    assert costly(tree, {}).dear == ()


HOSTILE = {
    "many": "\n".join(f"x{number}" for number in range(30_000)),
    "many with wildcards": "\n".join(f"*{number}*z" for number in range(2_000)),
    "many places for one": "*" + "?" * 5_000 + "z",
    "a large set": "\n".join(["*[" + "bcdefgh" * 400 + "]"] * 2),
    "many folders": "/**" * 20 + "/b",
    "many folders, spelt otherwise": r"/**\/**\/**\/**\/**\/**\/**\/**\/b",
    "a mebibyte of short ones": "b\n" * (1 << 19),
}


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes"])
@pytest.mark.parametrize("what", HOSTILE)
def test_what_would_take_long_is_named_and_what_else_is_there_is_not(tree: Path, what: str, name: str) -> None:
    (tree / "src").mkdir()
    (tree / "src" / ".gitignore").write_text("\n".join(USUAL))
    (tree / "node_modules" / name).write_text(HOSTILE[what])
    assert costly(tree, {}).dear == (f"node_modules/{name}",)


def test_a_letter_of_an_attribute_may_be_written_as_a_number(tree: Path) -> None:
    (tree / ".gitattributes").write_text('"' + r"/\052\052" * 20 + '/b" text\n')
    assert costly(tree, {}).dear == (".gitattributes",)


def test_a_file_that_is_closed_is_read_as_git_will_read_it(tree: Path) -> None:
    (tree / ".gitignore").write_text(HOSTILE["many folders"])
    (tree / ".gitignore").chmod(0)
    assert costly(tree, {}).dear == (".gitignore",)


def test_the_lines_of_the_base_are_its_peoples(tree: Path) -> None:
    theirs = "\n".join(f"/vendor/{number}" for number in range(30_000))
    (tree / ".gitignore").write_text(f"{theirs}\n/mine\n")
    assert costly(tree, {}).dear == (".gitignore",)
    assert costly(tree, {".gitignore": theirs}).dear == ()
    assert costly(tree, {"other/.gitignore": theirs}).dear == (".gitignore",)


def test_what_lies_below_is_counted_for_each_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand files of rules in a thousand folders are tried on what is in each, not on all."""
    for number in range(300):
        place = tmp_path / f"package-{number}" / "deep" / "er"
        place.mkdir(parents=True)
        (place / "file.js").touch()
        (tmp_path / f"package-{number}" / ".gitignore").write_text("*.log\n*.tmp\n")
    monkeypatch.setattr(rules, "WORK", 100_000_000)
    assert costly(tmp_path, {}).dear == ()
    (tmp_path / ".gitignore").write_text("*.log*x\n" * 2_000)
    assert costly(tmp_path, {}).dear == (".gitignore",)


def test_what_is_too_large_is_listed_and_not_read(tree: Path) -> None:
    for name in ("src", "docs"):
        (tree / name).mkdir()
        with (tree / name / ".gitattributes").open("wb") as file:
            file.truncate(rules.LARGEST + 1)
    found = costly(tree, {})
    assert (found.large, found.dear) == (("docs/.gitattributes", "src/.gitattributes"), ())
