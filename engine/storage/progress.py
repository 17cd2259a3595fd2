"""Says on stderr how far a story is: a bar in a terminal, else one line a frame."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from ..outputs import Frame, Phase
from ..utils.streams import animates, lenient, log

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

ORDER = list(Phase)


class Progress(Protocol):
    """Listens to a story being drawn."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def phase(self, index: int, phase: Phase) -> None:
        """``phase`` of frame ``index`` (from 0) begins."""
        ...

    def frame(self, frame: Frame, seconds: float) -> None:
        """``frame`` is on disk, ``seconds`` after the one before it."""
        ...


class NoBar:
    """Nothing to open on the screen, and nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class WithBar:
    """Opens its bar on the screen, and closes it."""

    _bar: RichProgress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def make_bar(*texts: str) -> RichProgress:
    """On stderr: what is being done, the bar, the time, and further texts. Closing removes it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), *map(TextColumn, texts))
    return Progress(*columns, console=Console(file=lenient(sys.stderr)), transient=True)


class Lines(NoBar):
    """One line a frame, for logs and pipes."""

    def __init__(self, total: int) -> None:
        self._total = total

    def phase(self, index: int, phase: Phase) -> None:
        """A log does not care for phases."""

    def frame(self, frame: Frame, seconds: float) -> None:
        times = ", ".join(f"{name} {ms:.0f}" for name, ms in frame.phases_ms.items() if ms >= 0.5)
        log(f"frame {frame.index + 1}/{self._total}: {seconds:.2f} s ({times or 'under 1'} ms)")


class Bar(WithBar):
    """A bar that shows the frame and the phase being run."""

    def __init__(self, total: int, done: int) -> None:
        self._bar, self._total = make_bar(), total
        self._task = self._bar.add_task("loading", total=total * len(ORDER), completed=done * len(ORDER))

    def phase(self, index: int, phase: Phase) -> None:
        self._bar.update(
            self._task,
            description=f"frame {index + 1}/{self._total}  {phase.value:<8}",
            completed=index * len(ORDER) + ORDER.index(phase),
        )

    def frame(self, frame: Frame, seconds: float) -> None:
        self._bar.update(self._task, completed=(frame.index + 1) * len(ORDER))


def make_progress(total: int, done: int) -> Progress:
    """A bar where stderr is a terminal, lines elsewhere."""
    return Bar(total, done) if animates() else Lines(total)
