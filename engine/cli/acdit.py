"""``acdc acdit``: pictures and clips of a class, block by block, with ACDiT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from cloup import option, option_group

from ..acdit.request import STEPS, BlockDone, ClassRequest, RequestFailed
from ..storage.class_run import ClassRun, PictureFiles, new_pictures, stem
from ..storage.picture_progress import PictureProgress
from ..storage.video_io import no_mp4_reason
from ..utils.streams import log, report
from ..utils.to_one_line import one_line
from ..utils.uninterrupted import uninterrupted
from ..utils.versions import versions
from .engine_options import REFERENCE_EXECUTION
from .flags import Given, with_options
from .inputs import SEED_LIMIT, check_earlier, check_seed, output_directory, set_threads
from .options import JSON, SEED, output
from .picture_work import begin_or_continue, work_through

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..acdit.pipeline import ACDiTPipeline

OUT = "out/acdit"
COUNT = click.IntRange(min=1)
ASKED = option_group(
    "Classes",
    option(
        "--class",
        "labels",
        type=click.IntRange(min=0),
        multiple=True,
        metavar="N",
        help="Draw this class, a number of ImageNet's 1000 for pictures or of UCF-101's 101 for clips; repeat the "
        "option for several.",
    ),
    option(
        "--count",
        type=COUNT,
        default=1,
        show_default=True,
        metavar="N",
        help="Draw each class N times, with seeds that follow one another.",
    ),
    JSON,
)
MODEL = option_group(
    "Models",
    option("--model", metavar="FILE", help="Load this published file, such as ACDiT-XL-img.pt or ACDiT-H-vid.pt."),
    option("--vae", metavar="DIR", help="Load Stable Diffusion's autoencoder from this directory or its folder vae."),
    option(
        "--random-weights",
        metavar="NAME",
        help="Build a model at its published size with random weights (B-img, L-img, XL-img, H-img, or -vid), to "
        "measure time without its files.",
    ),
)
DRAWING = option_group(
    "Drawing",
    SEED,
    option(
        "--steps",
        type=COUNT,
        default=STEPS,
        show_default=True,
        metavar="N",
        help="Take N steps of DPM-Solver++ in each block.",
    ),
    option(
        "--guidance",
        type=float,
        metavar="SCALE",
        help="Scale the classifier-free guidance by this factor; 1 turns it off.  [default: 1.5 for pictures, 2.5 for "
        "clips]",
    ),
    option(
        "--concurrency",
        type=COUNT,
        default=4,
        show_default=True,
        metavar="N",
        help="Compute the blocks of N pictures or clips side by side.",
    ),
)


@cloup.command(short_help="Draw pictures and clips of a class.")
@with_options(ASKED, output("pictures or clips and acdit.json", OUT, "run"), MODEL, REFERENCE_EXECUTION, DRAWING)
def acdit(
    labels: tuple[int, ...],
    count: int,
    as_json: bool,
    out: str | None,
    resume: bool,
    overwrite: bool,
    model: str | None,
    vae: str | None,
    random_weights: str | None,
    seed: int,
    steps: int,
    guidance: float | None,
    concurrency: int,
    given: Given,
) -> None:
    """Draw pictures, or clips, of classes with ACDiT: block after block, each denoised after those before it.

    No other model corrects them. A picture depends on its class and seed alone. A clip's frames are on disk as soon as
    their block is finished, and --resume continues after the last finished block.
    """
    asked = classes_and_seeds(labels, count, check_seed(seed))
    check_earlier(resume, overwrite)
    directory = output_directory(out, OUT)
    lock = ClassRun.lock(directory)
    stored = ClassRun.earlier(directory, resume=resume, overwrite=overwrite)
    if stored is not None:
        stored.check_asked([stem(*one) for one in asked])
    pipeline = load_pipeline(given, model, vae, random_weights)
    for label in labels:
        pipeline.config.check_class(label)
    new = ClassRun(pipeline.settings(steps, guidance), versions(), new_pictures(asked, pipeline.config.is_clip))
    run = begin_or_continue(stored, new)
    with lock:
        if stored is None:
            ClassRun.clear(directory)
        options = {"steps": steps, "guidance_scale": guidance, "concurrency": concurrency}
        summary = Work(pipeline, directory, run, options).all()
    report(json.dumps(asdict(run), indent=1) if as_json else f"{directory}: {summary}")
    if run.missing(directory):
        raise click.exceptions.Exit(1)


def classes_and_seeds(labels: Sequence[int], count: int, seed: int) -> list[tuple[int, int]]:
    """Class and seed of every picture; ``ValueError`` for no class, one that is named twice, or seeds that end."""
    if not labels:
        raise ValueError("no class given; give --class N")
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"class {label} is given twice; give it once, with --count N for several pictures")
    if seed + count > SEED_LIMIT:
        raise ValueError(f"seed {seed} is too large for {count} pictures; choose at most {SEED_LIMIT - count}")
    return [(label, seed + number) for label in labels for number in range(count)]


def load_pipeline(given: Given, model: str | None, vae: str | None, random_weights: str | None) -> ACDiTPipeline:
    """ACDiT on its device. torch is imported here and not before."""
    options = given.engine()
    if model is None and random_weights is None:
        raise ValueError("no model given; give --model: a published file, such as ACDiT-XL-img.pt")
    if vae is None and random_weights is None:
        raise ValueError("no autoencoder given; give --vae: the directory of facebook/DiT-XL-2-256")
    set_threads(options.threads)
    from ..acdit.pipeline import ACDiTPipeline

    return ACDiTPipeline.from_pretrained(
        model, vae=vae, random_weights=random_weights, device=options.device, dtype=options.dtype
    )


@dataclass
class Work:
    """A run that is going on; ``options`` are those of ``generate_many``."""

    pipeline: ACDiTPipeline
    directory: Path
    run: ClassRun
    options: dict[str, Any]

    def all(self) -> str:
        """Draw what is missing. Returns a summary."""
        return work_through(self.run, self.directory, self._draw)

    def _draw(self, missing: Sequence[int], progress: PictureProgress) -> None:
        config = self.pipeline.config
        per_block = config.frames_per_block if config.is_clip else 0
        pictures = (self.run.pictures[place] for place in missing)
        files = {picture.stem: PictureFiles(self.directory, picture, per_block) for picture in pictures}
        blocks = {name: own.blocks() for name, own in files.items()}
        requests = [self._request(own, blocks[name]) for name, own in files.items()]
        for event in self.pipeline.generate_many(requests, **self.options):
            name = event.request.id
            own, number = files[name], len(blocks[name]) + 1
            if isinstance(event, RequestFailed):
                progress.done(f"{self.directory / own.picture.image} failed: {one_line(str(event.error))}")
                continue
            blocks[name].append(event.latents.numpy())
            progress.working(f"{own.picture.image}, block {number} of {config.num_blocks}")
            self._keep(own, blocks[name], event)
            if event.last:
                progress.done(f"{self.directory / own.picture.image}, {own.picture.seconds:.2f} s")
        if files and config.is_clip and (reason := no_mp4_reason()) is not None:
            log(f"acdc: no MP4 was written: {reason}")

    def _request(self, own: PictureFiles, blocks: list[NDArray[Any]]) -> ClassRequest:
        """All blocks may be there of a picture that is not: its last one is drawn again."""
        import torch

        del blocks[self.pipeline.config.num_blocks - 1 :]
        done = [torch.from_numpy(block) for block in blocks]
        return ClassRequest(own.picture.label, own.picture.seed, own.picture.stem, done)

    def _keep(self, own: PictureFiles, blocks: Sequence[NDArray[Any]], event: BlockDone) -> None:
        """A block is on disk; with the last one, the picture or clip is, too."""
        with uninterrupted():
            own.picture.seconds = round(own.picture.seconds + sum(event.seconds.values()), 3)
            clip = self.pipeline.config.is_clip
            own.save_block(blocks, event.frames if clip else ())
            if event.last:
                own.finish(len(blocks), None if clip else event.frames[0])
                own.picture.finished = True
                self.run.save(self.directory)
                own.forget_blocks()
