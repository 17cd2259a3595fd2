"""``acdc correct``: pictures and clips that something else has drawn, corrected under prompts."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ..options import CorrectionOptions, EngineOptions
from ..options.checks import check_text
from ..storage.correction_run import CorrectionRun, Entry, earlier_run, run_lock
from ..storage.picture_files import PictureFile, find_picture, has_sound, read_frames, read_picture, write_clip
from ..storage.picture_progress import PictureProgress, make_picture_progress
from ..storage.story_writer import prompt_remark
from ..utils.atomic import write_png
from ..utils.file_digest import file_digest
from ..utils.streams import log, report
from ..utils.uninterrupted import uninterrupted
from ..utils.versions import versions
from .engine_options import CORRECTOR_EXECUTION, models
from .flags import Given, with_options
from .inputs import check_earlier, check_seed, output_directory, read_lines, set_threads
from .options import NEGATIVE_PROMPT, RARE, SEED, STRENGTH, output

if TYPE_CHECKING:
    from ..corrector import Corrector

OUT = "out/corrected"
SOURCE = option_group(
    "Prompts",
    option("--prompt", metavar="TEXT", help="Correct every picture under this text."),
    option(
        "--prompts",
        metavar="FILE",
        help="Read one prompt a picture from this UTF-8 file, one a line (- reads standard input).",
    ),
    option(
        "--chunk-frames",
        type=click.IntRange(min=1),
        default=16,
        show_default=True,
        help="Correct the frames of a clip in chunks of this length.",
    ),
    option("--json", "as_json", is_flag=True, help="Print what was done as JSON instead of one line."),
)


@cloup.command(short_help="Correct pictures or clips.")
@click.argument("pictures", nargs=-1)
@with_options(
    SOURCE,
    output("pictures and correct.json", OUT, "run"),
    models("none; it must be given"),
    CORRECTOR_EXECUTION,
    option_group("Correction", SEED, *STRENGTH, NEGATIVE_PROMPT),
    RARE,
)
def correct(
    pictures: tuple[str, ...],
    prompt: str | None,
    prompts: str | None,
    chunk_frames: int,
    as_json: bool,
    out: str | None,
    resume: bool,
    overwrite: bool,
    seed: int,
    given: Given,
) -> None:
    """Correct PICTURES (PNG, JPEG, WebP; GIF and MP4 as clips) under a prompt with a diffusion model.

    --bundle names a Stable Diffusion directory as diffusers writes it, or a bundle, of which only the corrector is
    loaded. Each picture keeps its size and its transparency. Exit code 1: some failed, the others are there.
    """
    sources = find_pictures(pictures)
    texts = picture_prompts(prompt, prompts, len(sources))
    options, seed = given.story().correction, check_seed(seed)
    if "engine.bundle" not in given:
        raise ValueError("no model given; give --bundle: a Stable Diffusion directory, or a bundle of acdc info")
    check_earlier(resume, overwrite)
    directory = output_directory(out, OUT)
    names = check_targets(sources, directory)
    lock = run_lock(directory)
    stored = earlier_run(directory, names, resume=resume, overwrite=overwrite)
    corrector = load_corrector(given.engine(), len(sources))
    check_chunks(corrector, sources, chunk_frames)
    lengths = {"chunk_frames": chunk_frames} if any(source.kind != "picture" for source in sources) else {}
    settings = {"seed": seed, **lengths, **corrector.settings(options)}
    entries = [
        Entry(str(source.path), file_digest(source.path), source.kind, text, name)
        for source, text, name in zip(sources, texts, names, strict=True)
    ]
    run = CorrectionRun(settings, versions(), corrector.start(options), entries)
    if stored is not None:
        if remark := stored.continued(run):
            log(f"acdc: {remark}")
        run = stored
    with lock:
        work = Work(corrector, options, seed, chunk_frames, directory, run)
        summary = work.all(sources)
    report(json.dumps(asdict(run), indent=1, ensure_ascii=False) if as_json else f"{directory}: {summary}")
    if any(entry.error for entry in run.pictures):
        raise click.exceptions.Exit(1)


def find_pictures(names: Sequence[str]) -> list[PictureFile]:
    """The files; ``ValueError`` for none, and for the first that cannot be read."""
    if not names:
        raise ValueError("no picture given; give PICTURES: PNG, JPEG, WebP, GIF or MP4 files")
    return [find_picture(name) for name in names]


def picture_prompts(prompt: str | None, prompts: str | None, count: int) -> list[str]:
    """One prompt a picture, from exactly one of the two sources."""
    if (prompt is None) == (prompts is None):
        problem = "no prompt given" if prompt is None else "--prompt and --prompts are given together"
        raise ValueError(f"{problem}; give --prompt TEXT or --prompts FILE")
    texts = [prompt or ""] * count if prompts is None else read_lines(prompts)
    if len(texts) != count:
        raise ValueError(f"prompts file {prompts!r} has {len(texts)} lines for {count} pictures; give one a picture")
    for number, text in enumerate(texts, 1):
        name = "--prompt" if prompts is None else f"prompts file {prompts!r}: line {number}"
        if not text.strip():
            raise ValueError(f"{name} is empty; say what the picture shows")
        check_text(name, text)
    return [text.strip() for text in texts]


def check_targets(sources: Sequence[PictureFile], directory: Path) -> list[str]:
    """The names of the files to write; ``ValueError`` where two are one, or one is a source."""
    names: dict[str, Path] = {}
    own = {source.path.resolve() for source in sources}
    for source in sources:
        for name in (source.target, source.frames_folder) if source.kind != "picture" else (source.target,):
            if (other := names.get(name.casefold())) is not None:
                raise ValueError(f"{str(other)!r} and {str(source.path)!r} would both be written to {name}; rename one")
            if (directory / name).resolve() in own:
                raise ValueError(f"{str(directory / name)!r} is one of the pictures; choose another --out")
            names[name.casefold()] = source.path
    return [source.target for source in sources]


def load_corrector(options: EngineOptions, num_pictures: int) -> Corrector:
    """The diffusion model on its device. torch is imported here and not before."""
    if options.quantization != "none":
        raise ValueError("quantization is of autoregressive models, which this command does not load; leave it out")
    set_threads(options.threads)
    from ..corrector import Corrector

    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    for name in ("threads", "quantization", "bundle"):
        del arguments[name]
    return Corrector.from_pretrained(options.bundle, **arguments, num_pictures=num_pictures)


def check_chunks(corrector: Corrector, sources: Sequence[PictureFile], chunk_frames: int) -> None:
    """``ValueError`` for chunks that the model cannot hold; says on stderr what clips lose."""
    clips = [source for source in sources if source.kind != "picture"]
    if not clips:
        return
    longest = corrector.clip_frames
    if longest is None:
        why = "frames of clips are corrected one by one, with equal noise"
        log(f"acdc: {corrector.bundle.name} has no motion adapter: {why}")
    elif chunk_frames > longest:
        raise ValueError(f"--chunk-frames {chunk_frames} is more than the motion modules know; choose up to {longest}")
    for source in clips:
        if source.kind == "movie" and has_sound(source):
            log(f"acdc: the sound of {source.path} is not kept")


@dataclass
class Work:
    """A run that is going on."""

    corrector: Corrector
    options: CorrectionOptions
    seed: int
    chunk_frames: int
    directory: Path
    run: CorrectionRun

    def all(self, sources: Sequence[PictureFile]) -> str:
        """Correct what is missing; a picture that fails is listed, and the others go on. Returns a summary."""
        entries = self.run.pictures
        missing = [number for number, entry in enumerate(entries) if not self._is_there(entry)]
        begun = time.perf_counter()
        try:
            with make_picture_progress(len(entries), len(entries) - len(missing)) as progress:
                for number in missing:
                    self._one(number, sources[number], entries[number], progress)
        except KeyboardInterrupt:
            done = sum(entry.finished for entry in entries)
            hint = f"continue {self.directory} with --resume" if done else "nothing was written"
            raise KeyboardInterrupt(f"interrupted after {done} of {len(entries)} pictures; {hint}") from None
        if not missing:
            return f"the {len(entries)} pictures are finished, nothing to resume"
        failed = sum(entry.error is not None for entry in entries)
        made = len(missing) - failed
        return f"{made} pictures in {time.perf_counter() - begun:.1f} s, {failed} failed"

    def _is_there(self, entry: Entry) -> bool:
        return entry.finished and (self.directory / entry.image).is_file()

    def _one(self, number: int, source: PictureFile, entry: Entry, progress: PictureProgress) -> None:
        """Correct a picture or a clip, whose noise is that of its ``number``."""
        progress.working(source.path.name)
        begun, entry.error, entry.finished = time.perf_counter(), None, False
        try:
            if source.kind == "picture":
                picture = read_picture(source)
                image = self.corrector(picture, entry.prompt, seed=self.seed, index=number, options=self.options)
                image.info |= picture.info
                entry.cut_prompt = self.corrector.cut_prompts[0]
                with uninterrupted():
                    self.directory.mkdir(parents=True, exist_ok=True)
                    write_png(self.directory / entry.image, image)
            else:
                self._clip(source, entry)
            entry.finished = True
            text = f"{self.directory / entry.image}, {time.perf_counter() - begun:.2f} s"
        except Exception as error:
            from ..utils.out_of_memory import is_out_of_memory  # here, since it imports torch

            if not isinstance(error, ValueError | OSError) and not is_out_of_memory(error):
                raise
            entry.error = " ".join(str(error).split())
            text = f"{source.path} failed: {entry.error}"
        entry.seconds = round(entry.seconds + time.perf_counter() - begun, 3)
        with uninterrupted():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.run.save(self.directory)
        progress.done(text)
        if entry.cut_prompt is not None:
            log(f"acdc: {source.path}: {prompt_remark(entry.cut_prompt)}")

    def _clip(self, source: PictureFile, entry: Entry) -> None:
        """The frames that are not there yet, chunk by chunk, then the clip."""
        folder = self.directory / source.frames_folder
        folder.mkdir(parents=True, exist_ok=True)
        together, number = self.corrector.clip_frames is not None, 0
        every = read_frames(source)
        chunks = iter(lambda: list(islice(every, self.chunk_frames)), [])
        for chunk, frames in enumerate(chunks):
            if number + len(frames) > entry.frames:
                corrected = self.corrector.clip(
                    frames, entry.prompt, seed=self.seed, index=chunk if together else 0, options=self.options
                )
                entry.cut_prompt = self.corrector.cut_prompts[0]
                with uninterrupted():
                    for place, frame in enumerate(corrected, number + 1):
                        write_png(folder / frame_name(place), frame)
                    entry.frames = number + len(frames)
                    self.run.save(self.directory)
            number += len(frames)
        if not number:
            raise ValueError("it has no frames")
        write_clip(self.directory / entry.image, source, [folder / frame_name(place) for place in range(1, number + 1)])


def frame_name(number: int) -> str:
    """File of a clip's frame, from 1."""
    return f"frame_{number:04d}.png"
