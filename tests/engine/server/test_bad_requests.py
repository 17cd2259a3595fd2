"""Malformed requests: each is answered by one line of OpenAI's shape, never 422, 500 or a traceback."""

import json
import random

import pytest

from tests.helpers.serving_here import client_of, settings_of

SHAPE = {"message", "type", "param", "code"}
TEXTS = [
    "",
    "A fox sat.",
    "x" * 5000,
    "é" * 100,
    "\x00",
    "\ud800",
    "\u202e",
    "word " * 61,
    "../../etc/passwd",
    "'; drop table jobs",
]
IDS = [
    "a",
    "story_0",
    "..",
    "../..",
    "%2e%2e%2f",
    "a%00b",
    "é",
    "a" * 300,
    "-",
    ".hidden",
    "a/b",
    "%ff",
    "*",
    "story_1",
]
VALUES = [
    None, True, False, 0, -1, 1, 2**63, 2**64, 1e308, -0.5, float("nan"), float("inf"), [], {}, [[]], {"a": {}}, [None],
    "null", *TEXTS,
]  # fmt: skip
FIELDS = [
    "sentences", "id", "seed", "model", "open", "partial_images", "priority", "continuation", "idempotency_key", "acdc",
    "strength", "num_inference_steps", "guidance_scale", "temperature", "top_k", "memory", "memory_url", "correction",
    "mask_strength", "negative_prompt", "context", "decoding", "__class__", "bundle",
]  # fmt: skip
PATHS = [
    "/v1/stories", "/v1/stories", "/v1/stories", "/v1/stories/{id}", "/v1/stories/{id}/sentences",
    "/v1/stories/{id}/close", "/v1/stories/{id}/cancel",
    "/v1/stories/{id}/events", "/v1/stories/{id}/frames/{id}.png", "/v1/stories/{id}/frames/{n}.png",
    "/v1/stories/{id}/frames/{n}.webp", "/v1/stories/{id}/drafts/{n}.png", "/v1/stories/{id}/estimates/{n}/{n}.png",
    "/v1/stories/{id}/sheet.png", "/v1/stories/{id}/{id}", "/v1/models/{id}", "/v1/session", "/v1/{id}", "/{id}",
    "/health",
]  # fmt: skip
NUMBERS = ["0", "-1", "1", "999999999999999999999", "1.5", "NaN", "٣", "0x1", ""]
METHODS = ["GET", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]
TYPES = ["application/json", "application/json; charset=utf-16", "text/plain", "multipart/form-data", "", "a" * 300]
HEADERS = {
    "last-event-id": ["-1", "x", "9" * 40, "1e3", "²", "0"],
    "idempotency-key": ["", "k" * 300, "k", "\t"],
    "host": ["localhost", "evil.example", "", "localhost:99999999", "[", "127.0.0.1"],
    "origin": ["null", "https://evil.example", "http://localhost", "[", "https://[", ""],
    "authorization": ["", "Bearer", "Bearer x", "Basic eDp4", "bearer \xe9"],
    "cookie": ["acdc_session=x", "acdc_session=" + "A" * 200, "=;=", "a" * 5000],
    "x-request-id": ["a", "a" * 1000, "\xe9"],
    "range": ["bytes=0-", "bytes=5-1", "bytes=a", "x"],
}


def body_of(chance: random.Random) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(60)))
    if kind == 1:
        return chance.choice([b"[" * 100_000, b'{"sentences": [', b"nul", b"NaN", b"{}", b"[]", b'""', b"1e999", b""])
    record = {chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.randrange(5))}
    if kind > 3:
        record["sentences"] = [chance.choice(TEXTS) for _ in range(chance.randrange(70 if kind == 4 else 4))]
    if kind == 2:
        record["acdc"] = {chance.choice(FIELDS): chance.choice(VALUES)}
    return json.dumps(record).encode("utf-8", "replace")


def path_of(chance: random.Random) -> str:
    path = chance.choice(PATHS)
    while "{id}" in path or "{n}" in path:
        path = path.replace("{id}", chance.choice(IDS), 1).replace("{n}", chance.choice(NUMBERS), 1)
    if chance.random() < 0.3:
        name = chance.choice(["after", "limit", "state", "x"])
        path += f"?{name}={chance.choice([*NUMBERS, 'running', '%00', 'done', 'story_0'])}"
    return path


def headers_of(chance: random.Random) -> dict[str, bytes]:
    chosen = {"content-type": chance.choice(TYPES) if chance.random() < 0.3 else TYPES[0]}
    for name, values in HEADERS.items():
        if chance.random() < 0.08:
            chosen[name] = chance.choice(values)
    return {name: value.encode("latin-1", "replace") for name, value in chosen.items()}


def send(folder, count: int, seed: int, capfd, **settings) -> dict[int, int]:
    """Send requests -> how often each status came."""
    chance, statuses = random.Random(seed), dict[int, int]()
    with client_of(settings_of(folder, max_queue=50, **settings)) as client:
        for number in range(count):
            method, path, headers = chance.choice(METHODS), path_of(chance), headers_of(chance)
            content = body_of(chance) if method in ("POST", "PUT", "PATCH") else None
            if number % 20 == 0:  # a good one, so that some of the ids are stories'
                method, path, headers = "POST", "/v1/stories", {"content-type": b"application/json"}
                good = {"sentences": ["A fox sat."], "open": True, "id": chance.choice(["a", "story_0", "story_1"])}
                content = json.dumps(good).encode()
            story, _, rest = path.partition("/events")
            if ".." in story and story != path:
                continue  # the client resolves it to the stream of all stories
            if method == "GET" and story != path and rest[:1] in ("", "?") and client.get(story).is_success:
                continue  # a stream that has begun does not end
            answer = client.request(method, path, headers=headers, content=content)
            sent = f"seed {seed}, request {number}: {method} {path} {headers} {content!r:.300}"
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            assert answer.status_code not in (422, 500), sent
            assert answer.headers["x-request-id"], sent
            if answer.status_code >= 400 and method != "HEAD":
                error = answer.json()["error"]
                assert set(error) == SHAPE, sent
                assert error["message"], sent
                assert "\n" not in error["message"], sent
                assert "Traceback" not in answer.text, sent
    assert "Traceback" not in "".join(capfd.readouterr())
    return statuses


@pytest.mark.long
def test_hundreds_of_bad_requests_are_answered_well(tmp_path, capfd):
    statuses = send(tmp_path, 400, 1, capfd)
    assert statuses[400] > 20
    assert statuses[404] > 20
    assert {201, 405, 403} <= statuses.keys()


@pytest.mark.slow
def test_ten_thousand_bad_requests_are_answered_well(tmp_path, capfd):
    statuses = send(tmp_path, 10_000, 2, capfd)
    assert sum(statuses.values()) > 9_000
    print(statuses)


def test_a_body_that_is_too_large_is_refused(tmp_path):
    with client_of(settings_of(tmp_path, max_body_mb=1)) as client:
        answer = client.post("/v1/stories", content=b'{"sentences": ["' + b"x" * (1 << 20) + b'"]}')
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")
        streamed = client.post("/v1/stories", content=(b"x" * 4096 for _ in range(1000)))
        assert streamed.status_code == 413


def test_a_full_queue_says_when_to_come_again(tmp_path):
    with client_of(settings_of(tmp_path, max_queue=2)) as client:
        answers = [client.post("/v1/stories", json={"sentences": ["A fox sat."]}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    assert answers[2].json()["error"]["type"] == "rate_limit_error"


@pytest.mark.long
@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"sentences": ["A fox sat."], "strength": 2}, "strength", "invalid_value"),
        ({"sentences": ["A fox sat."], "strenght": 0.4}, "strenght", "unknown_parameter"),
        ({"sentences": ["A fox sat."], "memory": "chat"}, "memory", "unsupported_parameter"),
        ({"sentences": ["A fox sat."], "acdc": {"strength": "x"}}, "strength", "invalid_value"),
        ({"sentences": ["A fox sat."], "seed": -1}, "seed", "invalid_value"),
        ({"sentences": []}, "sentences", "invalid_value"),
        ({"sentences": ["A fox sat.", " "]}, "sentences", "invalid_value"),
        ({"sentences": ["A fox sat."] * 65}, "sentences", "too_many_sentences"),
        ({"sentences": ["A fox sat."], "id": "../x"}, "id", "invalid_value"),
        ({"sentences": ["A fox sat."], "model": "dall-e-3"}, "model", "model_not_found"),
    ],
)
def test_an_error_names_its_field(tmp_path, body, param, code):
    with client_of(settings_of(tmp_path)) as client:
        answer = client.post("/v1/stories", json=body)
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert answer.status_code == (404 if param == "model" else 400)
