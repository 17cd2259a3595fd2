"""Requests to send: the stories of a file, or the paper's, repeated with other seeds until there are enough."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

from ...engine.constraints import NONE
from ...engine.examples import EXAMPLES
from ...engine.storage.stories_file import read_requests
from .outcome import Prompt


def read_dataset(path: str | None) -> list[tuple[str, ...]]:
    """The sentences of every story of the file ``path`` (None: those that the package has). ``ValueError`` for a file
    that is not one of stories, or whose stories need pictures."""
    if path is None:
        return list(EXAMPLES.values())
    requests = read_requests(path, 0)
    for request in requests:
        if request.constraints != NONE:
            raise ValueError(f"--dataset-path {path!r}: story {request.id!r} has a mask or a depth; none is sent here")
    return [request.sentences for request in requests]


def prompts_of(stories: Sequence[tuple[str, ...]], count: int, seed: int, *, whole: bool) -> list[Prompt]:
    """``count`` requests with the seeds ``seed``, ``seed`` + 1, ...: whole stories in turn, or else their sentences,
    one a request."""
    texts = stories if whole else [(sentence,) for story in stories for sentence in story]
    chosen = islice(cycle(texts), count)
    return [Prompt(number, sentences, seed + number) for number, sentences in enumerate(chosen)]
