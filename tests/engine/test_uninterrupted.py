"""Ctrl-C is heard behind what must not be cut, and before and after it at once."""

import signal
import threading

import pytest

from acdc.engine.commands.uninterrupted import uninterrupted


@pytest.fixture(autouse=True)
def heeding():
    """A shell that starts the tests in the background lets them ignore the signal."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def test_what_is_inside_is_done_first():
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
        done.append("behind")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_inside_goes_before():
    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_changes_on_another_thread():
    seen = []

    def work():
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
