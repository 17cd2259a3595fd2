"""Parts that are trained already: folders named for their stages, such as tokenizer/ and vae/."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from ....engine.utils.atomic import write_json
from .stages import EXPORTS


def take_parts(parts: Path, out: Path) -> list[str]:
    """Copy each part in ``parts`` to where its stage would write it below ``out``, and record the stage as finished.

    Returns the stages taken; one that is finished in ``out`` keeps its own. ``ValueError`` if ``parts`` holds none.
    """
    found = [name for name in EXPORTS if (parts / name).is_dir()]
    if not found:
        raise ValueError(f"{str(parts)!r} has no folder of a trained part; choose from {', '.join(EXPORTS)}")
    (out / "done").mkdir(parents=True, exist_ok=True)
    taken = [name for name in found if not (out / "done" / f"{name}.json").is_file()]
    for name in taken:
        shutil.copytree(parts / name, out / EXPORTS[name], dirs_exist_ok=True)
        files = sorted(path for path in (parts / name).rglob("*") if path.is_file())
        digests = {str(path.relative_to(parts)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        write_json(out / "done" / f"{name}.json", {"taken_from": str(parts), "sha256": digests})
    return taken
