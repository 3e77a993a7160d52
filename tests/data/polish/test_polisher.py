import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamomni.data.polish.answers import AnswerCache
from dreamomni.data.polish.backends import EndpointBackend
from dreamomni.data.polish.polisher import Polisher, tidy
from dreamomni.errors import ConfigError, DataError

pytest.importorskip("openai")

NAMES = ("cup", "car")
Endpoint = Any  # the fixture of conftest.py
TEXT = "two red cups and a blue car"
BETTER = "A blue car next to two red cups."


def completion(text: Any) -> tuple[int, bytes]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return 200, json.dumps(body).encode()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[AnswerCache]:
    with AnswerCache(tmp_path / "answers.db") as answers:
        yield answers


def polisher(endpoint: Endpoint, cache: AnswerCache, **options: Any) -> Polisher:
    return Polisher(EndpointBackend(endpoint.url, "m", **{"timeout": 5.0, "max_retries": 0} | options), cache)


def test_a_good_answer_is_used_and_asked_for_once(endpoint: Endpoint, cache: AnswerCache) -> None:
    endpoint.reply = lambda text: completion(BETTER)
    first = polisher(endpoint, cache)
    assert first.polish(TEXT, NAMES).text == BETTER
    assert polisher(endpoint, cache).polish(TEXT, NAMES).text == BETTER
    assert endpoint.asked == [TEXT]
    assert first.outcomes == {"polished": 1}


MISBEHAVIOUR: dict[str, Callable[[str], tuple[int, bytes]]] = {
    "another number": lambda text: completion("three red cups and a blue car"),
    "swapped colours": lambda text: completion("two blue cups and a red car"),
    "chatter": lambda text: completion(f"Sure! Here it is:\n{text}"),
    "nothing": lambda text: completion(""),
    "no text at all": lambda text: completion(None),
    "no choices": lambda text: (200, b'{"id": "x", "object": "chat.completion", "choices": []}'),
    "no json": lambda text: (200, b"<html>gateway</html>"),
    "a list": lambda text: (200, b"[]"),
    "cut off": lambda text: (200, completion(BETTER)[1][:-20]),
    "server error": lambda text: (500, b'{"error": {"message": "boom"}}'),
    "too many requests": lambda text: (429, b'{"error": {"message": "slow down"}}'),
    "a novel": lambda text: completion("two red cups and a blue car " * 500),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
def test_the_template_stays_when_the_endpoint_misbehaves(
    endpoint: Endpoint, cache: AnswerCache, how: str
) -> None:
    endpoint.reply = MISBEHAVIOUR[how]
    result = polisher(endpoint, cache).polish(TEXT, NAMES)
    assert result.text == TEXT
    assert result.outcome in ("refused", "failed")
    assert result.reason


def test_a_failure_is_not_remembered_but_repeated(endpoint: Endpoint, cache: AnswerCache) -> None:
    replies = iter([(500, b"{}"), (429, b"{}"), completion(BETTER)])
    endpoint.reply = lambda text: next(replies)
    assert polisher(endpoint, cache, max_retries=2).polish(TEXT, NAMES).outcome == "polished"
    assert len(endpoint.asked) == 3


def test_an_endpoint_that_is_never_there_stops_the_run(cache: AnswerCache) -> None:
    backend = EndpointBackend("http://127.0.0.1:9/v1", "m", timeout=1.0, max_retries=0)
    worker = Polisher(backend, cache)
    for number in range(19):
        assert worker.polish(f"{TEXT} {number + 20}", NAMES).outcome == "failed"
    with pytest.raises(DataError, match="20 texts in a row got no answer"):
        worker.polish(TEXT, NAMES)


@pytest.mark.parametrize(
    ("status", "message"), [(401, "refuses the key"), (403, "refuses the key"), (404, "no model")]
)
def test_what_can_never_work_is_said_at_once(
    endpoint: Endpoint, cache: AnswerCache, status: int, message: str
) -> None:
    endpoint.reply = lambda text: (status, b'{"error": {"message": "no"}}')
    with pytest.raises(ConfigError, match=message):
        polisher(endpoint, cache).polish(TEXT, NAMES)


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://x/v1", "http://", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address"):
        EndpointBackend(address, "m")


def test_quotes_around_an_answer_are_taken_off_but_not_those_of_the_template() -> None:
    assert tidy(' "A cup." \n', "a cup") == "A cup."
    assert tidy('"stop"', '"stop"') == '"stop"'


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("just some words, long enough to be read as a header of a database file of sqlite " * 20)
    with pytest.raises(DataError, match="not a cache of answers"):
        AnswerCache(path)
