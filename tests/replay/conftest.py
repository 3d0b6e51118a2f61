"""The recorded stories are asked once for all tests."""

from collections.abc import Iterator

import pytest

from support.boards import missing
from support.replay import RECORDED, STORIES, Replay, Replayed, recorded_board


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    if not RECORDED.exists():
        missing(f"{RECORDED} does not exist")
    board = recorded_board(tmp_path_factory.mktemp("replay"))
    replay = Replay(board)
    yield (
        replay,
        {story: {f"{n}: {step}": found for n, (step, found) in enumerate(replay.story(story))} for story in STORIES},
    )
    board.close()
