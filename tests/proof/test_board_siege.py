"""T8: strangers with 2,000 connections, bodies of 64 MiB and half requests do not keep anybody who is signed in from the board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.besiegers import PARTS
from support.siege import besieged, fortress, p95, request_times

CONNECTIONS = 2000
SECONDS = 45.0
REQUESTS = 300


def test_two_thousand_strangers(tmp_path: Path, measured: Callable[[str], None]) -> None:
    with fortress(tmp_path) as fort:
        quiet = p95(request_times(fort, 40, 0.02))
        with besieged(fort, CONNECTIONS, SECONDS) as done:
            took = request_times(fort, REQUESTS, 0.1)
        log = fort.log.stat().st_size
        measured(
            f"board: {sum(done.values())} connections of strangers, at most {CONNECTIONS} at once: of {len(took)} requests 19 in 20 took"
            f" at most {p95(took) * 1000:.0f} ms ({quiet * 1000:.0f} in peace, the longest {max(took) * 1000:.0f}),"
            f" {fort.peak_mib:.0f} MiB, {log} bytes of log"
        )
        assert len(done) == len(PARTS)
        assert p95(took) <= 0.5
        assert fort.peak_mib <= 200
        assert log <= 1 << 20
        assert fort.process.poll() is None
