"""Plans on disk: a folder of entries under keys that change with everything that decides a plan.

    ROOT/<key>/manifest.json    {"what": "vae_decoder(...)", "files": {"plan.bin": <blake2b>, ...}}
    ROOT/<key>/...              the backend's own files

An entry is written beside its place and renamed into it, so processes that build the same plan at once do not
disturb each other. One that is damaged is built again, with one line of warning. Nothing here is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .builder import Builder

LOG = logging.getLogger("acdc")
MANIFEST = "manifest.json"
GIB = 1 << 30


def default_root() -> Path:
    """``$ACDC_CACHE/plans``, else the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``) ``/acdc/plans``."""
    if own := os.environ.get("ACDC_CACHE"):
        return Path(own) / "plans"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acdc" / "plans"


@dataclass(frozen=True)
class Entry:
    """One plan on disk."""

    folder: Path
    what: str
    num_bytes: int
    used: float  # seconds since the epoch


class PlanCache:
    """The folder. ``limit`` bytes bound it: the entries that were used longest ago make room.

    ``on_build(what, seconds, peak_bytes)`` is told of each plan that had to be built, with the most memory that its
    compiler took in a process of its own (0: there was none). ``builder`` runs such compilers.
    """

    def __init__(
        self,
        root: Path | None = None,
        limit: int = 8 * GIB,
        on_build: Callable[[str, float, int], None] | None = None,
        builder: Builder | None = None,
    ) -> None:
        self.root, self.limit, self.on_build = root or default_root(), limit, on_build
        self.builder = builder or Builder()
        self._warned: set[str] = set()
        self._builds: list[int] = []  # the peaks of what was built since ``reported`` began

    def shallow_copy(self) -> PlanCache:
        """Another cache over the same folder and with the same builder."""
        shallow_copy = PlanCache(self.root, self.limit, self.on_build, self.builder)
        shallow_copy._warned = self._warned
        return shallow_copy

    def warn_once(self, about: str, message: str) -> None:
        """Log ``message``, unless this cache or a twin has warned of ``about`` before."""
        if about not in self._warned:
            self._warned.add(about)
            LOG.warning("%s", message)

    @contextmanager
    def reported(self, what: str) -> Iterator[None]:
        """Tell ``on_build`` of ``what`` if anything is built within."""
        began = time.perf_counter()
        self._builds.clear()
        yield
        if self._builds and self.on_build is not None:
            self.on_build(what, time.perf_counter() - began, max(self._builds))

    def built(self, function: str, arguments: dict[str, Any], seconds: float) -> bytes:
        """What ``function`` writes to the file ``blob``, one of its arguments, in the builder's process.

        Raises ``PlanRefused``, as :meth:`Builder.run` does.
        """
        with tempfile.TemporaryDirectory(prefix="acdc-") as folder:
            blob = Path(folder) / "blob"
            self._builds.append(self.builder.run(function, {**arguments, "blob": str(blob)}, seconds))
            return blob.read_bytes()

    def entry(self, key: str, what: str, build: Callable[[Path], object]) -> Path:
        """The folder of ``key``; ``build(folder)`` fills it if it is missing or damaged."""
        folder = self.root / key
        if folder.is_dir():
            if intact(folder):
                os.utime(folder)
                return folder
            LOG.warning("plan cache: %s is damaged, building %s again", folder, what)
            shutil.rmtree(folder, ignore_errors=True)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=self.root))
        try:
            build(part)
            seal(part, what)
            _publish(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._make_room(folder)
        self._builds.append(0)
        return folder

    def entries(self) -> Iterator[Entry]:
        """What lies there, the longest unused first."""
        found = []
        for manifest in self.root.glob(f"[!.]*/{MANIFEST}"):
            folder = manifest.parent
            size = sum(path.stat().st_size for path in folder.iterdir())  # also of what was kept beside
            found.append(Entry(folder, str(_read(manifest).get("what", "?")), size, folder.stat().st_mtime))
        yield from sorted(found, key=lambda entry: entry.used)

    def clear(self) -> int:
        """Remove every entry; returns how many there were."""
        entries = list(self.entries())
        for entry in entries:
            shutil.rmtree(entry.folder, ignore_errors=True)
        return len(entries)

    def _make_room(self, keep: Path) -> None:
        entries = list(self.entries())
        excess = sum(entry.num_bytes for entry in entries) - self.limit
        for entry in entries:
            if excess > 0 and entry.folder != keep:
                shutil.rmtree(entry.folder, ignore_errors=True)
                excess -= entry.num_bytes


def keep_beside(folder: Path, name: str, data: bytes) -> None:
    """Put what was learnt of a plan later (code for one processor) into its entry; a full disk costs only that."""
    part = folder / f".{name}.{os.getpid()}"
    try:
        part.write_bytes(hashlib.blake2b(data).digest() + data)
        part.rename(folder / name)
    except OSError as error:
        part.unlink(missing_ok=True)
        LOG.warning("plan cache: %s cannot be kept (%s)", folder / name, error)


def find_beside(folder: Path, name: str) -> bytes | None:
    """What :func:`keep_beside` put there; None if nothing is there, or it is damaged."""
    try:
        stored = (folder / name).read_bytes()
    except OSError:
        return None
    size = hashlib.blake2b().digest_size
    digest, data = stored[:size], stored[size:]
    return data if hashlib.blake2b(data).digest() == digest else None


def seal(folder: Path, what: str) -> None:
    """Write the manifest, last: a folder without one is not an entry."""
    files = {path.name: _digest(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"what": what, "files": files}, indent=1), encoding="utf-8")


def intact(folder: Path) -> bool:
    """Do all files of the manifest lie there, unchanged?"""
    files = _read(folder / MANIFEST).get("files")
    if not isinstance(files, dict) or not files:
        return False
    return all((folder / name).is_file() and _digest(folder / name) == digest for name, digest in files.items())


def _publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:  # another process was first: its plan is as good
        if not intact(folder):
            raise


def _read(manifest: Path) -> dict[str, object]:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
