"""A corrector alone: a diffusers directory of the Stable Diffusion family, or the corrector of a bundle."""

from __future__ import annotations

from pathlib import Path

from ..models.diffusion.animatediff import ADAPTER
from ..utils.weights import read_json
from .bundle import FALLBACKS, Bundle, find_bundle
from .families import ComponentSpec

ROLE = "corrector"


def find_corrector(place: str | Path, models: str | Path | None = None, random_weights: bool = False) -> Bundle:
    """A bundle whose only part is the corrector; ``ValueError`` as for :func:`find_bundle`.

    A diffusers directory (``model_index.json``) that holds a ``motion_adapter`` corrects clips.
    """
    folder = Path(place)
    if not (folder / "model_index.json").is_file():
        return find_bundle(place, models, random_weights, (ROLE,))
    for option, given in (("models", models is not None), ("random_weights", random_weights)):
        if given:
            raise ValueError(f"{option} is for bundles; {str(place)!r} is a diffusers directory, leave it out")
    kind = "animatediff" if (folder / ADAPTER).is_dir() else "stable-diffusion"
    return Bundle(folder.resolve().name, folder, {ROLE: ComponentSpec(kind, {"path": folder})}, FALLBACKS)


def native_size(corrector: Bundle, downscale: int) -> int | None:
    """Pixels of the pictures that the UNet was trained on, if its config says so: the latents' side times
    ``downscale``."""
    folder = corrector.parts[ROLE].folders.get("path")
    size = None if folder is None else read_json(folder / "unet" / "config.json").get("sample_size")
    return size * downscale if type(size) is int and size > 0 else None
