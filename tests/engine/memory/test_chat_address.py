"""An endpoint's address, the proxy on the way to it and its certificates: what cannot be is refused in one line."""

import sys

import pytest

from acdc.engine.memory import MemorySettings, load_language_model
from acdc.engine.memory.answer import Refused, parse_line
from tests.helpers.chat_runs import set_environment
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
    assert " is no URL: " in text
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


@pytest.mark.usefixtures("own_folder")
def test_the_command_says_it_before_a_model_is_loaded(capsys) -> None:
    argv = ("--memory", "chat", "--memory-url", "http://256.256.256.256/v1", "--memory-model", "m")
    assert "'http://256.256.256.256/v1' is no URL" in refuse(capsys, "story", "A cat.", "--bundle", "nowhere", *argv)
    assert files(".") == {}


def test_the_line_of_another_sentence_is_refused() -> None:
    assert parse_line("2. Luna ran.", 2) == parse_line("Luna ran.", 2) == "Luna ran."
    with pytest.raises(Refused, match="does not begin with its number, 2, and a full stop"):
        parse_line("3. Luna ran.", 2)
