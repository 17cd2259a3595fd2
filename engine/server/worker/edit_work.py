"""Edits of pictures: the engine's diffusion model alone, as ``acdc correct`` runs it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...options import CorrectionOptions
from ...storage.story_reader import image_name
from ...utils.atomic import write_png
from ..openai.sent_files import IMAGE, MASK
from ..store.records import Job
from ..story_files import partial_name
from .desk import Desk

if TYPE_CHECKING:
    from ...corrector import Corrector
    from ...engine import Engine

HUNDREDTHS = 2


def edit(engine: Engine, job: Job, desk: Desk) -> dict[str, Any]:
    """Correct each upload under the prompt, ``n`` times with seeds that follow one another: picture i of seed s has the
    noise that ``acdc correct`` gives it. Pictures of an earlier attempt are kept."""
    corrector, body, begun = corrector_of(engine), job.body, time.perf_counter()
    options = options_of(desk)
    shown = {data["index"] for data in desk.seen("frame")}
    for index in range(body["images"] * body["n"]):
        desk.check()
        number, more = divmod(index, body["n"])
        if index not in shown:
            _edit_one(corrector, options, desk, number, index, body["seed"] + more)
    return {"frames": body["images"] * body["n"], "seconds": round(time.perf_counter() - begun, HUNDREDTHS)}


def options_of(desk: Desk) -> CorrectionOptions:
    """The server's and the request's, without those of a story's loop."""
    chosen = desk.options.correction
    plain = CorrectionOptions()
    loop = {name: getattr(plain, name) for name in ("enabled", "first", "every", "feed_back")}
    return replace(chosen, **loop)


def corrector_of(engine: Engine) -> Corrector:
    """The engine's diffusion model, its weights and plans, for pictures of any size."""
    from ...corrector import Corrector

    how = engine.device, engine.dtype, engine.attention, engine.kernels
    return Corrector.of_loaded(engine.bundle, engine.models.corrector, *how, engine.loras)


def _edit_one(corrector: Corrector, options: CorrectionOptions, desk: Desk, number: int, index: int, seed: int) -> None:
    """Upload ``number`` as picture ``index``: estimates on its way, then the picture; files first, then events."""
    body = desk.job.body
    with Image.open(desk.folder / IMAGE.format(number)) as upload:
        picture = upload.convert("RGB")
    mask = None
    if body["masked"] and number == 0:
        with Image.open(desk.folder / MASK) as white:
            mask = np.asarray(white.convert("L"))

    def show(_: int, estimate: int, pixels: Image.Image) -> None:
        path = desk.folder / partial_name(index, estimate)
        if not path.is_file():  # an earlier attempt has shown it
            desk.write(lambda: _write(path, pixels))
            desk.event("estimate", {"index": index, "number": estimate})
        desk.check()

    begun = time.perf_counter()
    wanted = body["partial_images"] + 1  # number 0 is the upload, which the client has
    look = {"partial_images": wanted, "on_partial": show} if wanted > 1 else {}
    made = corrector(picture, body["prompt"], seed=seed, index=number, options=options, masks=[mask], **look)
    milliseconds = round((time.perf_counter() - begun) * 1e3, 3)
    desk.write(lambda: _write(desk.folder / image_name(index), made))
    (cut,) = corrector.cut_prompts
    width, height = made.size
    data = {"index": index, "sentence": body["prompt"], "refined_prompt": cut or body["prompt"], "seed": seed}
    data |= {"corrected": True, "width": width, "height": height, "text_tokens": 0, "image_tokens": 0}
    desk.event("frame", {**data, "phases_ms": {"correct": milliseconds}})


def _write(path: Any, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, picture)
