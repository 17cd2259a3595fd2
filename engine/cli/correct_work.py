"""The work of ``acdc correct``: every picture is on disk and listed before the next one starts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from ..options import CorrectionOptions
from ..storage.correction_run import CorrectionRun, Entry
from ..storage.picture_files import PictureFile, read_frames, read_picture, write_clip
from ..storage.picture_progress import PictureProgress
from ..storage.story_writer import prompt_remark
from ..utils.atomic import write_png
from ..utils.streams import log
from ..utils.uninterrupted import uninterrupted
from .picture_work import work_through

if TYPE_CHECKING:
    from ..corrector import Corrector


@dataclass
class Work:
    """A run that is going on."""

    corrector: Corrector
    options: CorrectionOptions
    seed: int
    chunk_frames: int
    batch: int
    directory: Path
    run: CorrectionRun
    sources: Sequence[PictureFile]

    def all(self) -> str:
        """Correct what is missing; a picture that fails is listed, and the others go on. Returns a summary."""
        return work_through(self.run, self.directory, self._correct)

    def _correct(self, missing: Sequence[int], progress: PictureProgress) -> None:
        for numbers in self._batches(missing):
            if len(numbers) > 1:
                self._together(numbers, progress)
            else:
                self._alone(numbers[0], progress)

    def _batches(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Pictures of one size that follow one another, at most ``batch`` together; clips alone."""
        batch: list[int] = []
        for number in numbers:
            source, first = self.sources[number], self.sources[batch[0] if batch else number]
            if batch and (
                len(batch) == self.batch or {source.kind, first.kind} != {"picture"} or source.size != first.size
            ):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _together(self, numbers: Sequence[int], progress: PictureProgress) -> None:
        """Correct these pictures in one pass, or, where that fails, one by one, so that one fault is one failure."""
        entries = [self.run.pictures[number] for number in numbers]
        progress.working(self.sources[numbers[0]].path.name)
        begun = time.perf_counter()
        try:
            given = [read_picture(self.sources[number]) for number in numbers]
            images = self._corrected(given, entries, numbers)
        except Exception as error:
            if not _is_failure(error):
                raise
            for number in numbers:
                self._alone(number, progress)
            return
        seconds = (time.perf_counter() - begun) / len(numbers)
        for number, entry, image in zip(numbers, entries, images, strict=True):
            with uninterrupted():
                write_png(self.directory / entry.image, image)
                self._over(number, None, seconds, progress)

    def _alone(self, number: int, progress: PictureProgress) -> None:
        """Correct a picture or a clip; a failure is listed."""
        source, entry = self.sources[number], self.run.pictures[number]
        progress.working(source.path.name)
        begun, failure = time.perf_counter(), None
        try:
            if source.kind == "picture":
                (image,) = self._corrected([read_picture(source)], [entry], [number])
                with uninterrupted():
                    write_png(self.directory / entry.image, image)
            else:
                self._clip(source, entry)
        except Exception as error:
            if not _is_failure(error):
                raise
            failure = " ".join(str(error).split())
        self._over(number, failure, time.perf_counter() - begun, progress)

    def _corrected(self, given: list[Image], entries: Sequence[Entry], numbers: Sequence[int]) -> list[Image]:
        """Pictures whose noise is that of their ``numbers``."""
        prompts = [entry.prompt for entry in entries]
        images: list[Image] = self.corrector(
            given, prompts, seed=self.seed, index=numbers, options=self.options, batch=self.batch
        )
        for entry, image, before, cut in zip(entries, images, given, self.corrector.cut_prompts, strict=True):
            image.info |= before.info
            entry.cut_prompt = cut
        return images

    def _over(self, number: int, failure: str | None, seconds: float, progress: PictureProgress) -> None:
        """List what became of a picture."""
        source, entry = self.sources[number], self.run.pictures[number]
        entry.error, entry.finished = failure, failure is None
        entry.seconds = round(entry.seconds + seconds, 3)
        with uninterrupted():
            self.run.save(self.directory)
        place = self.directory / entry.image
        progress.done(f"{place}, {seconds:.2f} s" if failure is None else f"{source.path} failed: {failure}")
        if entry.cut_prompt is not None:
            log(f"acdc: {source.path}: {prompt_remark(entry.cut_prompt)}")

    def _clip(self, source: PictureFile, entry: Entry) -> None:
        """The frames that are not there yet, chunk by chunk, then the clip."""
        folder = self.directory / source.frames_folder
        folder.mkdir(parents=True, exist_ok=True)
        if not all((folder / frame_name(place)).is_file() for place in range(1, entry.frames + 1)):
            entry.frames = 0
        if not entry.frames:
            for path in folder.glob("frame_[0-9]*.png"):  # of an earlier, perhaps longer clip
                path.unlink()
        together, number = self.corrector.clip_frames is not None, 0
        every = read_frames(source)
        chunks = iter(lambda: list(islice(every, self.chunk_frames)), [])
        for chunk, frames in enumerate(chunks):
            if number + len(frames) > entry.frames:
                corrected = self.corrector.clip(
                    frames, entry.prompt, seed=self.seed, index=chunk if together else 0, options=self.options
                )
                entry.cut_prompt = self.corrector.cut_prompts[0]
                with uninterrupted():
                    for place, frame in enumerate(corrected, number + 1):
                        write_png(folder / frame_name(place), frame)
                    entry.frames = number + len(frames)
                    self.run.save(self.directory)
            number += len(frames)
        if not number:
            raise ValueError("it has no frames")
        write_clip(self.directory / entry.image, source, [folder / frame_name(place) for place in range(1, number + 1)])


def frame_name(number: int) -> str:
    """File of a clip's frame, from 1."""
    return f"frame_{number:04d}.png"


def _is_failure(error: Exception) -> bool:
    """Is ``error`` of one picture, and not a fault of the program?"""
    from ..utils.out_of_memory import is_out_of_memory  # here, since it imports torch

    return isinstance(error, ValueError | OSError) or is_out_of_memory(error)
