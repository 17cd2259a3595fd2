"""The forms in which real servers refuse, fail, stall and answer; names are those of public reports."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from acdc.engine.memory import MemoryFailure, MemorySettings, Rewrite, chat
from acdc.engine.memory.chat import Endpoint
from acdc.engine.memory.chat_completion import LARGEST
from tests.helpers.chat_runs import GOOD, KEY, PATIENT, STORY, memory, rewrites, set_environment
from tests.helpers.chat_server import Act, ChatServer, fails, numbered, raw, says

WANTED = [Rewrite(text) for text in (STORY[0], *GOOD[1:])]
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go on."}]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    set_environment(monkeypatch, PATIENT)


def sends(content: Any, status: int = 200, **headers: str) -> Act:
    """This as JSON."""
    return raw(json.dumps(content).encode(), status, headers)


def choice(**fields: Any) -> Act:
    """A completion with one choice of these fields."""
    return sends({"choices": [{"index": 0, **fields}]})


def endpoint(server: ChatServer) -> Endpoint:
    return Endpoint(MemorySettings("chat", "m", server.url))


MISTRAL = {
    "object": "error",
    "message": {"detail": [{"type": "extra", "loc": ["body", "seed"], "msg": "Extra inputs"}]},
}
TEMPERATURE = "Unsupported value: 'temperature' does not support 0.0 with this model."
REFUSES = {  # a refusal -> the fields that the next request must not have
    "qwen-code#921": (fails(400, TEMPERATURE), {"temperature"}),
    "named by param": (
        sends({"error": {"message": "Unsupported value", "param": "temperature"}}, 400),
        {"temperature"},
    ),
    "TGI": (
        sends({"error": "`temperature` must be strictly positive", "error_type": "validation"}, 422),
        {"temperature"},
    ),
    "with status 500": (fails(500, "UnsupportedParamsError: temperature"), {"temperature"}),
    "with status 200": (sends({"error": {"message": "temperature is not supported", "code": 400}}), {"temperature"}),
    "mistral#7": (sends(MISTRAL, 422), {"seed"}),
    "unknown to a strict server": (sends({"errors": {"seed": ["unknown field"]}}, 400), {"seed"}),
    "Mistral's other name": (fails(400, "use random_seed"), {"seed"}),
    "both": (fails(400, "Unsupported parameters: temperature, seed"), {"temperature", "seed"}),
    "o1-mini": (fails(400, "'messages[0].role' does not support 'system' with this model."), {"system"}),
    "Gemma by vLLM": (sends({"object": "error", "message": "System role not supported"}, 400), {"system"}),
    "Gemma by Google": (sends([{"error": {"message": "Developer instruction is not enabled"}}], 400), {"system"}),
    "Mistral 0.1": (fails(500, "Conversation roles must alternate user/assistant/..."), {"system"}),
}


class TestRefusedFields:
    @pytest.mark.parametrize(("refusal", "fields"), REFUSES.values(), ids=REFUSES)
    def test_it_is_asked_again_without_them_from_then_on(self, server, refusal, fields):
        server.does(refusal, says("Fine."))
        model = endpoint(server)
        for _ in range(2):
            assert model.complete(ASK, timeout_s=5.0, temperature=0.0, seed=3) == "Fine."
        first, *later = (request.body for request in server.asked)
        assert first == {"model": "m", "messages": ASK, "temperature": 0.0, "seed": 3}
        assert len(later) == 2
        for body in later:
            assert body.keys() == {"model", "messages", "temperature", "seed"} - fields
            turns = [{"role": "user", "content": "Be brief.\n\nGo on."}] if "system" in fields else ASK
            assert body["messages"] == turns

    def test_one_after_another(self, server):
        server.does(fails(400, "seed"), fails(400, "temperature"), fails(400, "system role"), says("Fine."))
        assert endpoint(server).complete(ASK, timeout_s=5.0, seed=3) == "Fine."
        assert server.asked[-1].body.keys() == {"model", "messages"}

    def test_what_names_nothing_that_can_go_is_final(self, server):
        server.does(fails(400, "this model's maximum context length is 10 tokens"))
        with pytest.raises(MemoryFailure, match="maximum context length"):
            endpoint(server).complete(ASK, timeout_s=5.0, seed=3)
        server.does(fails(400, "temperature, whatever you do"))
        with pytest.raises(MemoryFailure, match="whatever you do"):
            endpoint(server).complete(ASK, timeout_s=5.0, seed=3)
        assert len(server.asked) == 2


HTML = b"<!DOCTYPE html><!-- x --><head><style>a{}</style></head><h1>502 Bad Gateway</h1><p>It&#39;s down</p>"
REASONS = {  # vllm#12886 and the like
    "OpenAI": (fails(404, "no model m"), "no model m"),
    "vLLM": (sends({"object": "error", "message": "no model m", "code": 404}, 404), "no model m"),
    "Ollama": (sends({"error": "model 'm' not found"}, 404), "model 'm' not found"),
    "FastAPI": (sends({"detail": "no such model"}, 404), "no such model"),
    "FastAPI's checks": (sends({"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, 422), "too many (body.n)"),
    "Google": (sends([{"error": {"code": 404, "message": "no model m"}}], 404), "no model m"),
    "Spring": (sends({"error": "Not Found", "message": "no model m"}, 404), "no model m"),
    "problem+json": (sends({"type": "a", "title": "Gone", "detail": "no model m"}, 410), "no model m"),
    "Azure": (sends({"error": {"innererror": {"a": 1}, "code": "x", "message": "filtered"}}, 400), "filtered"),
    "of no known form": (sends({"fault": {"string": "oh no"}}, 400), '{"fault": {"string": "oh no"}}'),
    "plain text": (raw(b"Model is gone\n", 404), "Model is gone"),
    "HTML": (raw(HTML, 404), "502 Bad Gateway It's down"),
    "long": (raw(b"ab " * 5000, 404), ("ab " * 67)[:200] + " ..."),
    "Latin-1": (raw("hélas".encode("latin-1"), 404), "h�las"),
    "control characters": (fails(400, "a\x1b[31m\nb"), "a [31m b"),
    "inspect_ai#1534": (
        sends({"error": "Unexpected endpoint or method. (POST /chat/completions)"}),
        "Unexpected endpoint",
    ),
    "an error in the choice": (choice(error={"code": 502, "message": "upstream is down"}), "upstream is down"),
    "an error with empty choices": (sends({"choices": None, "error": {"message": "no credit"}}), "no credit"),
    "a web page": (raw(b"<html><title>Open WebUI</title></html>"), "Open WebUI"),
}


class TestReasons:
    @pytest.mark.long
    @pytest.mark.parametrize(("act", "words"), REASONS.values(), ids=REASONS)
    def test_the_server_is_quoted_in_one_line(self, server, monkeypatch, act, words):
        monkeypatch.setattr(chat, "Limits", lambda: PATIENT.within(4.0))  # of a server that is down, all of it
        server.does(act)
        with pytest.raises(MemoryFailure) as stopped:
            rewrites(memory(server))
        assert words in str(stopped.value)
        assert str(stopped.value).isprintable()
        assert len(str(stopped.value)) < 500

    @pytest.mark.long
    @pytest.mark.parametrize(
        "echo",
        [
            KEY,
            KEY.upper(),
            "\n".join(KEY),
            f"{KEY[:12]} ",
            KEY[9:] + "...",
            KEY.replace("-", "%2D"),
            KEY.replace("-", "&#45;"),
            KEY.replace("-", "\\u002d"),
            KEY.replace("-", "\u200b-"),
            "a" * 190 + KEY,
        ],
    )
    @pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
    def test_an_echo_of_the_key_is_not(self, server, echo, status):
        for act in (raw(echo.encode(), status), fails(status, echo), sends({"x": {"y": echo}}, status)):
            server.does(act)
            with pytest.raises(MemoryFailure) as stopped:
                rewrites(memory(server))
            bare = "".join(str(stopped.value).split())
            assert not any(KEY[i : i + 12] in bare for i in range(len(KEY) - 11))
            assert "do" not in bare.replace("127.0.0.1", "").replace("does", "")

    def test_an_error_with_status_200_is_backed_off_from(self, server, monkeypatch):
        monkeypatch.setattr(chat, "Limits", lambda: replace(PATIENT, first_pause_s=0.4, longest_pause_s=0.8))
        monkeypatch.setattr("random.uniform", lambda low, high: high)
        server.does(sends({"error": "busy"}), raw(b"<html>"), says(numbered(GOOD)))
        assert rewrites(memory(server)) == WANTED
        pauses = [after.at - before.at for before, after in zip(server.asked, server.asked[1:], strict=False)]
        assert pauses[0] > 0.35
        assert pauses[1] > 0.75

    @pytest.mark.parametrize("code", [400, "401", 404])
    def test_one_that_no_try_mends_ends_it(self, server, code):
        server.does(sends({"error": {"message": "no", "code": code}}))
        with pytest.raises(MemoryFailure, match="memory 'chat' failed"):
            rewrites(memory(server))
        assert len(server.asked) == 1

    def test_no_credit_is_not_waited_for(self, server):
        server.does(sends({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 429))
        with pytest.raises(MemoryFailure, match="exceeded your quota"):
            rewrites(memory(server))
        assert len(server.asked) == 1

    def test_an_address_without_v1_is_doubted(self, server):
        server.does(fails(404))
        with pytest.raises(MemoryFailure, match="many addresses end with /v1"):
            Endpoint(MemorySettings("chat", "m", server.url.removesuffix("/v1"))).complete(ASK, timeout_s=5.0)


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "2. Fi", {"type": "text", "text": "ne."}]
PIECES = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "2. Fi"}}]},
]
PIECES += [{"choices": [{"delta": {"content": "ne."}, "finish_reason": "stop"}]}, {"choices": [], "usage": {"a": 1}}]
STREAM = b": ping\n\n" + b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in PIECES)
BODY = json.dumps({"choices": [{"message": {"content": "2. Fine."}}]}).encode()
ANSWERS = {
    "hermes-agent#4748": says([{"type": "text", "text": "2. Fine."}]),
    "parts of several kinds": says(PARTS),
    "one part": says({"type": "output_text", "text": "2. Fine."}),
    "a part with a value": says([{"type": "text", "text": {"value": "2. Fine.", "annotations": []}}]),
    **{f"finish reason {end!r}": says("2. Fine.", end) for end in ("", "end_turn", "STOP", "eos", "stop_token", None)},
    "no finish reason": choice(message={"content": "2. Fine."}),
    "an error that is null": sends({"choices": [{"message": {"content": "2. Fine."}}], "error": None}),
    "thoughts next to it": choice(message={"content": "2. Fine.", "reasoning_content": "hm", "refusal": None}),
    "text of the older kind": choice(text="2. Fine."),
    "a stream": raw(STREAM + b"data: [DONE]\n\n", headers={"Content-Type": "text/event-stream"}),
    "a stream without its end": raw(STREAM.replace(b"\n", b"\r\n")),
    "gzip": raw(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}),
    "deflate": raw(zlib.compress(BODY), headers={"Content-Encoding": "Deflate"}),
    "no encoding": raw(BODY, headers={"Content-Encoding": "UTF-8"}),
    "a byte order mark": raw(b"\xef\xbb\xbf" + BODY),
    "UTF-16": raw(BODY.decode().encode("utf-16")),
    "blank lines before it": raw(b"\n  \n" + BODY),
    "status 201": raw(BODY, 201),
}
WITHHELD = {
    "a stream that is cut": (raw(STREAM[: STREAM.index(b'"finish_reason"')].rsplit(b"data:", 1)[0]), "it was cut off"),
    "length": (says("2. Fine.", "length"), "it was cut off"),
    "LENGTH": (says("2. Fine.", "LENGTH"), "it was cut off"),
    "max_tokens": (says("2. Fine.", "max_tokens"), "it was cut off"),
    "content_filter": (says("2. Fine.", "content_filter"), "it was withheld"),
    "tool_calls": (says("2. Fine.", "tool_calls"), "it calls a tool"),
    "a call of a tool": (choice(message={"content": None, "tool_calls": [{"id": "a"}]}), "it calls a tool"),
    "a refusal": (choice(message={"content": None, "refusal": "I can't"}), "it declines"),
    "thoughts alone": (choice(message={"content": "", "reasoning_content": "hm"}), "it holds thoughts and no text"),
    "no message": (choice(message=None), "no chat completion"),
    "no choices": (sends({"choices": []}), "no chat completion"),
    "an error in a stream": (raw(b'data: {"error": {"message": "overloaded"}}\n\n'), "overloaded"),
    "an error at a stream's end": (
        raw(STREAM[:60] + b'\n\ndata: {"error": {"message": "lost"}, "choices": [{"finish_reason": "error"}]}\n\n'),
        "no chat completion",
    ),
    "a zip bomb": (raw(gzip.compress(b"a" * (LARGEST + 9)), headers={"Content-Encoding": "gzip"}), "larger than"),
    "Brotli": (raw(b"x", headers={"Content-Encoding": "br"}), "compressed (br)"),
}


class TestAnswers:
    @pytest.mark.parametrize("act", ANSWERS.values(), ids=ANSWERS)
    def test_are_read(self, server, act):
        server.does(act)
        assert memory(server, "chunk").refine(STORY[:2]) == "Fine."
        assert len(server.asked) == 1

    @pytest.mark.parametrize(("act", "words"), WITHHELD.values(), ids=WITHHELD)
    def test_are_not_taken_if_they_are_none(self, server, act, words):
        server.does(act)
        with pytest.raises(MemoryFailure) as stopped:
            memory(server, "chunk").refine(STORY[:2])
        assert words in str(stopped.value)
