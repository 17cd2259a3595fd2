"""Servers with the fake engine, and OpenAI's client to them."""

import os

import openai
import pytest

from tests.helpers.serving import Server, running


def client_of(server: Server, key: str = "any", retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=retries)


@pytest.fixture(autouse=True)
def no_settings_of_the_client(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("openai")) as found:
        yield found


@pytest.fixture
def client(server):
    return client_of(server)
