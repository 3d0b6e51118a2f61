"""The secrets that the settings need: where each is looked for, and what is said where it cannot be had."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Final, NoReturn

from msgspec import Struct

from agent.settings.rules import Settings
from agent.texts.evidence import Redact, redactor

_OPEN_TO_OTHERS: Final = 0o077
_NOWHERE: Final = (
    "The board's token is nowhere: not in $CREDENTIALS_DIRECTORY/board-token, not in a file named by "
    "board.token_file, not in $AGENT_BOARD_TOKEN. Make one on the board under My account → Access tokens."
)


class Secret:
    """A token or key that no `repr`, `str`, format, pickle or JSON shows; only `reveal` does."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__value

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


class Credentials(Struct, frozen=True, kw_only=True):
    """The secrets that were found.

    Attributes:
        board: the board's API token; empty where `lacking` says so.
        repositories: tokens for https, by project identifier.
        ssh_keys: paths of private keys, by project identifier.
        model: the key for the Messages API; None where none was found.
        warnings: sentences about secrets that others on this host can read.
        lacking: sentences about secrets that are missing or cannot be read, where they were asked for all the same.
    """

    board: Secret
    repositories: Mapping[str, Secret] = {}
    ssh_keys: Mapping[str, pathlib.Path] = {}
    model: Secret | None = None
    warnings: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()

    def secrets(self) -> tuple[Secret, ...]:
        """All of them, for redaction."""
        return tuple(one for one in (self.board, *self.repositories.values(), self.model) if one and one.reveal())

    def redactor(self) -> Redact:
        """A function that takes all of them out of a text."""
        return redactor(one.reveal() for one in self.secrets())


def read_credentials(settings: Settings, env: Mapping[str, str]) -> Credentials:
    """All of them; what is missing or cannot be read is told."""
    reader = _Reader(env)
    board = reader.secret("board-token", settings.board.token_file, "board.token_file", "AGENT_BOARD_TOKEN")
    if board is None and not reader.lacking:
        reader.lacking.append(_NOWHERE)
    tokens, keys = {}, {}
    for project, one in settings.repositories.items():
        setting = f"repositories.{project}"
        if token := reader.secret(f"repository-{project}-token", one.token_file, f"{setting}.token_file"):
            tokens[project] = token
        if key := reader.file(f"repository-{project}-key", one.ssh_key_file, f"{setting}.ssh_key_file"):
            keys[project] = key
    model = reader.secret("model-key", settings.model.key_file, "model.key_file", "AGENT_MODEL_KEY")
    return Credentials(
        board=board or Secret(""),
        repositories=tokens,
        ssh_keys=keys,
        model=model,
        warnings=tuple(reader.warnings),
        lacking=tuple(reader.lacking),
    )


class _Reader:
    """Looks for one secret after the other.

    Attributes:
        warnings: as of `Credentials`.
        lacking: likewise.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.warnings: list[str] = []
        self.lacking: list[str] = []

    def file(self, name: str, named: str, setting: str) -> pathlib.Path | None:
        """Where a secret is, if anywhere; a file that others can read is worth a warning, not a refusal.

        Args:
            name: of systemd's credential.
            named: the file that the settings name.
            setting: which one does.
        """
        if folder := self._env.get("CREDENTIALS_DIRECTORY"):
            credential = pathlib.Path(folder) / name
            if credential.exists():
                return credential
        if not named:
            return None
        path = pathlib.Path(named)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            self.lacking.append(f"The secret file {path} ({setting}) cannot be read: {error.strerror}.")
            return None
        if mode & _OPEN_TO_OTHERS:
            self.warnings.append(f"The secret file {path} is open to others on this host: chmod 600 {path}")
        return path

    def secret(self, name: str, named: str, setting: str, variable: str = "") -> Secret | None:
        """The secret itself; in a variable where neither systemd nor the settings name a file."""
        before = len(self.lacking)
        path = self.file(name, named, setting)
        if path is None:
            value = self._env.get(variable) if len(self.lacking) == before else None
            return self._checked(value, f"${variable}") if value else None
        where = str(path) if str(path) != named else f"{path} ({setting})"
        try:
            return self._checked(path.read_text(encoding="utf-8"), where)
        except UnicodeDecodeError:
            self.lacking.append(f"The secret file {where} holds no text.")
        except OSError as error:
            self.lacking.append(f"The secret file {where} cannot be read: {error.strerror}.")
        return None

    def _checked(self, value: str, where: str) -> Secret | None:
        """One line that fits into a header."""
        value = value.strip()
        if value and value.isascii() and value.isprintable() and " " not in value:
            return Secret(value)
        self.lacking.append(f"{where} holds no token: it must be one word of printable ASCII characters.")
        return None
