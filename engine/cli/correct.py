"""``acdc correct``: pictures and clips that something else has drawn, corrected under prompts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup
from cloup import option, option_group

from ..options import EngineOptions
from ..storage.correction_run import CorrectionRun, Entry
from ..storage.picture_files import PictureFile, find_picture, has_sound
from ..utils.file_digest import file_digest
from ..utils.malloc import keep_freed_memory
from ..utils.streams import log, report
from ..utils.versions import versions
from .correct_work import Work
from .engine_options import CORRECTOR_EXECUTION, models
from .flags import Given, with_options
from .inputs import check_earlier, check_seed, output_directory, picture_texts, read_lines, set_threads
from .options import JSON, NEGATIVE_PROMPT, RARE, SEED, STRENGTH, output, remark_on_steps, remark_on_unused
from .picture_work import begin_or_continue

if TYPE_CHECKING:
    from ..corrector import Corrector

OUT, GPU_BATCH = "out/corrected", 4
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
    option(
        "--batch",
        type=click.IntRange(min=1),
        metavar="N",
        help="Correct up to N neighbours of one size in one pass.  [default: 1 on a CPU, 4 on a GPU]",
    ),
    JSON,
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
    batch: int | None,
    as_json: bool,
    out: str | None,
    resume: bool,
    overwrite: bool,
    seed: int,
    given: Given,
) -> None:
    """Correct PICTURES (PNG, JPEG, WebP; GIF and MP4 as clips) under a prompt with a diffusion model.

    --bundle names a Stable Diffusion directory as diffusers writes it, VideoCrafter2's, or a bundle, of which only the
    corrector is loaded. Each picture keeps its size and its transparency. Exit code 1: some failed, the others are
    there.
    """
    sources = find_pictures(pictures)
    texts = picture_prompts(prompt, prompts, len(sources))
    options, seed = given.story().correction, check_seed(seed)
    if "engine.bundle" not in given:
        raise ValueError("no model given; give --bundle: a Stable Diffusion directory, or a bundle of acdc info")
    check_earlier(resume, overwrite)
    directory = output_directory(out, OUT)
    lock, names = CorrectionRun.lock(directory), check_targets(sources, directory)
    stored = CorrectionRun.earlier(directory, names, resume=resume, overwrite=overwrite)
    entries = [
        Entry(str(source.path), file_digest(source.path), source.kind, text, source.target)
        for source, text in zip(sources, texts, strict=True)
    ]
    if stored is not None:
        stored.check_asked([entry.asked for entry in entries])
    corrector = load_corrector(given.engine(), pictures_a_size(sources))
    check_chunks(corrector, sources, chunk_frames)
    embedded = corrector.corrector.unet.config.embeds_guidance
    remark_on_unused(given.story(), corrector.bundle.defaults, embedded)
    lengths = {"chunk_frames": chunk_frames} if any(source.kind != "picture" for source in sources) else {}
    settings = {"seed": seed, **lengths, **corrector.settings(options)}
    new = CorrectionRun(settings, versions(), entries, start=corrector.start(options))
    run = begin_or_continue(stored, new)
    remark_on_steps(new)
    with lock:
        batch = batch or (1 if corrector.how.device.type == "cpu" else GPU_BATCH)
        summary = Work(corrector, options, seed, chunk_frames, batch, directory, run, sources).all()
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
    return picture_texts(texts, "--prompt", prompts)


def check_targets(sources: Sequence[PictureFile], directory: Path) -> list[str]:
    """The names of the files and folders to write; ``ValueError`` where two are one, or hold a source."""
    names: dict[str, Path] = {}
    for source in sources:
        for name in source.targets:
            if (other := names.get(name.casefold())) is not None:
                raise ValueError(f"{str(other)!r} and {str(source.path)!r} would both be written to {name}; rename one")
            names[name.casefold()] = source.path
            written = (directory / name).resolve()
            for path in (one.path.resolve() for one in sources):
                if written in (path, *path.parents):
                    raise ValueError(
                        f"{str(directory / name)!r} is, or holds, one of the pictures; choose another --out"
                    )
    return [name for source in sources for name in source.targets]


def pictures_a_size(sources: Sequence[PictureFile]) -> int:
    """The least number of pictures and frames that share a size: plans are made for each size, and must pay for
    each."""
    counts: Counter[tuple[int, int]] = Counter()
    for source in sources:
        counts[source.size] += source.count
    return min(counts.values())


def load_corrector(options: EngineOptions, num_pictures: int) -> Corrector:
    """The diffusion model on its device. torch is imported here and not before."""
    if options.quantization != "none":
        raise ValueError("quantization is of autoregressive models, which this command does not load; leave it out")
    if options.controlnet is not None or options.depth_model is not None:
        raise ValueError("a ControlNet and a depth model steer the frames of stories; leave them out")
    set_threads(options.threads)
    keep_freed_memory()
    from ..corrector import Corrector

    arguments = {field.name: getattr(options, field.name) for field in fields(options)}
    for name in ("threads", "quantization", "bundle", "controlnet", "depth_model"):
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
