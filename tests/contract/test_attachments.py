"""Files of a work package: sent as multipart, told in lists, read back, removed."""

import json
from typing import Any

import httpx

from support.contract_world import FORBIDDEN, NOT_FOUND, Document, World, elements, refusal

BYTES = bytes(range(256)) + b"\r\n--boundary\r\n\r\n"


def upload(world: World, item: Document, content: bytes = BYTES, who: str = "agent", **metadata: Any) -> httpx.Response:
    described = json.dumps({"fileName": "bytes.bin", "contentType": "application/octet-stream", **metadata})
    files: dict[str, Any] = {"metadata": (None, described), "file": ("other.bin", content, "application/octet-stream")}
    return world.board.client(who).post(f"/work_packages/{item['id']}/attachments", files=files)


def test_a_file_is_stored_told_and_read_back(world: World) -> None:
    item = world.new()
    answer = upload(world, item, description={"raw": "some bytes"})
    assert answer.status_code in (200, 201)
    made = answer.json()
    assert (made["_type"], made["fileName"], made["fileSize"]) == ("Attachment", "bytes.bin", len(BYTES))
    assert (made["description"]["format"], made["description"]["raw"]) == ("plain", "some bytes")
    assert made["_links"]["container"]["href"] == item["_links"]["self"]["href"]
    assert [one["id"] for one in elements(world.get(f"/work_packages/{item['id']}/attachments"))] == [made["id"]]
    assert world.read(item)["_embedded"]["attachments"]["total"] == 1
    content = world.board.client().get(f"/attachments/{made['id']}/content", follow_redirects=True)
    assert content.content == BYTES


def test_a_file_moves_updated_at_and_not_the_lock_version(world: World) -> None:
    item = world.new()
    upload(world, item)
    after = world.read(item)
    assert after["lockVersion"] == item["lockVersion"]
    told = [detail["raw"] for activity in world.activities(item) for detail in activity["details"]]
    assert "File bytes.bin added" in " ".join(told) or any("bytes.bin" in one for one in told)


def test_it_can_be_removed_by_its_author(world: World) -> None:
    item = world.new()
    made = upload(world, item).json()
    assert world.board.client().delete(f"/attachments/{made['id']}").status_code == 204
    assert refusal(world.get(f"/attachments/{made['id']}")) == NOT_FOUND
    assert elements(world.get(f"/work_packages/{item['id']}/attachments")) == []


def test_without_permission_it_is_refused(world: World) -> None:
    item = world.new()
    assert refusal(upload(world, item, who="reader")) == FORBIDDEN
    assert refusal(upload(world, item, who="outsider")) == NOT_FOUND
    made = upload(world, item).json()
    assert refusal(world.get(f"/attachments/{made['id']}", "outsider")) == NOT_FOUND
    assert refusal(world.board.client("reader").delete(f"/attachments/{made['id']}")) == FORBIDDEN


def test_its_name_and_multipart_are_needed(world: World) -> None:
    item = world.new("held")
    refused = upload(world, item, fileName="")
    assert refused.status_code == 422
    json_body = world.post(f"/work_packages/{item['id']}/attachments", {"fileName": "x"})
    assert refusal(json_body)[:2] == (415, "TypeNotSupported")
