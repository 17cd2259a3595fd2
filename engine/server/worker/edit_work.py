"""Edits of pictures: the engine's diffusion model alone, as ``acdc correct`` runs it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...options import CorrectionOptions
from ...storage.story_reader import image_name
from ...utils.atomic import write_png
from ..openai.sent_files import IMAGE, MASK
from ..partials import partial_name
from ..store.records import Job
from .desk import Desk

if TYPE_CHECKING:
    from ...corrector import Corrector
    from ...engine import Engine

HUNDREDTHS = 2


def edit(engine: Engine, job: Job, desk: Desk) -> dict[str, Any]:
    """Correct each upload under the prompt, ``n`` times with seeds that follow one another: picture i of seed s has the
    noise that ``acdc correct`` gives it. Pictures of an earlier attempt are kept."""
    body, begun, shown = job.body, time.perf_counter(), {data["index"] for data in desk.seen("frame")}
    pictures = body["images"] * body["n"]
    for index in range(pictures):
        desk.check()
        if index not in shown:
            _edit_one(engine, desk, index)
    return {"frames": pictures, "seconds": round(time.perf_counter() - begun, HUNDREDTHS)}


def options_of(desk: Desk) -> CorrectionOptions:
    """The server's and the request's, without those of a story's loop."""
    chosen = desk.options.correction
    plain = CorrectionOptions()
    loop = {name: getattr(plain, name) for name in ("enabled", "first", "every", "feed_back")}
    return replace(chosen, **loop)


def corrector_of(engine: Engine, size: tuple[int, int]) -> Corrector:
    """The engine's diffusion model for pictures of this size: with its plans where frames have it, and without for
    others, since a plan for every size that clients send would fill the memory."""
    from ...corrector import Corrector

    side = engine.models.tokenizer.config.resolution
    model = engine.models.corrector if size == (side, side) else engine.copies.loaded.corrector
    how = engine.device, engine.dtype, engine.attention, engine.kernels
    return Corrector.of_loaded(engine.bundle, model, *how, engine.loras)


def _edit_one(engine: Engine, desk: Desk, index: int) -> None:
    """Picture ``index`` of all: estimates on its way, then the picture; files first, then events."""
    body = desk.job.body
    number, more = divmod(index, body["n"])
    with Image.open(desk.folder / IMAGE.format(number)) as upload:
        picture = upload.convert("RGB")
    mask = _mask(desk) if body["masked"] and number == 0 else None
    seen = {data["number"] for data in desk.seen("estimate") if data["index"] == index}

    def show(_: int, estimate: int, pixels: Image.Image) -> None:
        desk.check()
        if estimate not in seen:
            desk.write(lambda: _write(desk.folder / partial_name(index, estimate), pixels))
            desk.event("estimate", {"index": index, "number": estimate})

    corrector, seed, begun = corrector_of(engine, picture.size), body["seed"] + more, time.perf_counter()
    wanted = body["partial_images"] + 1  # number 0 is the upload, which the client has
    look = {"partial_images": wanted, "on_partial": show} if wanted > 1 else {}
    how: dict[str, Any] = {"seed": seed, "index": number, "options": options_of(desk), "masks": [mask], **look}
    made = corrector(picture, body["prompt"], **how)
    milliseconds = round((time.perf_counter() - begun) * 1e3, 3)
    desk.write(lambda: _write(desk.folder / image_name(index), made))
    (cut,) = corrector.cut_prompts
    width, height = made.size
    data = {"index": index, "sentence": body["prompt"], "refined_prompt": cut or body["prompt"], "seed": seed}
    data |= {"corrected": True, "width": width, "height": height, "text_tokens": 0, "image_tokens": 0}
    desk.event("frame", {**data, "phases_ms": {"correct": milliseconds}})


def _mask(desk: Desk) -> NDArray[np.uint8]:
    """White where the first upload may change: uint8 [H, W]."""
    with Image.open(desk.folder / MASK) as white:
        return np.asarray(white.convert("L"))


def _write(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, picture)
