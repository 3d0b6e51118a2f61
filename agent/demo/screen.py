"""What the newcomer sees: lines as things happen, on a terminal with the board below them, and at the end the table."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from agent.demo.hands import Ticket
from agent.demo.outcome import RUNGS, Row, name_of
from agent.demo.pods import Seen
from agent.texts.outlet import terminal

RELEASE: Final = 3
WIDTH: Final = 80
"""Columns where nobody knows how wide the screen is."""
STATUS_STYLES: Final[Mapping[str, str]] = {
    "In progress": "yellow",
    "In testing": "green",
    "Closed": "green",
}
POD_STYLES: Final = {"pod-a": "cyan", "pod-b": "magenta", "human": "bold"}


def _shown(text: str) -> str:
    """Text of the board or of a pod, as it may stand among our colours."""
    return escape(terminal(text))


class Screen:
    """Standard output, be it a terminal or a file."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=WIDTH)
        self._began = time.monotonic()
        self._live = Live(console=self.console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def headline(self, text: str) -> None:
        """A new act."""
        self.console.print(f"\n[bold]{_shown(text)}[/bold]")

    def line(self, text: str) -> None:
        """Something to read; longer than the screen is wide only where it is to be copied."""
        self.console.print(_shown(text), soft_wrap=True)

    def event(self, who: str, text: str, style: str = "") -> None:
        """Somebody did something."""
        name = f"[{POD_STYLES.get(who, 'dim')}]{who:<6}[/]"
        said = f"[{style}]{_shown(text)}[/]" if style else _shown(text)
        self.console.print(f"[dim]{self.seconds:5.1f}s[/dim] {name} {said}", overflow="ellipsis", no_wrap=True)

    def more(self, text: str) -> None:
        """What belongs to the event above."""
        self.console.print(f"{'':14}[dim]{_shown(text)}[/dim]", overflow="ellipsis", no_wrap=True)

    def board(self, tickets: Iterable[Ticket]) -> None:
        """The board as it is now; on a terminal only."""
        if not self.console.is_terminal:
            return
        table = Table(box=None, show_header=False, padding=(0, 1))
        for one in tickets:
            indent = "  " * len(one.ancestors)
            table.add_row(
                f"[dim]#{one.id}[/dim]",
                f"{indent}{_shown(one.subject[:40])}",
                f"[dim]{one.type}[/dim]",
                f"[{STATUS_STYLES.get(one.status, 'dim')}]{one.status}[/]",
                f"[{POD_STYLES.get(one.pod, 'dim')}]{_shown(one.pod)}[/]",
            )
        self._live.update(table, refresh=True)

    def clear(self) -> None:
        """Take the board off the terminal."""
        if self.console.is_terminal:
            self._live.update("", refresh=True)

    def table(self, rows: Iterable[Row]) -> None:
        """What was done."""
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
        table.add_column("ticket", no_wrap=True, max_width=19)
        table.add_column("rung", no_wrap=True)
        table.add_column("pod", no_wrap=True)
        table.add_column("branch", no_wrap=True, max_width=22)
        table.add_column("commit", no_wrap=True)
        table.add_column("result", no_wrap=True, min_width=12)
        for one in rows:
            table.add_row(
                _shown(f"#{one.ticket} {one.subject}"),
                f"{one.rung} {RUNGS[one.rung]}",
                f"[{POD_STYLES.get(one.pod, '')}]{one.pod}[/]",
                _shown(one.branch) or "[dim]-[/dim]",
                one.commit[:7] or "[dim]-[/dim]",
                f"[{'green' if one.commit or one.rung == RELEASE else 'red'}]{_shown(one.result)}[/]",
            )
        self.console.print(table)

    def reasons(self, reasons: Iterable[Seen]) -> None:
        """Why tickets were not taken, one example each."""
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
        table.add_column("reason", no_wrap=True)
        table.add_column("as a pod said it (`agent explain ID`)", overflow="fold")
        table.add_column("asked", no_wrap=True)
        for one in reasons:
            table.add_row(name_of(one.reason), _shown(f"#{one.ticket}: {one.detail}"), f"{one.pod}, {one.when}")
        self.console.print(table)
