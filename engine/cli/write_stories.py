"""``acdc write-stories``: new stories by a language model, as the paper wrote its thousand (appendix C)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import cloup
from cloup import option, option_group

from ..memory import LANGUAGE_MEMORIES, LanguageModel, MemoryFailure, MemorySettings, load_language_model
from ..storage.run_lock import file_lock
from ..storage.stories_file import SUFFIX, read_records, read_stories, write_records
from ..storage.story_generator import POOL, SENTENCES, SHOWN, Written, draw_examples, write_story
from ..utils.atomic import check_directory
from ..utils.streams import log, report
from .flags import Given, flag, with_options
from .inputs import check_earlier, check_name, check_seed
from .options import LANGUAGE_MODEL

Record = dict[str, Any]
MOST = 100_000
DEFAULTS = MemorySettings("chat")
WRITING = option_group(
    "Stories",
    option(
        "--out",
        metavar="FILE",
        default="out/stories.jsonl",
        show_default=True,
        help="Write the stories to this .jsonl file, one story a line.",
    ),
    option(
        "--count", type=click.IntRange(1, MOST), default=10, show_default=True, help="Write this number of stories."
    ),
    option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Choose the example stories with this integer; the same seed gives the same examples.",
    ),
    option(
        "--examples",
        metavar="FILE",
        help="Show the language model stories of this .jsonl file as examples.  [default: the paper's four]",
    ),
    option("--resume", is_flag=True, help="Add the stories that are missing in --out."),
    option("--overwrite", is_flag=True, help="Replace the earlier file in --out."),
)
MODEL = option_group(
    "Language model",
    flag(
        "--memory",
        "memory.name",
        "Write the stories with this language model: one at an endpoint (chat), or one on this machine (local).",
        choices=list(LANGUAGE_MEMORIES),
        unset=DEFAULTS.name,
    ),
    *LANGUAGE_MODEL,
    option(
        "--device",
        default="cpu",
        show_default=True,
        help="Run a local language model on this device: cpu, cuda or cuda:N.",
    ),
)


@cloup.command("write-stories", short_help="Write stories with a language model.")
@with_options(WRITING, MODEL)
def write_stories(
    out: str,
    count: int,
    seed: int,
    examples: str | None,
    resume: bool,
    overwrite: bool,
    device: str,
    given: Given,
) -> None:
    """Write stories of six sentences about an animal, each after three examples (ACDC, appendix C).

    Draw one with: acdc story --prompts out/stories.jsonl --number N. The file is replaced as a whole after every
    story, so whatever happens, it holds those that are finished.
    """
    settings = given.memory(DEFAULTS).resolved()
    recorded = {"seed": check_seed(seed), "memory": settings.name, **settings.recorded()}
    by = {name: value for name, value in recorded.items() if name not in {"memory_calls", "memory_on_failure"}}
    check_device(settings.name, device)
    path = check_file(out)
    lock = file_lock(path)
    pool = POOL if examples is None else own_examples(Path(examples))
    records = stored_records(path, by, list(pool), resume=resume, overwrite=overwrite)
    if len(records) >= count:
        report(f"{path}: {len(records)} stories, nothing to write")
        return
    model = load_language_model(settings, device=device)
    with lock:
        write_missing(path, records, count, model, pool, by, timeout_s=settings.timeout)
    report(f"{path}: {len(records)} stories")


def write_missing(
    path: Path,
    records: list[Record],
    count: int,
    model: LanguageModel,
    pool: Mapping[str, Sequence[str]],
    by: Record,
    *,
    timeout_s: float | None = None,
) -> None:
    """Append to ``records``, and write the file, until there are ``count``; one line a story on stderr."""
    taken = {tuple(record["sentences"]) for record in records}
    try:
        for number in range(len(records) + 1, count + 1):
            began = time.perf_counter()
            story = write_story(model, pool, by["seed"], number, taken, timeout_s)
            taken.add(story.sentences)
            records.append(story_record(story, by))
            write_records(path, records)
            log(f"story {number}/{count}: {time.perf_counter() - began:.2f} s")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted after {_so_far(path, records, count)}") from None
    except MemoryFailure as failure:
        raise click.ClickException(f"{failure}; stopped after {_so_far(path, records, count)}") from None


def story_record(story: Written, by: Record) -> Record:
    """One line of the file."""
    return {"number": story.number, "sentences": list(story.sentences), "examples": list(story.examples), **by}


def stored_records(path: Path, by: Record, names: Sequence[str], *, resume: bool, overwrite: bool) -> list[Record]:
    """The stories to add to; ``ValueError`` where earlier ones would be lost, or are not of this run."""
    check_earlier(resume, overwrite)
    if overwrite or not path.exists():
        return []
    if not resume:
        raise ValueError(f"{str(path)!r} already holds stories; choose --resume, --overwrite or another --out")
    records = read_records(path)
    for number, record in enumerate(records, 1):
        wanted = {"number": number, "examples": list(draw_examples(names, by["seed"], number)), **by}
        for name, value in wanted.items():
            if record.get(name) != value:
                advice = "repeat the first run's, or choose another --out"
                message = f"cannot resume {str(path)!r}, line {number}: {name} was {record.get(name)!r}, now {value!r}"
                raise ValueError(f"{message}; {advice}")
    return records


def own_examples(path: Path) -> dict[str, tuple[str, ...]]:
    """Stories to show, named by their lines; ``ValueError`` for too few, or for one that has not six sentences."""
    stories = read_stories(path)
    for number, story in enumerate(stories, 1):
        if len(story) != SENTENCES:
            raise ValueError(f"examples file {str(path)!r}, line {number}: {len(story)} sentences; give {SENTENCES}")
    if len(stories) < SHOWN:
        raise ValueError(f"examples file {str(path)!r} holds {len(stories)} stories; give {SHOWN} or more")
    return {str(number): story for number, story in enumerate(stories, 1)}


def check_device(memory: str, device: str) -> None:
    """``ValueError`` for a device that this machine has not, or that an endpoint would not care for."""
    if device == "cpu":
        return
    if memory != "local":
        raise ValueError(f"--device {device} is given, but memory {memory!r} runs elsewhere; choose memory 'local'")
    from ..loading.bundle import parse_device  # here, because it imports torch

    parse_device(device)


def check_file(name: str) -> Path:
    """The path, if stories may be written there; ``ValueError`` before anything is asked if not."""
    check_name("--out", name)
    path = Path(name)
    if path.suffix != SUFFIX:
        raise ValueError(f"--out {name[:200]!r} does not end with {SUFFIX}; a story is one line of JSON")
    check_directory(path.parent)
    if path.is_dir() or name.endswith("/"):
        raise ValueError(f"--out {name!r} is a directory; give a file")
    return path


def _so_far(path: Path, records: Sequence[Record], count: int) -> str:
    hint = f"add the others to {path} with --resume" if records else "nothing was written"
    return f"{len(records)} of {count} stories; {hint}"
