"""The HTTP client of the load: one pool for all requests, and errors in the service's own words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from ...engine.utils.to_one_line import one_line
from .outcome import RequestFailed
from .plan import KEY_VARIABLE

CONNECT_S, READ_S = 10.0, 600.0  # seconds without a byte, as OpenAI's client waits
LARGEST_EVENT = 1 << 26  # bytes: pictures are within events on OpenAI's routes


def check_address(base_url: str) -> str:
    """The address without a slash at its end; ``ValueError`` for one that is not of a service."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--base-url {base_url!r} is not an address; give one like http://127.0.0.1:8000")
    if parts.username or parts.password:
        raise ValueError(f"--base-url holds a password; give the key in {KEY_VARIABLE} only")
    return base_url.rstrip("/").removesuffix("/v1")


def open_client(base_url: str, key: str | None) -> httpx2.AsyncClient:
    """A client without a limit on connections: the load decides how many requests are under way."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=timeout, limits=limits, trust_env=False)


async def post(client: httpx2.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON of the answer; :class:`RequestFailed` for another status."""
    answer = await client.post(path, json=body)
    check_status(answer)
    content = answer.json()
    if not isinstance(content, dict):
        raise RequestFailed("the answer is not a JSON object")
    return content


async def fetch_picture(client: httpx2.AsyncClient, url: str) -> None:
    """Read a picture to its last byte, from the service itself and from nowhere else."""
    if urlsplit(urljoin(str(client.base_url), url)).netloc != client.base_url.netloc.decode():
        raise RequestFailed(f"the picture {url[:100]!r} is not on the service")
    answer = await client.get(url)
    check_status(answer)
    if not answer.headers.get("content-type", "").startswith("image/") or not answer.content:
        raise RequestFailed(f"{url[:100]!r} is not a picture")


def check_status(answer: httpx2.Response) -> None:
    """:class:`RequestFailed` with the service's message, unless the request succeeded."""
    if not answer.is_success:
        raise RequestFailed(f"status {answer.status_code}: {message_of(answer.text)}")


def message_of(text: str) -> str:
    """The message of an error of OpenAI's shape, or else the text's beginning, as one line that a terminal can show."""
    try:
        found = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        found = text
    return one_line(str(found))[:200]
