"""What the board itself has to hold against incidents of other fleets."""

from support.contract_world import CONFLICT, World, condition, refusal


def test_equal_claim_writes_still_conflict(world: World) -> None:
    """I-04: a store that merged equal values would hide a lost race."""
    item = world.new()
    claim = {world.board.run: "one and the same @ now", world.board.pod: "pod-a"}
    assert world.patch(item, claim, "agent").status_code == 200
    assert refusal(world.patch(item, claim, "agent")) == CONFLICT
    assert refusal(world.patch(item, claim, "agent2")) == CONFLICT


def test_claimed_ticket_is_not_offered_again(world: World) -> None:
    """I-05: the list of what is ready is without it from the claim to the release."""
    item = world.new("x")
    ready = condition("status", "=", world.board.statuses["New"])
    assert world.subjects(ready) == ["x"]
    claimed = world.changed(
        item, {world.board.run: "t @ now", "_links": {"status": world.link("statuses", "In progress")}}
    )
    assert world.subjects(ready) == []
    world.changed(claimed, {world.board.run: None, "_links": {"status": world.link("statuses", "New")}})
    assert world.subjects(ready) == ["x"]
