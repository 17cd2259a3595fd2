"""Shared parts of the tests of studies: quick calibrations, and a parser of their pages."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest

VOID = {"meta", "br", "img", "link", "input", "hr"}


@contextmanager
def quickly() -> Iterator[None]:
    """Few repeats, small products, short latencies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acdc.bench.overhead.sweeps.SECONDS", (0.0, 0.02))
        patch.setattr("acdc.bench.overhead.predict.REPEATS", 1)
        patch.setattr("acdc.bench.overhead.floors.MATRIX", {"cpu": 256})
        patch.setattr("acdc.bench.overhead.floors.COPY_BYTES", 2**20)
        with little_garbage():
            yield


@contextmanager
def little_garbage() -> Iterator[None]:
    """Objects of now are not searched before each measured run: those of torch's modules take a third of a second."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class Page(HTMLParser):
    """Text, tags and addresses; whether every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text: str) -> Page:
    found = Page()
    found.feed(text)
    found.close()
    assert not found.open
    return found
