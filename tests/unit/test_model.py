from agent.model import Relation


def test_blocks_relation_reads_the_same_from_both_ends() -> None:
    """I-54: a relation read backwards held the blocker back and dispatched the blocked."""
    assert Relation(id=1, type="blocks", source=41, target=42).blocked_and_blocker() == (42, 41)
    assert Relation(id=2, type="follows", source=42, target=41).blocked_and_blocker() == (42, 41)
    assert Relation(id=3, type="requires", source=42, target=41).blocked_and_blocker() == (42, 41)


def test_other_relations_hold_nobody_back() -> None:
    assert Relation(id=1, type="relates", source=41, target=42).blocked_and_blocker() is None
