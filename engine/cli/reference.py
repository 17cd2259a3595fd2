"""``acdc reference``: one picture a sentence from noise, with SDXL or SDXL-Lightning."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ..storage.picture_progress import PictureProgress
from ..storage.reference_run import ReferenceRun, new_pictures
from ..storage.stories_file import SUFFIX, read_stories
from ..storage.story_writer import prompt_remark
from ..utils.atomic import write_png
from ..utils.streams import log, report
from ..utils.uninterrupted import uninterrupted
from ..utils.versions import versions
from .engine_options import REFERENCE_EXECUTION
from .flags import Given, flag, with_options
from .inputs import check_earlier, check_seed, output_directory, picture_texts, read_lines, set_threads
from .options import JSON, SEED, output
from .picture_work import begin_or_continue, work_through

if TYPE_CHECKING:
    from ..text_to_image import TextToImage

OUT = "out/reference"
SOURCE = option_group(
    "Sentences",
    option(
        "--prompts",
        metavar="FILE",
        help="Read one sentence a picture from this UTF-8 file, one a line (- reads standard input), or every sentence "
        "of a file of stories (.jsonl).",
    ),
    JSON,
)
MODEL = option_group(
    "Models",
    option("--model", metavar="DIR", help="Load SDXL from this directory, as diffusers writes it."),
    option(
        "--unet",
        metavar="FILE",
        help="Read the UNet's weights from this safetensors file, such as SDXL-Lightning's.",
    ),
    flag(
        "--lora",
        "engine.loras",
        "Merge this LoRA (safetensors) into the weights, WEIGHT times (1 if none is given); repeat the option for "
        "several.",
        unset="none",
        metavar="FILE[=WEIGHT]",
    ),
    option(
        "--random-weights",
        is_flag=True,
        help="Build SDXL at full size with random weights, to measure time without its files.",
    ),
)
DRAWING = option_group(
    "Drawing",
    SEED,
    option(
        "--size",
        type=click.IntRange(min=1),
        metavar="PIXELS",
        help="Draw squares of this number of pixels a side.  [default: the model's own, 1024]",
    ),
    option(
        "--steps",
        type=click.IntRange(min=1),
        metavar="N",
        help="Take N of Euler's steps.  [default: the number in the name of SDXL-Lightning's file]",
    ),
)


@cloup.command(short_help="Draw reference pictures from noise.")
@click.argument("sentences", nargs=-1)
@with_options(SOURCE, output("pictures and reference.json", OUT, "run"), MODEL, REFERENCE_EXECUTION, DRAWING)
def reference(
    sentences: tuple[str, ...],
    prompts: str | None,
    as_json: bool,
    out: str | None,
    resume: bool,
    overwrite: bool,
    model: str | None,
    unet: str | None,
    random_weights: bool,
    seed: int,
    size: int | None,
    steps: int | None,
    given: Given,
) -> None:
    """Draw one picture for each of SENTENCES from noise, with SDXL or SDXL-Lightning, to measure stories against.

    No autoregressive model takes part, and no guidance. A picture depends on its sentence, its number and the seed
    alone. Each one is on disk before the next is drawn.
    """
    texts = reference_sentences(sentences, prompts)
    seed = check_seed(seed)
    check_earlier(resume, overwrite)
    directory = output_directory(out, OUT)
    lock = ReferenceRun.lock(directory)
    stored = ReferenceRun.earlier(directory, resume=resume, overwrite=overwrite)
    if stored is not None:
        stored.check_asked(texts)
    painter = load_painter(given, model, unet, steps, random_weights)
    new = ReferenceRun({"seed": seed, **painter.settings(size)}, versions(), new_pictures(texts))
    run = begin_or_continue(stored, new)
    remark_on_steps(painter)
    with lock:
        if stored is None:
            ReferenceRun.clear(directory)
        summary = Work(painter, seed, size, directory, run).all()
    report(json.dumps(asdict(run), indent=1, ensure_ascii=False) if as_json else f"{directory}: {summary}")


def reference_sentences(arguments: Sequence[str], prompts: str | None) -> list[str]:
    """The sentences from exactly one of the two sources; ``ValueError`` for none, two, or an empty sentence."""
    if (not arguments) == (prompts is None):
        problem = "SENTENCES and --prompts are given together" if arguments else "no sentence given"
        raise ValueError(f"{problem}; give SENTENCES or --prompts FILE")
    if prompts is None:
        texts = list(arguments)
    elif prompts.endswith(SUFFIX):
        texts = [sentence for story in read_stories(Path(prompts)) for sentence in story]
    else:
        texts = read_lines(prompts)
    return picture_texts(texts, "sentence {}", prompts)


def load_painter(
    given: Given, model: str | None, unet: str | None, steps: int | None, random_weights: bool
) -> TextToImage:
    """SDXL on its device. torch is imported here and not before."""
    options = given.engine()
    if model is None and not random_weights:
        raise ValueError("no model given; give --model: a directory of SDXL as diffusers writes it")
    set_threads(options.threads)
    from ..text_to_image import TextToImage

    return TextToImage.from_pretrained(
        model,
        unet=unet,
        loras=options.loras,
        steps=steps,
        random_weights=random_weights,
        device=options.device,
        dtype=options.dtype,
    )


def remark_on_steps(painter: TextToImage) -> None:
    """Say on stderr which steps a picture takes, and whether its file was distilled for others."""
    steps, start = len(painter.schedule.steps), painter.schedule.start.timestep
    known = painter.distilled
    other = "" if known in (None, steps) else f"; the file was distilled for {known}"
    log(f"acdc: each picture takes {steps} steps of euler, from timestep {start:g}{other}")


@dataclass
class Work:
    """A run that is going on."""

    painter: TextToImage
    seed: int
    size: int | None
    directory: Path
    run: ReferenceRun

    def all(self) -> str:
        """Draw what is missing. Returns a summary."""
        return work_through(self.run, self.directory, self._draw_all)

    def _draw_all(self, missing: Sequence[int], progress: PictureProgress) -> None:
        for number in missing:
            self._draw(number, progress)

    def _draw(self, number: int, progress: PictureProgress) -> None:
        """Draw a picture, write it, list it."""
        picture = self.run.pictures[number]
        progress.working(picture.image)
        begun = time.perf_counter()
        image = self.painter(picture.prompt, seed=self.seed, index=number, size=self.size)
        picture.seconds, picture.cut_prompt = round(time.perf_counter() - begun, 3), self.painter.cut_prompt
        with uninterrupted():
            write_png(self.directory / picture.image, image)
            picture.finished = True
            self.run.save(self.directory)
        progress.done(f"{self.directory / picture.image}, {picture.seconds:.2f} s")
        if picture.cut_prompt is not None:
            log(f"acdc: {picture.image}: {prompt_remark(picture.cut_prompt)}")
