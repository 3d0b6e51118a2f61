"""Authentication, content types, wrong paths and bodies (reference sections 1.1 to 1.4)."""

import json

import httpx
import pytest

from support.boards import API
from support.contract_world import BAD_REQUEST, JSON, NOT_FOUND, World, refusal


def url(world: World, path: str) -> str:
    return world.board.url + API + path


def test_a_token_works_as_password_of_apikey_and_as_bearer(world: World) -> None:
    token = world.board.tokens["agent"]
    basic = httpx.get(url(world, "/users/me"), auth=("apikey", token))
    bearer = httpx.get(url(world, "/users/me"), headers={"authorization": f"Bearer {token}"})
    assert [basic.json()["id"], bearer.json()["id"]] == [world.board.users["agent"]] * 2


@pytest.mark.alike
@pytest.mark.parametrize("path", ["", "/users/me", "/work_packages", "/no/such/path"])
def test_without_credentials_everything_is_401_with_a_bearer_challenge(world: World, path: str) -> None:
    response = httpx.get(url(world, path))
    assert refusal(response) == (401, "Unauthenticated", None)
    assert response.headers["www-authenticate"].startswith('Bearer realm="OpenProject API"')


@pytest.mark.parametrize("user", ["apikey", "agent"])
def test_wrong_credentials_are_401_with_a_basic_challenge(world: World, user: str) -> None:
    token = "wrong" if user == "apikey" else world.board.tokens["agent"]
    response = httpx.get(url(world, "/users/me"), auth=(user, token))
    assert refusal(response) == (401, "Unauthenticated", None)
    assert response.headers["www-authenticate"] == 'Basic realm="OpenProject API"'


def test_answers_are_hal_json_and_carry_no_date(world: World) -> None:
    response = world.board.client().get("/statuses", headers={"accept": "text/html"})
    assert response.headers["content-type"] == "application/hal+json; charset=utf-8"
    assert "date" not in response.headers


def test_the_root_tells_the_version_to_administrators_only(world: World) -> None:
    assert "coreVersion" not in world.get("").json()
    assert world.get("", "admin").json()["coreVersion"] == "17.6.0"


def test_unknown_paths_and_methods_are_404(world: World) -> None:
    client = world.board.client()
    assert refusal(client.get("/nope")) == NOT_FOUND
    assert refusal(client.put("/users/me", json={})) == NOT_FOUND
    assert refusal(client.delete("/statuses")) == NOT_FOUND
    assert refusal(client.post("/relations", json={"type": "blocks"})) == NOT_FOUND


def test_head_is_406(world: World) -> None:
    assert world.board.client().head("/statuses").status_code == 406


@pytest.mark.alike
@pytest.mark.parametrize(
    "path", ["/work_packages/abc", "/work_packages/0", "/work_packages/99999999999999999999", "/work_packages/%00"]
)
def test_what_is_no_id_is_404(world: World, path: str) -> None:
    assert refusal(world.get(path)) == NOT_FOUND


def test_a_write_without_content_type_is_406_and_a_comment_without_one_misses_its_parameter(world: World) -> None:
    item = world.new()
    client = world.board.client()
    update = client.request("PATCH", f"/work_packages/{item['id']}", content='{"lockVersion":0}')
    assert (update.status_code, update.text) == (406, "Missing content-type header")
    assert (
        refusal(client.request("POST", f"/work_packages/{item['id']}/activities", content='{"comment":{"raw":"x"}}'))
        == BAD_REQUEST
    )


def test_a_wrong_content_type_is_415_in_plain_text(world: World) -> None:
    item = world.new()
    response = world.board.client().post(
        f"/work_packages/{item['id']}/activities",
        content='{"comment":{"raw":"x"}}',
        headers={"content-type": "text/plain"},
    )
    assert response.status_code == 415
    assert response.text == "The provided content-type 'text/plain' is not supported."


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/hal+json", "application/json; charset=utf-8"]
)
@pytest.mark.alike
def test_both_kinds_of_json_are_accepted(world: World, content_type: str) -> None:
    body = json.dumps({"subject": world.word})
    assert (
        world.board.client()
        .post("/projects/shop/work_packages", content=body, headers={"content-type": content_type})
        .status_code
        == 201
    )


@pytest.mark.parametrize(
    "content", [b'{"comment":', b'{"a":NaN}', b"{} x", b'\xef\xbb\xbf{"a":1}', b'{"a":"\0"}', b'{"a":"\\ud800"}']
)
@pytest.mark.alike
def test_a_body_that_is_no_json_is_400_wherever_the_fault_is(world: World, content: bytes) -> None:
    item = world.new()
    response = world.board.client().patch(f"/work_packages/{item['id']}", content=content, headers=JSON)
    assert refusal(response)[:2] == (400, "InvalidRequestBody")
    assert response.json()["_embedded"]["details"]["parseError"]


TEXTS = {"NUL": b"a\\u0000b", "invalid bytes": b"a\xffb"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.alike
def test_a_nul_or_invalid_bytes_in_a_stored_text_are_500_and_nothing_is_stored(world: World, text: bytes) -> None:
    item = world.new()
    client = world.board.client()
    for body in (
        b'{"lockVersion":0,"subject":"%s"}',
        b'{"lockVersion":0,"description":{"raw":"%s"}}',
        b'{"lockVersion":0,"' + world.board.run.encode() + b'":"%s"}',
    ):
        response = client.patch(f"/work_packages/{item['id']}", content=body % text, headers=JSON)
        assert refusal(response)[:2] == (500, "InternalServerError")
    comment = client.post(
        f"/work_packages/{item['id']}/activities", content=b'{"comment":{"raw":"%s"}}' % text, headers=JSON
    )
    assert refusal(comment)[:2] == (500, "InternalServerError")
    assert world.read(item)["lockVersion"] == 0


def test_a_stale_lock_version_outranks_a_nul_and_an_unknown_property_may_hold_one(world: World) -> None:
    item = world.new()
    client = world.board.client()
    stale = client.patch(
        f"/work_packages/{item['id']}", content=b'{"lockVersion":9,"subject":"a\\u0000b"}', headers=JSON
    )
    ignored = client.patch(
        f"/work_packages/{item['id']}", content=b'{"lockVersion":0,"nonsense":"a\\u0000b"}', headers=JSON
    )
    assert (stale.status_code, ignored.status_code) == (409, 200)


def test_a_surrogate_pair_is_a_character(world: World) -> None:
    item = world.new()
    client = world.board.client()
    response = client.patch(
        f"/work_packages/{item['id']}", content=b'{"lockVersion":0,"subject":"\\ud83d\\ude00"}', headers=JSON
    )
    assert response.json()["subject"] == "\N{GRINNING FACE}"


def test_a_query_string_above_10_kb_is_400_with_an_empty_body(world: World) -> None:
    short, long = (world.get("/work_packages", select="total", x="a" * size) for size in (9_900, 10_300))
    assert short.status_code == 200
    assert (long.status_code, long.content) == (400, b"")


def test_messages_are_in_the_language_of_the_user_and_identifiers_are_not(world: World) -> None:
    item = world.new()
    english, german = (world.patch(item, {"lockVersion": 9}, who) for who in ("agent", "deutsch"))
    assert refusal(english) == refusal(german) == (409, "UpdateConflict", None)
    assert english.json()["message"] == "Could not update the resource because of conflicting modifications."
    assert german.json()["message"] == "Die Ressource konnte wegen parallelen Zugriffs nicht aktualisiert werden."
