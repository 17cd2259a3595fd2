"""A bundle: an ARM, a visual tokenizer and a corrector that belong together, and the options that suit them.

    bundle.json     {"format": 1, "name": ..., "arm": "arm", "tokenizer": "tokenizer", "corrector": "corrector",
                     "defaults": {option: value, ...}}
    arm/            config.json, model.safetensors, tokenizer.json
    tokenizer/      config.json, model.safetensors
    corrector/      a diffusers directory of the Stable Diffusion family, or VideoCrafter2's model.ckpt

A part is a path relative to the file's directory, or an object that names its kind (``families/``), its path or its
repository on the Hugging Face hub, further folders and sizes:

    "arm": {"kind": "show-o", "repository": "showlab/show-o", "text": "microsoft/phi-1_5"}

A corrector's "loras" are a list of paths or repositories, each with "=WEIGHT" after it if it is not 1.
Parts may lie outside the bundle's directory (``..``), so that bundles can share them. What a bundle's default decides
is what a user leaves open; of the other options a bundle has no say.

Bundles of published checkpoints are such files alone (``bundles/published/``); repositories are sought in a models
folder (``models_folder.py``).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..models.model_set import Models
from ..options import FLAT_NAMES, Lora, StoryOptions, as_loras, make_options
from ..utils.weights import read_json
from .bundle_place import embedded_names, find_place, is_published, published_names
from .fallbacks import FALLBACKS
from .families import KINDS, ComponentSpec
from .fingerprint import fingerprint, old_fingerprint
from .model_store import find_model

FORMAT = 1
PLAIN = {"arm": "lwm", "tokenizer": "vqgan", "corrector": "stable-diffusion"}  # the kinds of parts that are mere paths
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Bundle:
    """Location and description of a bundle; nothing is loaded yet. ``path`` is its directory or file."""

    name: str
    path: Path
    parts: Mapping[str, ComponentSpec]
    defaults: Mapping[str, Any]

    def steered(self, controlnet: str | Path | None, depth_model: str | Path | None) -> "Bundle":
        """A copy whose corrector has a ControlNet and a depth model in these folders; None leaves one as it is.
        ``ValueError`` for a corrector that takes none."""
        folders = {"controlnet": controlnet, "depth_model": depth_model}
        given = {name: Path(folder) for name, folder in folders.items() if folder is not None}
        part, known = self.parts["corrector"], KINDS["corrector"]
        for name in given:
            if name not in known[part.kind].folders:
                others = " or ".join(kind for kind, entry in known.items() if name in entry.folders)
                raise ValueError(
                    f"{name} {str(folders[name])!r} does not go with bundle {self.name!r}: a corrector of kind "
                    f"{part.kind} takes none; choose one of kind {others}"
                )
            if not part.folders:
                raise ValueError(
                    f"{name} {str(folders[name])!r} does not go with random weights; leave one of them out"
                )
        parts = {**self.parts, "corrector": replace(part, folders={**part.folders, **given})}
        return replace(self, parts=parts) if given else self

    def load(self, device: torch.device | str, dtype: torch.dtype) -> Models:
        """Read the weights; ``ValueError`` names the file and the key that is wrong."""
        where = torch.device(device)
        models = Models(*(self.parts[role].load(where, dtype) for role in KINDS))
        frame, config = models.arm.stream, models.tokenizer.config
        for name in ("codes_per_frame", "codebook_size"):
            if getattr(frame, name) != (found := getattr(config, name)):
                said = f"{name} {getattr(frame, name)} of the ARM, {found} of the tokenizer"
                raise ValueError(f"bundle {self.name!r}: its parts do not fit: {said}")
        return models

    @property
    def loras(self) -> tuple[Lora, ...]:
        """The LoRAs of its corrector."""
        return self.parts["corrector"].loras

    def fingerprint(self) -> str:
        """Digits that change with the name or any byte of any file of weights; "random" for weights of noise. The
        files are read once: every story asks, and the weights stay as loaded."""
        return self._fingerprint

    def old_fingerprint(self) -> str:
        """The same as versions up to November 2026 made it, of samples of each file."""
        return old_fingerprint(self.parts)

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.parts)


def names_per_sentence() -> list[str]:
    """The published bundles whose ARM draws a frame from its sentence alone by default."""
    kinds = {name: read_json(find_place(name))["arm"]["kind"] for name in published_names()}
    return [name for name, kind in kinds.items() if KINDS["arm"][kind].defaults.get("layout") == "independent"]


def loras_by_bundle() -> dict[str, list[str]]:
    """The bundles whose correctors bring LoRAs, and their names."""
    files = {name: find_place(name) for name in (*embedded_names(), *published_names())}
    files = {name: path if path.is_file() else path / "bundle.json" for name, path in files.items()}
    entries = {name: (read_json(file).get("corrector"), file) for name, file in files.items()}
    found = {n: bundle_loras(said, file) if isinstance(said, dict) else () for n, (said, file) in entries.items()}
    return {name: [f"{one.path}={one.weight:g}" for one in loras] for name, loras in found.items() if loras}


def find_bundle(
    bundle: str | Path,
    models: str | Path | None = None,
    random_weights: bool = False,
    roles: Collection[str] = tuple(KINDS),
) -> Bundle:
    """The bundle of that name (embedded or published) or in that directory, with its parts of those ``roles``;
    ``ValueError`` names the choices.

    ``models`` is the folder that holds published checkpoints, refused where none is sought there: by an embedded
    bundle, and with ``random_weights``.
    """
    path = find_place(bundle)
    directory, file = (path.parent, path) if path.is_file() else (path, path / "bundle.json")
    raw = read_json(file)
    if raw.get("format") != FORMAT:
        raise ValueError(f"{file}: format {raw.get('format')!r} is unknown; this version reads {FORMAT}")
    parts = {role: _part(role, raw.get(role), file, directory, models, random_weights) for role in roles}
    own = {name: value for role, part in parts.items() for name, value in KINDS[role][part.kind].defaults.items()}
    defaults = {**FALLBACKS, **own, **_defaults(raw.get("defaults", {}), file)}
    found = Bundle(str(raw.get("name", directory.name)), path, parts, defaults)
    if random_weights and not is_published(file):
        raise ValueError(f"random weights are for published bundles ({', '.join(published_names())}), not {found.name}")
    if models is not None and not any(_lies_in(models, part) for part in parts.values()):
        why = "is made of noise" if random_weights else "brings all its parts"
        raise ValueError(f"models folder {str(models)!r} would not be used: bundle {found.name!r} {why}; leave it out")
    return found


def _lies_in(models: str | Path, part: ComponentSpec) -> bool:
    places = [*part.folders.values(), *(Path(lora.path) for lora in part.loras)]
    return any(place.is_relative_to(models) for place in places)


def _defaults(raw: Any, file: Path) -> dict[str, Any]:
    """Defaults of options in a bundle's file; ``ValueError`` for an option that a bundle does not decide, or an
    impossible value."""
    if not isinstance(raw, dict):
        raise ValueError(f"{file}: defaults is {raw!r}, which is not an object")
    own = StoryOptions().flat()
    for name, value in raw.items():
        if name not in FLAT_NAMES:
            raise ValueError(f"{file}: unknown default {name!r}; choose among {', '.join(FLAT_NAMES)}")
        if own[name] is not None:
            raise ValueError(f"{file}: {name} has a default of its own, which a bundle does not decide")
        if value is None:
            raise ValueError(f"{file}: default {name} is None; leave it out, or give a value")
    try:
        make_options(**raw)
    except ValueError as error:
        raise ValueError(f"{file}: defaults: {error}") from None
    return raw


def _part(
    role: str, raw: Any, file: Path, directory: Path, models: str | Path | None, random_weights: bool
) -> ComponentSpec:
    said = {"kind": PLAIN[role], "path": raw} if isinstance(raw, str) else raw
    kinds = KINDS[role]
    kind = said.get("kind") if isinstance(said, dict) else said
    if not isinstance(said, dict) or not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"{file}: {role} is of unknown kind {kind!r}; choose among {', '.join(kinds)}")
    for name in said:
        own = ("loras",) if role == "corrector" else ()
        if name not in ("kind", "path", "repository", "config", *own, *kinds[kind].folders):
            raise ValueError(f"{file}: {role} has an unknown key {name!r}")
    config, folders = said.get("config", {}), {}
    loras: tuple[Lora, ...] = ()
    if not isinstance(config, dict):
        raise ValueError(f"{file}: {role} has the config {config!r}, which is not an object")
    if ("path" in said) == ("repository" in said):
        raise ValueError(f"{file}: {role} names either its path or its repository")
    if not random_weights:
        main = "path" if "path" in said else "repository"
        folders["path"] = _folder(role, main, said[main], file, directory, models)
        for name in (name for name in kinds[kind].folders if name in said):
            folders[name] = _folder(f"{role}.{name}", name, said[name], file, directory, models)
        loras = tuple(_lora(lora, file, directory, models) for lora in bundle_loras(said, file))
    return ComponentSpec(kind, folders, config, loras)


def bundle_loras(said: Mapping[str, Any], file: Path) -> tuple[Lora, ...]:
    """The LoRAs that a corrector's entry names, as it names them."""
    texts = said.get("loras", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{file}: corrector.loras is {texts!r}, which is not a list of paths or repositories")
    try:
        return as_loras(texts)
    except ValueError as error:
        raise ValueError(f"{file}: corrector.loras: {error}") from None


def _lora(lora: Lora, file: Path, directory: Path, models: str | Path | None) -> Lora:
    """The file next to the bundle's, or else the repository in the models folder."""
    if not is_published(file) and (directory / lora.path).is_file():
        return replace(lora, path=str(directory / lora.path))
    return replace(lora, path=str(_folder("corrector.loras", "repository", lora.path, file, directory, models)))


def _folder(role: str, key: str, said: Any, file: Path, directory: Path, models: str | Path | None) -> Path:
    """The folder ``said`` next to the file, or else the repository of that name in the models folder."""
    published = is_published(file)
    if isinstance(said, str) and not published and (directory / said).is_dir():
        return directory / said
    if key == "path" or not isinstance(said, str):
        raise ValueError(f"{file}: {role} {said!r} is not a directory next to it")
    if models is None and not published:
        raise ValueError(
            f"{file}: {role} {said!r} is not a directory next to it; --models DIR says where repositories lie"
        )
    if models is None:
        advice = "give the folder that holds it (--models DIR), or measure without it (--random-weights)"
        raise ValueError(f"bundle {file.stem!r} needs {said}; {advice}")
    return find_model(Path(models), said)


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
