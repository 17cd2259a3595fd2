"""The key of an endpoint: where it comes from, and that it shows nowhere; which settings are possible."""

import logging
import pickle
import subprocess
import sys
import traceback

import pytest

from acdc.engine.memory import MemoryFailure, MemorySettings, chat, optional
from acdc.engine.memory.secret import Secret, find_key
from tests.helpers.chat_runs import GOOD, KEY, QUICK, memory, rewrites
from tests.helpers.chat_server import ChatServer, drip, fails, hang, numbered, raw, says

pytestmark = pytest.mark.usefixtures("chat_environment")


LEAKS = {
    "in a header": says(numbered(GOOD), headers={"X-Echo": f"Bearer {KEY}"}),
    "in an answer": says(numbered([GOOD[0], f"Benny says {KEY}.", GOOD[2]])),
    "in capitals": says(numbered([GOOD[0], f"Benny says {KEY.upper()}.", GOOD[2]])),
    "in an error": fails(400, f"Incorrect API key provided: {KEY}"),
    "in a refusal": fails(401, f"Incorrect API key provided: {KEY}", {"WWW-Authenticate": KEY}),
    "in a 500": fails(500, KEY, {"Retry-After": KEY}),
    "in a redirect": raw(b"", 302, {"Location": f"http://127.0.0.1:1/?key={KEY}"}),
    "in no JSON": raw(KEY.encode()),
    "in no HTTP": drip(KEY.encode() + b"\r\n\r\n"),
    "nowhere": says(numbered(GOOD)),
    "hangs": hang(),
}


class TestKey:
    @pytest.mark.long
    @pytest.mark.parametrize("act", LEAKS.values(), ids=LEAKS)
    def test_it_shows_in_no_log_error_traceback_or_repr(self, server, monkeypatch, caplog, capfd, act):
        monkeypatch.setattr(chat, "Limits", lambda: QUICK)  # whether it answers in time does not matter here
        caplog.set_level(logging.DEBUG)
        for name in ("httpx2", "httpcore2", "httpcore2.http11", "httpcore2.connection", "anyio", "tenacity"):
            caplog.set_level(logging.DEBUG, name)
        server.does(act)
        made = memory(server, on_failure="rules")
        texts = [str(found) for found in rewrites(made)]
        try:
            rewrites(memory(server))
        except MemoryFailure as failure:
            texts += [str(failure), repr(failure), *traceback.format_exception(failure, chain=True)]
            texts += [repr(vars(error)) for error in (failure, failure.__context__, failure.__cause__) if error]
        assert server.asked[0].headers["Authorization"].endswith(KEY)
        assert any("send_request_headers" in record.getMessage() for record in caplog.records), "logs were listened to"
        texts += [repr(made.model), str(vars(made.model)), repr(vars(made)), caplog.text, *capfd.readouterr()]
        texts += [str(vars(record)) for record in caplog.records]
        assert not [text for text in texts if KEY.casefold() in text.casefold()]

    def test_it_cannot_be_written_and_the_loggers_are_left_as_they_were(self, server):
        server.does(says(numbered(GOOD)))
        rewrites(memory(server))
        assert logging.getLogger("httpcore2.http11").filters == []
        with pytest.raises(TypeError, match="not written"):
            pickle.dumps(Secret(KEY))
        assert f"{Secret(KEY)} {[Secret(KEY)]}" == "Secret(hidden) [Secret(hidden)]"

    def test_a_redirect_is_not_followed(self, server):
        other = ChatServer()
        other.does(says(numbered(GOOD)))
        server.does(raw(b"", 307, {"Location": f"{other.url}/chat/completions"}))
        with pytest.raises(MemoryFailure, match="redirects"):
            rewrites(memory(server))
        other.close()
        assert other.asked == []

    def test_what_is_for_this_machine_goes_through_no_proxy(self, server, monkeypatch):
        proxy = ChatServer()
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        server.does(says(numbered(GOOD)))
        assert rewrites(memory(server))[1].text == GOOD[1]
        proxy.close()
        assert proxy.asked == []

    def test_without_a_key_no_header_is_sent(self, server, monkeypatch):
        monkeypatch.delenv("ACDC_CHAT_API_KEY")
        server.does(says(numbered(GOOD)))
        rewrites(memory(server))
        assert "Authorization" not in server.asked[0].headers

    def test_a_short_placeholder_is_not_a_secret(self, server, monkeypatch):
        monkeypatch.setenv("ACDC_CHAT_API_KEY", "Benny")
        server.does(says(numbered(GOOD)))
        assert rewrites(memory(server))[1].text == GOOD[1]

    @pytest.mark.parametrize(
        ("url", "variables", "found"),
        [
            ("https://a/v1", {"ACDC_CHAT_API_KEY": "one", "OPENAI_API_KEY": "two"}, "one"),
            ("https://a/v1", {"ACDC_CHAT_API_KEY": "", "OPENAI_API_KEY": " two\n"}, "two"),
            ("http://localhost:8000", {"OPENAI_API_KEY": "two"}, "two"),
            ("http://gpu-box/v1", {"ACDC_CHAT_API_KEY": "one"}, "one"),
            ("http://gpu-box/v1", {}, ""),
            ("https://a/v1", {}, "no API key for 'https://a/v1'; set the environment variable ACDC_CHAT_API_KEY"),
            ("http://gpu-box/v1", {"OPENAI_API_KEY": "two"}, "not sent unencrypted to 'gpu-box'"),
            ("https://a/v1", {"ACDC_CHAT_API_KEY": f"{KEY}\r\nX: y"}, "holds characters"),
            ("https://a/v1", {"ACDC_CHAT_API_KEY": f'"{KEY}"'}, "holds characters"),
            ("https://a/v1", {"ACDC_CHAT_API_KEY": f"{KEY}é"}, "holds characters"),
            (f"https://a/{KEY}/v1", {"ACDC_CHAT_API_KEY": KEY}, "memory_url holds the API key"),
        ],
    )
    def test_where_it_comes_from(self, url, variables, found):
        if " " not in found:
            assert find_key(url, variables).reveal() == found
            return
        with pytest.raises(ValueError, match=r"API key|unencrypted|characters") as refused:
            find_key(url, variables)
        assert found in str(refused.value)
        assert KEY not in str(refused.value)


class TestSettings:
    def test_what_is_open_is_resolved(self):
        resolved = MemorySettings("chat").resolved({})
        assert resolved == MemorySettings("chat", "gpt-4o-mini", "https://api.openai.com/v1", "chunk", "error")
        variables = {"ACDC_CHAT_URL": "http://here/v1/", "ACDC_CHAT_MODEL": "b"}
        assert MemorySettings("chat").resolved(variables).url == "http://here/v1"
        assert MemorySettings("chat").resolved(variables).model == "b"
        assert MemorySettings("chat", "c", "https://there").resolved(variables).url == "https://there"
        assert MemorySettings("rules").recorded() == {}

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"name": "magic"}, "unknown memory 'magic'; choose one of: none, rules, chat, local"),
            ({"name": "rules", "model": "m"}, "memory_model is given, but memory 'rules' asks no model"),
            ({"name": "none", "calls": "story"}, "memory_calls is given"),
            ({"name": "local", "model": "m", "url": "http://a"}, "asks no endpoint"),
            ({"name": "chat", "calls": "frame"}, "unknown memory_calls 'frame'; choose one of: chunk, story"),
            ({"name": "chat", "on_failure": "cry"}, "unknown memory_on_failure 'cry'; choose one of: error, rules"),
            ({"name": "chat", "model": " "}, "memory_model ' ' is not a name"),
            ({"name": "chat", "url": "ftp://a"}, "memory_url 'ftp://a' is not a URL; give one like https://"),
            ({"name": "chat", "url": "http://"}, "is not a URL"),
            ({"name": "chat", "url": "http://a:port"}, "is not a URL"),
            ({"name": "chat", "url": "http://[::1"}, "is not a URL"),
            ({"name": "chat", "url": "http://a\n.b"}, "is not a URL"),
            ({"name": "chat", "url": f"https://user:{KEY}@a/v1"}, "'https://a/v1' was given with a user name"),
            ({"name": "chat", "url": f"https://a/v1?key={KEY}"}, "'https://a/v1' was given with"),
            ({"name": "chat", "url": f"x://user:{KEY}@a?{KEY}#{KEY}"}, "is not a URL"),
            ({"name": "chat", "url": f"http://user:{KEY}/{KEY}@a"}, "'http://a' is not a URL"),
            ({"name": "chat", "url": f"{KEY}://a@b://c"}, "is not a URL"),
        ],
    )
    def test_impossible_settings_are_refused_without_secrets(self, given, words):
        with pytest.raises(ValueError, match="memory") as refused:
            MemorySettings(**given)
        assert words in str(refused.value)
        assert KEY not in str(refused.value)

    def test_a_model_must_be_named_for_other_addresses(self):
        with pytest.raises(ValueError, match="memory_model is missing; name a model of 'http://a'"):
            MemorySettings("chat", url="http://a").resolved({})

    @pytest.mark.parametrize("package", ["httpx2", "tenacity"])
    def test_a_missing_package_is_one_line(self, server, monkeypatch, package):
        find = optional.find_spec
        monkeypatch.setattr(optional, "find_spec", lambda name: None if name == package else find(name))
        with pytest.raises(ValueError, match=rf"needs the package '{package}'.*pip install 'acdc-engine\[chat\]'"):
            memory(server)

    def test_other_memories_need_none_of_it(self):
        code = (
            "import sys; from acdc.engine.memory import load_memory; from acdc.engine.options import StoryOptions;"
            "load_memory('rules'); StoryOptions();"
            "assert not {'httpx2', 'tenacity', 'transformers', 'torch', 'anyio'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
