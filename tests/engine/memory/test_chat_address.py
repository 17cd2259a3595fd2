"""An endpoint's address, the proxy on the way to it and its certificates: impossible ones are refused in one line."""

import sys

import pytest

from acdc.engine.memory import MemorySettings, load_language_model
from acdc.engine.memory.answer import parse_line
from acdc.engine.memory.ask import Unreachable
from acdc.engine.memory.rewrite import Refused
from acdc.engine.memory.settings import chat_address
from tests.helpers.chat_runs import KEY, set_environment
from tests.helpers.chat_server import ChatServer, says
from tests.helpers.cli_runs import files, refuse

PROXY = {"ALL_PROXY": "", "all_proxy": "", "NO_PROXY": "", "no_proxy": ""}
AWAY = "http://example.invalid/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    set_environment(monkeypatch)
    for name, value in PROXY.items():
        monkeypatch.setenv(name, value)


def refused(url: str) -> str:
    with pytest.raises(ValueError, match=r"memory_url|environment|certificates") as caught:
        load_language_model(MemorySettings("chat", "m", url))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("host", ["256.256.256.256", "[v1.a]", "127.0.0.1/" + "x" * 70_000])
def test_an_address_that_only_the_library_refuses(host: str) -> None:
    text = refused(f"http://{host}/v1")
    assert text.startswith(f"memory_url 'http://{host[:100]}")
    assert " is not a URL: " in text
    assert len(text) < 400


@pytest.mark.parametrize("proxy", ["foo://user:hidden@127.0.0.1:1", "http://user:hidden@[::1", "://"])
def test_a_proxy_that_cannot_be_is_not_repeated(monkeypatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    text = refused(AWAY)
    assert "check $ALL_PROXY, $HTTP_PROXY, $HTTPS_PROXY" in text
    assert "user" not in text
    assert "hidden" not in text
    load_language_model(MemorySettings("chat", "m", "http://127.0.0.1:1/v1"))  # goes through no proxy


def test_a_proxy_by_socks_names_its_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTP_PROXY", "socks5://user:hidden@127.0.0.1:1")
    assert refused(AWAY) == "the environment names a SOCKS proxy, which needs the package 'socksio'"


def test_certificates_that_cannot_be_read(monkeypatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    text = refused("https://example.invalid/v1")
    assert text == "certificates cannot be read (No such file or directory); check $SSL_CERT_FILE, $SSL_CERT_DIR"


BASES = {  # what is given -> the base, and where a completion is asked for
    "http://a/v1/chat/completions": ("http://a/v1", "http://a/v1/chat/completions"),
    "http://a/v1/chat/completions/": ("http://a/v1", "http://a/v1/chat/completions"),
    "http://a/v1/Chat/Completions": ("http://a/v1", "http://a/v1/chat/completions"),
    "http://a//v1//": ("http://a/v1", "http://a/v1/chat/completions"),
    "http://a/v1/completions": ("http://a/v1", "http://a/v1/chat/completions"),
    "http://a": ("http://a", "http://a/chat/completions"),
    "http://[::1]:8000/v1/": ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
    "https://a/openai/deployments/m/chat/completions?api-version=2024-06-01": (
        "https://a/openai/deployments/m?api-version=2024-06-01",
        "https://a/openai/deployments/m/chat/completions?api-version=2024-06-01",
    ),
}


@pytest.mark.parametrize(("given", "expected"), BASES.items(), ids=BASES)
def test_an_address_in_whichever_form(given: str, expected: tuple[str, str]) -> None:
    """harry0703/MoneyPrinterTurbo#57: the whole address was given, and its end was appended to it again."""
    base = MemorySettings("chat", "m", given).resolved({}).url
    assert (base, chat_address(base)[0]) == expected
    assert MemorySettings("chat", "m", base).resolved({}).url == base


def test_azures_header_goes_to_an_address_with_a_version_alone() -> None:
    server = ChatServer()
    server.does(says("Fine."))
    try:
        for url, header in ((f"{server.url}?api-version=2024-06-01", KEY), (server.url, None)):
            model = load_language_model(MemorySettings("chat", "m", url))
            assert model.complete([], timeout_s=5.0, temperature=0.0, seed=None) == "Fine."
            assert server.asked[-1].headers.get("api-key") == header
        assert [asked.path for asked in server.asked] == [
            "/v1/chat/completions?api-version=2024-06-01",
            "/v1/chat/completions",
        ]
    finally:
        server.close()


@pytest.mark.parametrize("query", ["key=1", "api-version=1&key=1", "api-version=", "api-version=a%20b", ""])
def test_another_query_is_refused(query: str) -> None:
    assert "was given with a user name, a password, a query" in refused(f"http://a/v1?{query}")


def test_https_to_a_server_that_speaks_http_is_one_line() -> None:
    server = ChatServer()
    try:
        model = load_language_model(MemorySettings("chat", "m", server.url.replace("http", "https", 1)))
        with pytest.raises(Unreachable, match=r"cannot be reached: .*SSL"):
            model.complete([], timeout_s=5.0, temperature=0.0, seed=None)
    finally:
        server.close()


@pytest.mark.usefixtures("own_folder")
def test_the_command_says_it_before_a_model_is_loaded(capsys) -> None:
    argv = ("--memory", "chat", "--memory-url", "http://256.256.256.256/v1", "--memory-model", "m")
    assert "'http://256.256.256.256/v1' is not a URL" in refuse(capsys, "story", "A cat.", "--bundle", "nowhere", *argv)
    assert files(".") == {}


def test_the_line_of_another_sentence_is_refused() -> None:
    assert parse_line("2. Luna ran.", 2) == parse_line("Luna ran.", 2) == "Luna ran."
    with pytest.raises(Refused, match="does not begin with its number, 2, and a full stop"):
        parse_line("3. Luna ran.", 2)
