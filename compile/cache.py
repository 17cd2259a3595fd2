"""Plans on disk: a folder of entries under keys that change with everything that decides a plan.

    ROOT/<key>/manifest.json    {"what": "vae_decoder(...)", "files": {"plan.bin": <blake2b>, ...}}
    ROOT/<key>/...              the backend's own files

An entry is written under another name and renamed, so processes that build the same plan at once do not
disturb each other. One that is damaged is built again, with one line of warning. What a killed process left half
written begins with a dot; it is counted, and swept after a day. Nothing here is unpickled.

A folder that may only be read is used, and where there is none a temporary one takes its place: that costs time, and
does not stop the run.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .builder import Builder
from .entry import MANIFEST, Entry, intact, keep_adjacent, measured, publish, read_manifest, remove, seal

LOG = logging.getLogger("acdc")
MEASURED = "*.timings"  # files next to the entries, of backends that time kernels
GIB = 1 << 30
DAY = 86_400.0  # seconds


def default_root() -> Path:
    """``$ACDC_CACHE/plans``, else the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``) ``/acdc/plans``.

    ``RuntimeError`` where the user has no home (a container's user without an entry in its passwd file).
    """
    if own := os.environ.get("ACDC_CACHE"):
        return Path(own) / "plans"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acdc" / "plans"


@dataclass
class _Shared:
    """State that a cache shares with its copies."""

    builder: Builder
    warned: set[str] = field(default_factory=set)
    temporary: tempfile.TemporaryDirectory[str] | None = None


class PlanCache:
    """The folder. ``limit`` bytes bound it: the entries that were used longest ago make room.

    ``on_build(what, seconds, peak_bytes)`` is called for each plan that had to be built, with the most memory that its
    compiler took in a process of its own (0: there was none). ``builder`` runs such compilers. ``root`` is None where
    the user has no folder for it.
    """

    def __init__(
        self,
        root: Path | None = None,
        limit: int = 8 * GIB,
        on_build: Callable[[str, float, int], None] | None = None,
        builder: Builder | None = None,
    ) -> None:
        self.limit, self.on_build = limit, on_build
        self.root: Path | None = root
        if root is None:
            with suppress(RuntimeError):
                self.root = default_root()
        self._shared = _Shared(builder or Builder())
        self._builds: list[int] = []  # the peaks of what was built since ``reported`` began

    def shallow_copy(self) -> PlanCache:
        """Another cache over the same folder and with the same builder."""
        copied = PlanCache(self.root, self.limit, self.on_build)
        copied._shared = self._shared
        return copied

    def warn_once(self, about: str, message: str) -> None:
        """Log ``message``, unless this cache or a copy has warned of ``about`` before."""
        if about not in self._shared.warned:
            self._shared.warned.add(about)
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
        """The file ``blob`` that ``function``, which takes its path, writes in the builder's process.

        Raises ``PlanRefused``, as :meth:`Builder.run` does.
        """
        part = self._staging("blob")
        try:
            self.run(function, {**arguments, "blob": str(part / "blob")}, seconds)
            return (part / "blob").read_bytes()
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def run(self, function: str, arguments: dict[str, Any], seconds: float) -> None:
        """Run ``function`` in the builder's process, as :meth:`Builder.run` does."""
        self._builds.append(self._shared.builder.run(function, arguments, seconds))

    def entry(self, key: str, what: str, build: Callable[[Path], object]) -> Path:
        """The folder of ``key``; ``build(folder)`` fills it if it is missing or damaged."""
        blocked = False
        for root in self._roots():
            folder = root / key
            if not folder.is_dir():
                continue
            if intact(folder):
                with suppress(OSError):  # it may only be read: its age does not matter then
                    os.utime(folder)
                return folder
            LOG.warning("plan cache: %s is damaged, building %s again", folder, what)
            shutil.rmtree(folder, ignore_errors=True)
            blocked = folder.is_dir()
        self._sweep()
        part = self._staging(key, blocked)
        try:
            build(part)
            seal(part, what)
            publish(part, part.parent / key)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._make_room(part.parent / key)
        self._builds.append(0)
        return part.parent / key

    def keep(self, folder: Path, name: str, data: bytes) -> None:
        """Put what was learnt of a plan later (code for one processor) into its entry; failing costs only that."""
        try:
            keep_adjacent(folder, name, data)
        except OSError as error:
            self.warn_once("keep", f"plan cache: what is compiled here is not kept ({error})")

    def entries(self) -> Iterator[Entry]:
        """The entries, the longest unused first."""
        found = []
        for root in self._roots():
            for manifest in root.glob(f"[!.]*/{MANIFEST}"):
                with suppress(FileNotFoundError):  # another process has removed it
                    what = str(read_manifest(manifest).get("what", "?"))
                    found.append(measured(manifest.parent, what))
        yield from sorted(found, key=lambda entry: entry.used)

    def others(self) -> Iterator[Entry]:
        """Other files: entries that are being written or were left half written, and measurements of backends."""
        for root in self._roots():
            for path in (*root.glob(".*"), *root.glob(MEASURED)):
                with suppress(FileNotFoundError):
                    yield measured(path, "left half written" if path.name.startswith(".") else path.name)

    def clear(self) -> int:
        """Remove everything; returns how many entries there were."""
        entries = list(self.entries())
        for entry in (*entries, *self.others()):
            remove(entry.folder)
        return len(entries)

    def check_kept(self) -> None:
        """``ValueError`` where what is built would be gone with this process."""
        part, reason = self._staging_in_root("check")
        if part is None:
            raise ValueError(f"plans cannot be kept: {reason}; set ACDC_CACHE to a folder that can be written")
        remove(part)

    def _roots(self) -> list[Path]:
        """Folders in which entries are looked for."""
        temporary = [Path(self._shared.temporary.name)] if self._shared.temporary else []
        return [self.root, *temporary] if self.root is not None else temporary

    def _staging(self, name: str, blocked: bool = False) -> Path:
        """A new folder next to the entries, or in a temporary root where nothing can be written there.

        ``blocked``: what it will become is there, and can neither be used nor removed.
        """
        part, reason = self._staging_in_root(name, blocked)
        if part is not None:
            return part
        if self._shared.temporary is None:
            self._shared.temporary = tempfile.TemporaryDirectory(prefix="acdc-plans-")
        self.warn_once(
            "root", f"plan cache: plans of this run are not kept ({reason}); ACDC_CACHE names another folder"
        )
        return Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self._shared.temporary.name))

    def _staging_in_root(self, name: str, blocked: bool = False) -> tuple[Path | None, str]:
        """The new folder, or why there can be none. A full disk raises ``OSError``."""
        if self.root is None:
            return None, "this user has no home folder"
        if blocked:
            return None, f"{self.root / name} is damaged and cannot be removed"
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.root)), ""
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            return None, str(error)

    def _sweep(self) -> None:
        """Remove what has been half written for a day: its process is gone."""
        for entry in self.others():
            if entry.folder.name.startswith(".") and time.time() - entry.used > DAY:
                remove(entry.folder)

    def _make_room(self, keep: Path) -> None:
        entries = list(self.entries())
        excess = sum(entry.num_bytes for entry in (*entries, *self.others())) - self.limit
        for entry in entries:
            if excess > 0 and entry.folder != keep:
                shutil.rmtree(entry.folder, ignore_errors=True)
                excess -= entry.num_bytes
