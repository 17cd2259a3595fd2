"""A corrector alone: a diffusers directory of the Stable Diffusion family, VideoCrafter2's, or that of a bundle."""

from __future__ import annotations

from pathlib import Path

from ..models.diffusion.animatediff import ADAPTER
from ..models.diffusion.deepfloyd.model import PIPELINES as DEEPFLOYD
from ..models.diffusion.deepfloyd.model import STAGE_ONE
from ..utils.weights import read_json
from .bundle import Bundle, find_bundle
from .fallbacks import FALLBACKS
from .families import KINDS, ComponentSpec
from .videocrafter2 import is_published

ROLE = "corrector"


def find_corrector(place: str | Path, models: str | Path | None = None, random_weights: bool = False) -> Bundle:
    """A bundle whose only part is the corrector; ``ValueError`` as for :func:`find_bundle`.

    A diffusers directory (``model_index.json``) that holds a ``motion_adapter`` corrects clips, and so does one with
    VideoCrafter2's ``model.ckpt``. One of DeepFloyd IF's stage II may hold a ``stage_one``.
    """
    folder = Path(place)
    kind = kind_of(folder)
    if kind is None:
        return find_bundle(place, models, random_weights, (ROLE,))
    for option, given in (("models", models is not None), ("random_weights", random_weights)):
        if given:
            raise ValueError(f"{option} is for bundles; {str(place)!r} is a model's directory, leave it out")
    defaults = {**FALLBACKS, **KINDS[ROLE][kind].defaults}
    further = {STAGE_ONE: folder / STAGE_ONE} if kind == "deepfloyd-if" and (folder / STAGE_ONE).is_dir() else {}
    part = ComponentSpec(kind, {"path": folder, **further})
    return Bundle(folder.resolve().name, folder, {ROLE: part}, defaults)


def kind_of(folder: Path) -> str | None:
    """The kind of the corrector in a model's own directory; None: it is not one."""
    if (folder / "model_index.json").is_file():
        if read_json(folder / "model_index.json").get("_class_name") in DEEPFLOYD:
            return "deepfloyd-if"
        return "animatediff" if (folder / ADAPTER).is_dir() else "stable-diffusion"
    return "videocrafter2" if is_published(folder) else None
