"""What the README's two commands install is known by its content, and no lock file holds an address."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / ".ci" / "python.lock").read_text(encoding="utf-8")
LOCKS = [
    ROOT / ".ci" / "python.lock",
    ROOT / ".ci" / "claude.lock",
    ROOT / "flake.lock",
    ROOT / "agent/starter/flake.lock",
]
PINNED = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE)}


def required() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    words = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"], *extras["test"], *extras["dev"]]
    return [one for one in map(Requirement, words) if one.name != "agent"]


@pytest.mark.parametrize("requirement", required(), ids=lambda one: one.name)
def test_every_requirement_is_in_the_lock_in_a_version_that_it_takes(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)])


def test_every_package_of_the_lock_has_a_hash() -> None:
    packages = re.split(r"\n(?=[\w.-]+==)", LOCK)[1:]
    assert len(packages) == len(PINNED)
    assert all("--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_lock_file_holds_an_address(lock: Path) -> None:
    assert "://" not in lock.read_text(encoding="utf-8")


def test_a_package_of_other_content_is_not_installed(tmp_path: Path) -> None:
    """By pip itself, on a wheel that lies beside it: what `.ci/provision` asks for refuses it."""
    wheel = tmp_path / "known-1.0-py3-none-any.whl"
    subprocess.run(["python3", "-c", WHEEL, str(wheel)], check=True)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for known, code in ((digest, 0), ("0" * 64, 1)):
        lock = tmp_path / "lock"
        lock.write_text(f"known==1.0 --hash=sha256:{known}\n", encoding="utf-8")
        words = ["--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / known[:8])]
        done = subprocess.run(
            [ROOT / ".venv/bin/python", "-m", "pip", "install", "-qq", *installing(), "--requirement", lock, *words],
            check=False, capture_output=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr


def installing() -> list[str]:
    """The options that provisioning gives pip for everything of the lock."""
    script = (ROOT / ".ci" / "provision").read_text(encoding="utf-8")
    line = next(line for line in script.splitlines() if "python.lock" in line and line.strip().startswith("pip "))
    return line.split()[1 : line.split().index("--requirement")]


WHEEL = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("known.py", "")
    wheel.writestr("known-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: known\\nVersion: 1.0\\n")
    wheel.writestr("known-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("known-1.0.dist-info/RECORD", "")
"""


def packed(folder: Path, content: bytes) -> tuple[Path, str]:
    """A package as npm packs it, and its digest."""
    (folder / "claude").write_bytes(content)
    archive = folder / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "claude", "package/claude")
    return archive, "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


@pytest.mark.parametrize("known", [True, False])
def test_a_program_of_another_digest_is_not_even_unpacked(tmp_path: Path, known: bool) -> None:
    """`npm` is a stand-in that hands over what lies here; all else is the script that fetches."""
    archive, digest = packed(tmp_path, b"#!/bin/sh\n")
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text(
        f"""#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --pack-destination ] && cp {archive} "$2/a.tgz" && echo a.tgz; shift; done
""",
        encoding="utf-8",
    )
    npm.chmod(0o755)
    target = tmp_path / "target"
    target.mkdir()
    done = subprocess.run(
        [ROOT / ".ci" / "npm", "@some/package", "1.0.0", digest if known else "sha512-" + "A" * 86 + "==", target],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode == 0) == known
    assert (target / "package" / "claude").exists() == known
    assert known or "is not the known one" in done.stderr


def test_a_version_of_which_no_digest_is_known_is_refused() -> None:
    done = subprocess.run([ROOT / ".ci" / "claude", "9.9.9"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "knows no digest of it" in done.stderr
    assert not (ROOT / "build/claude/9.9.9").exists()


def test_a_program_that_lies_there_and_is_not_known_is_not_run(tmp_path: Path) -> None:
    """`npm` offers nothing here, so that it cannot be replaced either."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    target = tmp_path / "build/claude/2.1.330/claude"
    target.parent.mkdir(parents=True)
    target.write_text(f"#!/bin/sh\necho 2.1.330 | tee {tmp_path}/ran\n", encoding="utf-8")
    target.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").symlink_to("/bin/true")
    done = subprocess.run(
        [tmp_path / ".ci" / "claude", "2.1.330"],
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, (tmp_path / "ran").exists()) == (1, False)
    assert "build/claude/2.1.330/claude is none that .ci/claude.lock knows" in done.stderr


def fetched(tmp_path: Path, npm: str | None) -> str:
    """What is said where Claude Code is fetched with this in place of `npm`, or with none."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "awk", "dirname", "uname"):
        (programs / name).symlink_to(shutil.which(name) or name)
    if npm is not None:
        (programs / "npm").write_text(f"#!{programs / 'bash'}\n{npm}\n", encoding="utf-8")
        (programs / "npm").chmod(0o755)
    words = [str(programs / "bash"), str(tmp_path / ".ci" / "claude"), "2.1.330"]
    done = subprocess.run(words, env={"PATH": str(programs)}, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    ("npm", "said"),
    [
        (None, "npm is missing: install the Debian package npm, then try again."),
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm cannot be asked for @anthropic-ai/claude-code-linux-"),
        ("echo 'npm error code E404' >&2; exit 1", "or npm has none of those that it knows"),
        ("exit 0", "or npm has none of those that it knows"),
    ],
)
def test_why_claude_code_cannot_be_fetched_is_said(tmp_path: Path, npm: str | None, said: str) -> None:
    """A missing npm and a network that is away were both told as a version that is not known."""
    told = fetched(tmp_path, npm)
    assert said in told
    assert ("knows no digest" in told) == said.startswith("or")


@pytest.mark.parametrize("known", [True, False])
def test_the_script_that_judges_the_page_is_known_by_its_content(tmp_path: Path, known: bool) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    script = next((ROOT / "build" / "axe").glob("*/axe.min.js"))
    target = tmp_path / script.relative_to(ROOT)
    target.parent.mkdir(parents=True)
    target.write_bytes(script.read_bytes() + (b"" if known else b"//"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").symlink_to("/bin/false")
    words = [tmp_path / ".ci" / "axe"]
    done = subprocess.run(words, env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}, check=False)
    assert (done.returncode == 0) == known
