"""A bundle: one directory with an ARM, a visual tokenizer and a corrector that belong together.

    bundle.json     {"format": 1, "name": ..., "arm": "arm", "tokenizer": "tokenizer", "corrector": "corrector",
                     "defaults": {option: value, ...}}
    arm/            config.json, model.safetensors, tokenizer.json
    tokenizer/      config.json, model.safetensors
    corrector/      a diffusers directory of the Stable Diffusion family

``"arm"``, ``"tokenizer"`` and ``"corrector"`` are paths relative to the directory, so parts may be shared.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .models.arm.arm import Arm
from .models.corrector.stable_diffusion import StableDiffusion
from .models.tokenizer.vqgan import VQGAN
from .story import StoryOptions
from .weights import read_json

FORMAT = 1
PARTS = ("arm", "tokenizer", "corrector")
EMBEDDED = Path(__file__).parent / "bundles"
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
# The paper's guidance (section 4) and each sampler's neutral value, where a bundle says nothing.
FALLBACKS: Mapping[str, Any] = {
    "guidance_scale": 7.5,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "arm_guidance_scale": 1.0,
    "context": "full",
}
SAMPLE = 1 << 20


class Models(NamedTuple):
    """The three networks of a bundle, on one device; ``correction`` runs the whole of one where a backend does."""

    arm: Arm
    tokenizer: VQGAN
    corrector: StableDiffusion
    correction: Callable[..., tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True)
class Bundle:
    """Where a bundle lies and what it says of itself; nothing is loaded yet."""

    name: str
    path: Path
    parts: Mapping[str, Path]
    defaults: Mapping[str, Any]

    def load(self, device: torch.device | str, dtype: torch.dtype) -> Models:
        """Read the weights; ``ValueError`` names the file and the key that is wrong."""
        where = torch.device(device)
        return Models(
            Arm.from_directory(self.parts["arm"], where, dtype),
            VQGAN.from_directory(self.parts["tokenizer"], where, dtype),
            StableDiffusion.from_directory(self.parts["corrector"], where, dtype),
        )

    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any file's name or size and with its first, middle or last mebibyte."""
        digest = hashlib.sha256()
        for part in PARTS:
            for path in sorted(p for p in self.parts[part].rglob("*") if p.is_file()):
                digest.update(f"{part}/{path.relative_to(self.parts[part]).as_posix()}".encode())
                _hash_samples(digest, path)
        return digest.hexdigest()[:16]


def embedded_names() -> list[str]:
    """The bundles that the package ships."""
    return sorted(path.parent.name for path in EMBEDDED.glob("*/bundle.json"))


def find_bundle(bundle: str | Path) -> Bundle:
    """The bundle of that name (embedded) or in that directory; ``ValueError`` names the choices."""
    embedded = EMBEDDED / str(bundle)
    path = embedded if str(bundle) in embedded_names() else Path(bundle)
    if not path.is_dir():
        names = ", ".join(embedded_names())
        raise ValueError(f"unknown bundle {str(bundle)!r}; choose {names} or a bundle's directory")
    file = path / "bundle.json"
    raw = read_json(file)
    if raw.get("format") != FORMAT:
        raise ValueError(f"{file}: format {raw.get('format')!r} is unknown; this version reads {FORMAT}")
    for part in PARTS:
        if not isinstance(raw.get(part), str) or not (path / raw[part]).is_dir():
            raise ValueError(f"{file}: {part} {raw.get(part)!r} is no directory beside it")
    defaults = raw.get("defaults", {})
    known = [f.name for f in fields(StoryOptions)]
    for name in defaults:
        if name not in known:
            raise ValueError(f"{file}: unknown default {name!r}; choose among {', '.join(known)}")
    parts = {part: path / raw[part] for part in PARTS}
    return Bundle(str(raw.get("name", path.name)), path, parts, {**FALLBACKS, **defaults})


def parse_dtype(name: str) -> torch.dtype:
    """The torch dtype of that name; ``ValueError`` names the choices."""
    if name not in DTYPES:
        raise ValueError(f"unknown dtype {name!r}; choose one of {', '.join(DTYPES)}")
    return DTYPES[name]


def parse_device(name: str) -> torch.device:
    """The torch device of that name, if this machine has it; ``ValueError`` names the choices."""
    choices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    known = device is not None and (str(device) in choices or (str(device) == "cuda" and len(choices) > 1))
    if device is None or not known:
        raise ValueError(f"device {name!r} is not available here; choose one of {', '.join(choices)}")
    return device


def _hash_samples(digest: "hashlib._Hash", path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for offset in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
            file.seek(offset)
            digest.update(file.read(SAMPLE))
