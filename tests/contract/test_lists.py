"""Sorting, grouping, paging, `select` and `eprops` (reference sections 1.6 to 1.8)."""

import base64
import json
import zlib

import pytest

from support.boards import API, Board
from support.contract_world import INVALID_QUERY, Document, World, condition, elements, refusal, self_href


@pytest.fixture(scope="module")
def listed(board: Board) -> World:
    """Six work packages: a (low, due late), b (due early), c (assigned, In progress), d (assigned, Pod x), e (immediate bug), f (closed)."""
    world = World(board)
    link = world.link
    world.new("a", links={"priority": link("priorities", "Low")}, dueDate="2026-12-24")
    world.new("b", dueDate="2026-12-01")
    world.new("c", links={"assignee": link("users", "human"), "status": link("statuses", "In progress")})
    world.new("d", links={"assignee": link("users", "agent")}, **{board.pod: "x"})
    world.new("e", kind="Bug", project="blog", links={"priority": link("priorities", "Immediate")}, **{board.pod: ""})
    world.new("f", links={"status": link("statuses", "Closed")})
    return world


@pytest.mark.alike
@pytest.mark.parametrize(
    ("criteria", "order"),
    [
        ("[]", "abcdef"),
        ('[["id","desc"]]', "fedcba"),
        ('[["priority","desc"],["id","asc"]]', "ebcdfa"),
        ('[["priority","asc"],["id","asc"]]', "abcdfe"),
        ('[["priority","desc"],["dueDate","asc"],["id","asc"]]', "ebcdfa"),
        ('[["dueDate","asc"],["id","asc"]]', "bacdef"),
        ('[["dueDate","desc"],["id","asc"]]', "cdefab"),
        ('[["status","desc"],["id","desc"]]', "fcedba"),
        ('[["type","desc"],["id","asc"]]', "eabcdf"),
        ('[["subject","desc"]]', "fedcba"),
        ('[["createdAt","asc"]]', "abcdef"),
        ('[["updated_at","desc"]]', "fedcba"),
        ('[["assignee","asc"],["id","asc"]]', "dcabef"),
        ('[["id","sideways"]]', "abcdef"),
        ('[["id"]]', "abcdef"),
    ],
)
def test_a_list_is_sorted(listed: World, criteria: str, order: str) -> None:
    assert "".join(listed.subjects(sortBy=criteria)) == order


def test_equals_are_sorted_newest_first_unless_the_id_is_among_the_criteria(listed: World) -> None:
    assert "".join(listed.subjects(sortBy='[["priority","desc"]]')) == "efdcba"


def test_an_empty_text_field_sorts_as_an_empty_text(listed: World) -> None:
    assert "".join(listed.subjects(sortBy=f'[["{listed.board.pod}","desc"],["id","asc"]]')) == "dabcef"
    assert "".join(listed.subjects(sortBy=f'[["{listed.board.pod}","asc"],["id","asc"]]')) == "abcefd"


def test_an_unknown_sort_criterion_or_group_is_400(listed: World) -> None:
    assert refusal(listed.query(sortBy='[["bogus","asc"]]')) == INVALID_QUERY
    assert refusal(listed.query(sortBy="id:desc")) == INVALID_QUERY
    assert refusal(listed.query(groupBy="bogus")) == INVALID_QUERY
    assert refusal(listed.query(groupBy="parent")) == INVALID_QUERY


def groups(world: World, by: str) -> list[tuple[str | None, int, str | None]]:
    document = world.query(groupBy=by, pageSize="0").json()
    assert (document["count"], document["total"], document["_embedded"]["elements"]) == (0, 6, [])
    return [(group["value"], group["count"], group["_links"]["valueLink"][0]["href"]) for group in document["groups"]]


def test_groups_are_counted_in_their_order_with_their_links(listed: World) -> None:
    href = listed.href
    assert groups(listed, "status") == [
        ("New", 4, href("statuses", "New")),
        ("In progress", 1, href("statuses", "In progress")),
        ("Closed", 1, href("statuses", "Closed")),
    ]
    assert groups(listed, "type") == [("Task", 5, href("types", "Task")), ("Bug", 1, href("types", "Bug"))]
    assert groups(listed, "project") == [
        ("Blog", 1, href("projects", "blog")),
        ("Web shop", 5, href("projects", "shop")),
    ]


def test_the_most_urgent_priority_is_the_first_group(listed: World) -> None:
    names = [(name, count) for name, count, _ in groups(listed, "priority")]
    assert names == [("Immediate", 1), ("Normal", 4), ("Low", 1)]


def test_nobody_and_an_empty_field_are_groups_without_value_or_link(listed: World) -> None:
    href = listed.href
    people = [("Coding Agent", 1, href("users", "agent")), ("Hanna Human", 1, href("users", "human")), (None, 4, None)]
    assert groups(listed, "assignee") == people
    assert groups(listed, listed.board.pod) == [("x", 1, None), (None, 5, None)]
    assert groups(listed, listed.board.run) == [(None, 6, None)]


def test_a_grouped_list_shows_its_rows_group_by_group(listed: World) -> None:
    assert "".join(listed.subjects(groupBy="priority", sortBy='[["id","asc"]]')) == "ebcdfa"
    assert "".join(listed.subjects(groupBy="assignee", sortBy='[["id","desc"]]')) == "dcfeba"


def test_groups_stand_beside_the_rows_of_one_page_and_count_all(listed: World) -> None:
    document = listed.query(groupBy="priority", pageSize="2").json()
    assert (document["count"], sum(group["count"] for group in document["groups"])) == (2, 6)


def test_groups_of_a_filtered_list(listed: World) -> None:
    document = listed.query(condition("status", "o"), groupBy="status", pageSize="0").json()
    assert [(group["value"], group["count"]) for group in document["groups"]] == [("New", 4), ("In progress", 1)]


@pytest.mark.parametrize(
    ("offset", "size", "answered", "found"),
    [
        ("1", "2", (1, 2), "ab"),
        ("2", "2", (2, 2), "cd"),
        ("0", "2", (1, 2), "ab"),
        ("-1", "2", (1, 2), "ab"),
        ("abc", "2", (1, 2), "ab"),
        ("99", "2", (99, 2), ""),
        ("1", "0", (1, 0), ""),
        ("1", "abc", (1, 0), ""),
        ("1", "-1", (1, 1000), "abcdef"),
        ("1", "5000", (1, 1000), "abcdef"),
    ],
)
@pytest.mark.alike
def test_pages_are_numbered_from_1_and_sizes_are_cut(
    listed: World, offset: str, size: str, answered: tuple[int, int], found: str
) -> None:
    document = listed.query(offset=offset, pageSize=size).json()
    assert (document["offset"], document["pageSize"]) == answered
    assert (document["total"], document["count"], document["_type"]) == (6, len(found), "WorkPackageCollection")
    assert "".join(element["subject"][-1] for element in document["_embedded"]["elements"]) == found


def test_a_page_has_20_rows_by_default(listed: World) -> None:
    assert (
        listed.get("/work_packages", filters=json.dumps([condition("subject", "~", listed.word)])).json()["pageSize"]
        == 20
    )


def test_links_lead_to_the_pages_that_exist(listed: World) -> None:
    first, middle, last = (listed.query(offset=offset, pageSize="2").json()["_links"] for offset in ("1", "2", "3"))
    assert [("previousByOffset" in links, "nextByOffset" in links) for links in (first, middle, last)] == [
        (False, True),
        (True, True),
        (True, False),
    ]
    followed = listed.board.client().get(listed.board.url + first["nextByOffset"]["href"]).json()
    assert "".join(element["subject"][-1] for element in followed["_embedded"]["elements"]) == "cd"


def test_select_cuts_the_list_down(listed: World) -> None:
    paths = "total,count,elements/id,elements/subject,elements/type,elements/status,elements/assignee,elements/dueDate,elements/displayId"
    document = listed.query(select=paths, pageSize="1", offset="3").json()
    assert document.keys() == {"total", "count", "_embedded"}
    [element] = document["_embedded"]["elements"]
    assert element == {
        "id": element["id"],
        "displayId": str(element["id"]),
        "subject": f"{listed.word} c",
        "dueDate": None,
        "_links": {
            "type": {"href": listed.href("types", "Task"), "title": "Task"},
            "status": {"href": listed.href("statuses", "In progress"), "title": "In progress"},
            "assignee": {"href": listed.href("users", "human"), "title": "Hanna Human"},
        },
    }


def test_select_star_is_all_that_can_be_selected(listed: World) -> None:
    [element] = elements(listed.query(select="*,elements/*", pageSize="1"))
    assert element.keys() == {"_type", "id", "displayId", "subject", "startDate", "dueDate", "_links"}
    assert element["_links"].keys() == {"self", "project", "status", "type", "author", "assignee", "responsible"}
    assert element["_links"]["responsible"] == {"href": None}
    assert element["_links"]["self"] == {"href": f"{API}/work_packages/{element['id']}", "title": element["subject"]}
    assert {"_type", "total", "count", "pageSize", "offset", "_links"} <= listed.query(select="*").json().keys()


def test_select_without_elements_is_a_count(listed: World) -> None:
    assert listed.query(select="total").json() == {"total": 6}


@pytest.mark.alike
@pytest.mark.parametrize(
    "paths",
    [
        "elements/lockVersion",
        "elements/priority",
        "elements/parent",
        "elements/updatedAt",
        "bogus",
        "total,elements/id,elements/customField1",
    ],
)
def test_select_of_what_is_not_offered_is_400(listed: World, paths: str) -> None:
    assert refusal(listed.query(select=paths)) == (400, "InvalidSignal", None)


def test_select_with_the_largest_page_is_500_and_its_number_is_not(listed: World) -> None:
    assert listed.query(select="elements/id", pageSize="-1").status_code == 500
    assert len(elements(listed.query(select="elements/id", pageSize="1000"))) == 6


def test_select_goes_with_filters_sorting_paging_and_grouping(listed: World) -> None:
    document = listed.query(
        condition("status", "o"),
        select="total,elements/subject",
        sortBy='[["id","desc"]]',
        pageSize="2",
        groupBy="assignee",
    ).json()
    assert document["total"] == 5
    assert [element["subject"][-1] for element in document["_embedded"]["elements"]] == ["d", "c"]
    assert "groups" not in document


def packed(properties: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(properties).encode())).decode()


def test_eprops_take_the_place_of_the_query_string(listed: World) -> None:
    properties = {
        "filters": json.dumps([condition("subject", "~", listed.word)]),
        "pageSize": 2,
        "offset": 2,
        "select": "total,elements/subject",
    }
    document = listed.get("/work_packages", eprops=packed(properties), pageSize="1").json()
    assert document["total"] == 6
    assert [element["subject"][-1] for element in document["_embedded"]["elements"]] == ["c", "d"]


def test_eprops_carry_thousands_of_ids(listed: World) -> None:
    items = elements(listed.query())
    ids = [item["id"] for item in items] * 500
    properties = {"filters": json.dumps([condition("id", "=", *ids)]), "select": "total"}
    assert listed.get("/work_packages", eprops=packed(properties)).json() == {"total": 6}


def test_eprops_work_on_relations(listed: World) -> None:
    one, other = listed.new("one"), listed.new("other")
    relation = listed.related(one, "blocks", other)
    filters = json.dumps([condition("involved", "=", *range(10_000_000, 10_002_000), one["id"])])
    [found] = elements(listed.get("/relations", eprops=packed({"filters": filters})))
    assert (found["id"], found["_links"]["from"]["href"]) == (relation["id"], self_href(one))
    for item in (one, other):
        listed.board.client("admin").delete(f"/work_packages/{item['id']}")


@pytest.mark.alike
@pytest.mark.parametrize("eprops", ["", "!!!", base64.b64encode(b"abc").decode(), packed([])])
def test_eprops_that_cannot_be_read_are_400(listed: World, eprops: str) -> None:
    assert refusal(listed.get("/work_packages", eprops=eprops)) == (400, "BadRequest", None)


def test_elements_of_a_list_know_their_children_and_ancestors(world: World) -> None:
    epic = world.new("epic", kind="Epic")
    world.new("task", links=world.under(epic))
    found: list[Document] = elements(world.query())
    assert [child["title"] for child in found[0]["_links"]["children"]] == [found[1]["subject"]]
    assert [ancestor["href"] for ancestor in found[1]["_links"]["ancestors"]] == [self_href(epic)]
