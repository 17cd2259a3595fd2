"""Shared parts of the command line's tests: a story, a folder's files, a run that must be refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from acdc.engine.cli.flags import Given, gathered
from acdc.engine.cli.main import main

STORY = ["Benny the beagle sat in a garden.", "He jumped.", "Benny slept."]


def files(directory: Path | str = "out") -> dict[str, bytes]:
    root = Path(directory)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def without_times(directory: str) -> dict:
    record = json.loads((Path(directory) / "story.json").read_text())
    for frame in record["frames"]:
        del frame["phases_ms"], frame["spans"]
    return record


def parsed(command: click.Command, argv: Sequence[str]) -> Given:
    """Values that the flags in ``argv`` set; the command itself does not run."""
    with command.make_context(command.name, list(argv)) as context:
        given = gathered(context.params)["given"]
        assert isinstance(given, Given)
        return given


def refuse(capsys, *argv: str) -> str:
    """Run, expect a user's mistake: exit code 2, one line on stderr, nothing on stdout."""
    assert main(list(argv)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


def new_story(number: int = 1) -> list[str]:
    """Six sentences that no example has."""
    return [f"Zara the zebra {number} {what}." for what in ("sat", "ran", "drank", "rolled", "jumped", "slept")]
