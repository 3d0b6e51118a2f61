"""The command line: thin commands over the modules that do the work; one module for each group of them.

`common` has the options, the assembly of a pod, and the only place where an error becomes words and an exit code. A command's
module is loaded when the command is asked for: a pass that finds nothing to do is mostly the start of its process.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
import typer.completion
from typer.core import TyperGroup
from typer.main import get_group

from agent import __version__


def _work(app: typer.Typer) -> None:
    from agent.cli import work  # noqa: PLC0415 - when it is asked for

    work.register(app)


def _look(app: typer.Typer) -> None:
    from agent.cli import look  # noqa: PLC0415 - when it is asked for

    look.register(app)


def _demo(app: typer.Typer) -> None:
    from agent.demo.command import demo  # noqa: PLC0415 - when it is asked for

    app.command(epilog="Example: agent demo --keep")(demo)


def _board(app: typer.Typer) -> None:
    from agent.cli import board  # noqa: PLC0415 - when it is asked for

    app.add_typer(board.app, name="board")


def _config(app: typer.Typer) -> None:
    from agent.cli import config  # noqa: PLC0415 - when it is asked for

    app.add_typer(config.app, name="config")


_COMMANDS: Final[Mapping[str, Callable[[typer.Typer], None]]] = {
    "cycle": _work,
    "run": _work,
    "explain": _look,
    "status": _look,
    "doctor": _look,
    "release": _look,
    "demo": _demo,
    "board": _board,
    "config": _config,
}
"""Who adds each command, in the order of the help."""


@contextmanager
def _loading() -> Iterator[None]:
    """What is loaded here stays: no garbage is looked for in it, now or later. And httpx does without its own command line.

    That one it loads, with all of rich, wherever they are installed. Both together are a third of the start of a process.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # to Python: there is no such module
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Commands(TyperGroup):
    """The commands, each loaded when it is looked up."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        """All of them, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; where there is none by this name, all are loaded, so that a similar one can be suggested."""
        with _loading():
            for name in [cmd_name] if cmd_name in _COMMANDS else _COMMANDS:
                if name not in self.commands:
                    loaded = _typer()
                    loaded.callback()(lambda: None)
                    _COMMANDS[name](loaded)
                    self.commands.update(get_group(loaded).commands)
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _plain(found.get_params(ctx))
        return found

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of `agent` itself."""
        return _plain(super().get_params(ctx))


class _AsItIs:
    """What becomes of the value of an option that is of its type already."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def coerce(self, value: Any, **_: Any) -> Any:
        """The value itself.

        Raises:
            BadParameter: it is of another type after all.
        """
        if value is not None and not isinstance(value, self._kind):
            raise typer.BadParameter(f"{value!r} is no {self._kind.__name__}")
        return value


def _plain(parameters: list[Any]) -> list[Any]:
    """Texts and flags are so already: the newer typers load pydantic to make sure, which takes as long as an idle pass else.

    Where a typer keeps this elsewhere, nothing changes but the time.
    """
    for one in parameters:
        kind = getattr(getattr(one, "type_descriptor", None), "annotation", None)
        if kind in (str, bool) and one.nargs == 1 and not one.multiple and getattr(one, "_runtime_param", "") is None:
            one._runtime_param = _AsItIs(kind)  # noqa: SLF001 - see above
    return parameters


def _typer(**more: Any) -> typer.Typer:
    return typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="markdown", **more)


app = _typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `agent doctor`; see what would happen with `agent explain`.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agent {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A fleet of coding agents with no dispatcher: the project board is the queue, the lock and the audit log."""


def main() -> None:
    """The entry point of the command `agent`."""
    typer.completion.completion_init()  # type: ignore[attr-defined]  # `_AGENT_COMPLETE=source_bash agent` prints a completion, for packages
    app(prog_name="agent")
