"""The three standard streams as a shell hands them over: closed, full, broken, or in an encoding that lacks letters.

Pictures are written to files; a broken stream must not lose one.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import IO, Any, cast

import click

STDIN = "-"
_INPUT = {STDIN, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}


def open_streams() -> None:
    """To be called once, before anything is opened: /dev/null takes the place of closed streams, so that no other file
    gets their numbers, to which libraries write; letters that an encoding lacks are replaced.

    ``sys.stdin`` stays None where it was closed: a reader must know.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        with suppress(OSError):  # what a program set that had the stream before
            os.set_blocking(number, True)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


def log(line: str) -> None:
    """``line`` on standard error; one that cannot be written there is dropped."""
    with suppress(OSError, ValueError):  # ValueError: the stream was closed meanwhile
        click.echo(line, err=True)


def report(line: str) -> None:
    """``line`` on standard output, about what is on disk already: if it cannot be written, that is logged."""
    try:
        click.echo(line)
    except BrokenPipeError:  # the reader is gone
        drop_output()
    except (OSError, ValueError) as error:
        drop_output()
        log(f"acdc: standard output cannot be written: {getattr(error, 'strerror', None) or error}")


def drop_output() -> None:
    """Lead standard output to nowhere, so that what is left in its buffer makes no trouble when Python ends."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # a test's stream has no number
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def settle_output() -> None:
    """Write what is left in standard output's buffer, or drop it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_output()


def is_input(name: str) -> bool:
    """Does ``name`` mean standard input?"""
    return name in _INPUT


def read_input(limit: int) -> bytes:
    """At most ``limit`` bytes of standard input; ``OSError`` if it is closed or cannot be read.

    The open stream is read: a socket, or a pipe of another user's, cannot be opened again by its name.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    return sys.stdin.buffer.read(limit)


def animates() -> bool:
    """Can standard error show a bar that moves?"""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


def lenient(stream: IO[str]) -> IO[str]:
    """``stream``, but it drops what it cannot write."""
    return cast("IO[str]", _Lenient(stream))


class _Lenient:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's; the number of letters that were given."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream's."""
        with suppress(OSError, ValueError):
            self._stream.flush()
