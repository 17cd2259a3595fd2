"""A worker's writing: it waits for a full disk, and for nothing else."""

from collections.abc import Callable

import pytest

from acdc.engine.server.worker import persist
from acdc.engine.server.worker.persist import Persistence


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr(persist.time, "sleep", waits.append)
    return waits


def first(*errors: Exception) -> Callable[[], str]:
    """A write that raises these errors, one an attempt, and then succeeds."""
    left = list(errors)

    def write() -> str:
        if left:
            raise left.pop(0)
        return "written"

    return write


def test_a_full_disk_is_waited_for(waits):
    writing = Persistence()
    full = OSError(28, "No space left on device")
    assert writing(first(full, full)) == "written"
    assert len(waits) == 2
    assert not writing.blocked


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file or directory"), KeyError("lost")])
def test_an_error_of_another_kind_ends_the_wait(waits, error):
    """The worker claims to be blocked no longer, though nothing was written."""
    writing = Persistence()
    with pytest.raises(type(error)):
        writing(first(OSError(28, "No space left on device"), error))
    assert len(waits) == 1
    assert not writing.blocked


def test_a_worker_that_stops_waits_no_longer(waits):
    writing = Persistence()
    writing.stopped = True
    with pytest.raises(OSError, match="No space"):
        writing(first(OSError(28, "No space left on device")))
    assert not waits
