"""Input of the command line, checked before anything heavy is imported."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..examples import EXAMPLES
from ..options import check_sentences
from ..options.checks import check_text
from ..storage.stories_file import SUFFIX, read_stories, split_lines
from ..utils.atomic import check_directory
from ..utils.streams import is_input, read_input

if TYPE_CHECKING:
    from PIL import Image

MAX_PROMPTS_BYTES = 1 << 20
SEED_LIMIT = 2**64


def story_sentences(
    arguments: Sequence[str], example: str | None, prompts: str | None, number: int | None = None
) -> tuple[str, ...]:
    """The sentences from exactly one of the three sources; ``ValueError`` for none, two, or unfit sentences.

    ``number`` (from 1; None = the first) picks a story from a ``.jsonl`` file and is refused elsewhere.
    """
    given = [
        name
        for name, value in (("sentences", arguments), ("--example", example), ("--prompts", prompts))
        if value not in (None, ())
    ]
    if not given:
        raise ValueError("no sentence given; give SENTENCES, --example NAME or --prompts FILE")
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} are given together; choose one of them")
    if number is not None and not (prompts or "").endswith(SUFFIX):
        raise ValueError(f"--number {number} is given without a file of stories; give --prompts FILE{SUFFIX}")
    if example is not None:
        return EXAMPLES[example]
    if prompts is None:
        return check_sentences(arguments)
    if prompts.endswith(SUFFIX):
        return numbered_story(Path(prompts), number or 1)
    lines = read_lines(prompts)
    try:
        return check_sentences(lines)
    except ValueError as error:
        raise ValueError(f"prompts file {prompts!r}: {error}") from None


def numbered_story(path: Path, number: int) -> tuple[str, ...]:
    """Story ``number`` of a file with one story a line."""
    stories = read_stories(path)
    if number > len(stories):
        raise ValueError(f"--number {number} is out of range; {str(path)!r} holds stories 1 to {len(stories)}")
    return stories[number - 1]


def read_lines(name: str) -> list[str]:
    """The lines of a UTF-8 text file (``-``: standard input), empty ones at the end left out."""
    data = _read_bytes(name)
    if len(data) > MAX_PROMPTS_BYTES:
        raise ValueError(f"prompts file {name!r} is larger than {MAX_PROMPTS_BYTES} bytes; give one sentence a line")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"prompts file {name!r} is not UTF-8 (byte {error.start}); save it as UTF-8 text") from None
    if any(unicodedata.category(c) == "Cc" and c not in "\t\r\n\f" for c in text):
        raise ValueError(f"prompts file {name!r} is binary; give UTF-8 text with one sentence a line")
    if not text.strip():
        raise ValueError(f"prompts file {name!r} is empty; give UTF-8 text with one sentence a line")
    return split_lines(text.rstrip())


def picture_texts(texts: Sequence[str], name: str, prompts: str | None) -> list[str]:
    """One text a picture, without spaces around it; ``ValueError`` for one that is empty or too much, named by its line
    of the file ``prompts``, or as ``name`` says ("sentence {}") where there is no file."""
    for number, text in enumerate(texts, 1):
        place = name.format(number) if prompts is None else f"prompts file {prompts!r}: line {number}"
        if not text.strip():
            raise ValueError(f"{place} is empty; say what the picture shows")
        check_text(place, text)
    return [text.strip() for text in texts]


def read_init_image(name: str) -> "Image.Image":
    """The picture in a file, prepared as the engine does; ``ValueError`` names the file."""
    from ..utils.picture import read_picture

    return read_picture(name, "init image")


def image_digest(image: "Image.Image | None") -> str | None:
    """Sixteen hex digits of the picture's size and pixels, to notice another picture at ``--resume``."""
    if image is None:
        return None
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:16]


def check_seed(seed: int) -> int:
    """``ValueError`` for a seed that the random numbers do not take."""
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed {seed} is out of range; choose an integer from 0 to {SEED_LIMIT - 1}")
    return seed


def output_directory(out: str | None, default: str) -> Path:
    """Directory of the pictures: ``out``, or else ``default``. ``ValueError`` if it cannot be used."""
    check_name("--out", default if out is None else out)
    directory = Path(default if out is None else out)
    check_directory(directory)
    return directory


def check_earlier(resume: bool, overwrite: bool) -> None:
    """``ValueError`` where an earlier run is to be both continued and replaced."""
    if resume and overwrite:
        raise ValueError("--resume and --overwrite are given together; choose one of them")


def check_name(option: str, name: str) -> None:
    """``ValueError`` for a path that is empty or holds a line break or another control character: a shell's variable
    that is not set, or the output of a command that was meant to be one line."""
    if not name.strip():
        raise ValueError(f"{option} is empty; give a path")
    if any(unicodedata.category(c) == "Cc" for c in name):
        raise ValueError(f"{option} {name[:200]!r} holds a control character; give another path")


THREADS_PER_CORE = 16  # beyond that OpenMP gains nothing, and ends the process where it cannot start them all


def set_threads(threads: int | None) -> None:
    """Let torch use that many threads; the first place on the way where torch is imported. ``ValueError`` for more
    than the machine can start."""
    import torch

    most = THREADS_PER_CORE * (os.cpu_count() or 1)
    if threads is not None and threads > most:
        raise ValueError(f"--threads {threads} is too many for {os.cpu_count()} cores; choose 1 to {most}")
    if threads is not None:
        torch.set_num_threads(threads)


def _read_bytes(name: str) -> bytes:
    """At most one byte more than the limit, so that an endless file is noticed and not read."""
    try:
        if is_input(name):
            return read_input(MAX_PROMPTS_BYTES + 1)
        if not Path(name).exists():
            raise ValueError(f"prompts file {name!r} does not exist; give a UTF-8 text file")
        if Path(name).is_dir():
            raise ValueError(f"prompts file {name!r} is a directory; give a UTF-8 text file")
        with open(name, "rb") as file:
            return file.read(MAX_PROMPTS_BYTES + 1)
    except OSError as error:
        raise ValueError(f"prompts file {name[:200]!r} cannot be read: {error.strerror}") from None
