"""Says on stderr how far the correction of pictures is: a bar in a terminal, else one line a picture."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from ..utils.streams import animates, log
from .progress import NoBar, WithBar, make_bar


class PictureProgress(Protocol):
    """Listens to pictures being corrected."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def working(self, name: str) -> None:
        """The picture ``name``, or more frames of that clip, comes next."""
        ...

    def done(self, text: str) -> None:
        """A picture is over: finished, or failed as ``text`` says."""
        ...


class Lines(NoBar):
    """One line a picture, for logs and pipes."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done = total, done

    def working(self, name: str) -> None:
        """A log does not care for what is coming."""

    def done(self, text: str) -> None:
        self._done += 1
        log(f"picture {self._done}/{self._total}: {text}")


class Bar(WithBar):
    """A bar over all pictures; messages of failures come after it."""

    def __init__(self, total: int, done: int) -> None:
        self._bar = make_bar("{task.completed}/{task.total}")
        self._task = self._bar.add_task("loading", total=total, completed=done)

    def working(self, name: str) -> None:
        self._bar.update(self._task, description=name)

    def done(self, text: str) -> None:
        self._bar.advance(self._task)


def make_picture_progress(total: int, done: int) -> PictureProgress:
    """A bar where stderr is a terminal, lines elsewhere."""
    return Bar(total, done) if animates() else Lines(total, done)
