"""The preflight's look at the model's API, which costs nothing and says what to do."""

import pytest

from agent.errors import ConfigurationError, PodTrouble
from agent.relay import probe
from support.relay_world import (
    KEY,
    Api,
    reply,
)


async def test_the_probe_asks_for_one_model_which_costs_nothing(api: Api) -> None:
    for status in (200, 404, 405, 400):
        api.turns = [reply(status, {"data": []})]
        await probe(api.url + "/v1/", KEY)
    assert {(one.method, one.target) for one in api.seen} == {("GET", "/v1/models?limit=1")}
    assert api.seen[0].header("x-api-key") == [KEY]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "it does not take the key; set another one"),
        (403, "the key is not allowed to ask; check its permissions, and from where it may be used"),
        (429, "the account's rate limit is reached; it will be asked again later"),
        (500, "it is in trouble itself; it will be asked again later"),
        (529, "it is in trouble itself; it will be asked again later"),
        (302, "it is somewhere else; set `model.api` to the address of the API itself"),
    ],
)
async def test_the_probe_says_what_to_do(api: Api, status: int, hint: str) -> None:
    api.turns = [reply(status, {"error": KEY}, location="http://127.0.0.1:1/")]
    host = api.url.removeprefix("http://")
    with pytest.raises(PodTrouble) as caught:
        await probe(api.url, KEY)
    assert str(caught.value) == f"the model's API at {host} answers {status}: {hint}"


async def test_the_probe_of_nothing_says_so() -> None:
    with pytest.raises(PodTrouble, match=r"at 127.0.0.1:1 does not answer \(ConnectError\): check the network"):
        await probe("http://127.0.0.1:1", KEY)


@pytest.mark.parametrize("api", ["", "ftp://h", "https://", "https://u:p@h", "https://h?x=1", "http://h:port", "h"])
async def test_an_address_that_is_none_is_a_setting_to_mend(api: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^model\.api is no address of an API"):
        await probe(api, KEY)


@pytest.mark.parametrize("key", ["", KEY + "\n", KEY + "\r\nx: y", "ключ-canary", "a b\x00"])
async def test_a_key_that_is_none_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await probe("http://127.0.0.1:1", key)
    assert "canary" not in str(caught.value)
