"""The correction by itself, for pictures that anything has drawn: load a diffusion model once, then correct.

    corrector = Corrector.from_pretrained("path/to/stable-diffusion")
    better = corrector(pictures, "a beagle in a garden", seed=7, strength=0.5)

Pictures may be of any size; what the engine corrects is of the size that its tokenizer has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..compile.cache import PlanCache
from .constraints import Pixels
from .loading.bundle import Bundle, parse_device, parse_dtype
from .loading.corrector import ROLE, find_corrector
from .loading.lora import LoraFile, merge_loras, read_loras
from .models.diffusion.stable_diffusion import StableDiffusion
from .options import FLAT_NAMES, CorrectionOptions, EngineOptions, Lora, StoryOptions, as_loras, default_backend
from .runtime.automatic import corrector_modules, settle
from .runtime.backends import WHOLE, describe
from .runtime.compiled import Stages, compile_corrector
from .runtime.execution import Execution, choose_execution, prepare
from .sdedit.correction import Correction, config_of
from .sdedit.masked_pictures import fitted, outside_kept
from .sdedit.observer import Observer
from .sdedit.pictures import unpack
from .sdedit.pixels import check_finite
from .sdedit.resize import resize, working_size
from .sdedit.rows import neighbours, numbers_of, texts_of

OWN_LOOP = ("enabled", "first", "every", "feed_back")  # options of a story's loop, which pictures do not have


class Corrector:
    """SDEdit (ACDC Eq. 2; of clips Eq. 5) with one diffusion model. ``cut_prompts`` are, for the pictures of the last
    call, the parts of their prompts that the text encoder saw (None: all)."""

    def __init__(
        self, bundle: Bundle, corrector: StableDiffusion, how: Execution, backends: dict[str, str],
        loras: Sequence[LoraFile],
    ) -> None:  # fmt: skip
        """Use :meth:`from_pretrained`."""
        self.bundle, self.corrector, self.how, self.backends = bundle, corrector, how, backends
        self.loras, self.native = tuple(loras), corrector.native_size
        self.cut_prompts: list[str | None] = []
        self._corrections: dict[CorrectionOptions, Correction] = {}

    @classmethod
    def from_pretrained(
        cls,
        place: str | Path | Bundle,
        *,
        models: str | Path | None = None,
        random_weights: bool = False,
        device: str = EngineOptions.device,
        dtype: str = EngineOptions.dtype,
        backend: str | None = EngineOptions.backend,
        precision: str = EngineOptions.precision,
        attention: str = EngineOptions.attention,
        kernels: str = EngineOptions.kernels,
        loras: Iterable[str | Path | Lora] = EngineOptions.loras,
        cache: PlanCache | None = None,
        num_pictures: int | None = None,
    ) -> Corrector:
        """Load a diffusers directory of the Stable Diffusion family or of DeepFloyd IF, VideoCrafter2's directory, or a
        bundle's corrector.

        ``place`` is the directory, or a bundle, its name or its directory; VideoCrafter2's, which holds ``model.ckpt``,
        and a diffusers directory that holds a ``motion_adapter`` correct clips. ``num_pictures`` is how many will be
        corrected, as far as it is known: ``auto`` makes no plans for few. The other arguments are those of
        :meth:`Engine.from_pretrained`. Raises ``ValueError`` (one line) for what is unknown and for damaged files.
        """
        where, kind = parse_device(device), parse_dtype(dtype)
        found = place if isinstance(place, Bundle) else find_corrector(place, models, random_weights)
        how = choose_execution(where, kind, backend or default_backend(), precision, attention, kernels)
        if how.backends[WHOLE] != "eager" or how.backends["unet"] == "openvino-int8":
            raise ValueError(f"backend {describe(how.backends)!r} needs a bundle's other models, too; choose another")
        loaded: StableDiffusion = found.parts[ROLE].load(where, kind)
        merged = read_loras(loaded, (*found.loras, *as_loras(loras)))
        merge_loras(loaded, merged)
        modules = corrector_modules(loaded)
        known = num_pictures if precision == "exact" else None
        backends = settle(how.backends, how.automatic, modules, kernels, known)
        prepare(how, backends, loaded, [loaded.vae, *loaded.denoisers])
        ready = compile_corrector(loaded, Stages(backends, cache or PlanCache(), how.automatic))
        return cls(found, ready, how, backends, merged)

    @classmethod
    def of_loaded(
        cls, bundle: Bundle, corrector: StableDiffusion, device: torch.device, dtype: str, attention: str, kernels: str,
        loras: Sequence[LoraFile] = (),
    ) -> Corrector:  # fmt: skip
        """The diffusion model of an engine, as it is in memory, with its plans."""
        how = choose_execution(device, parse_dtype(dtype), "eager", "exact", attention, kernels)
        return cls(bundle, corrector, how, how.backends, loras)

    @property
    def clip_frames(self) -> int | None:
        """The longest clip that is corrected together; None: the model corrects pictures one by one."""
        return self.corrector.max_clip_frames

    def __call__(
        self,
        pictures: Any,
        prompts: str | Sequence[str],
        *,
        seed: int = 0,
        index: int | Sequence[int] = 0,
        options: CorrectionOptions | None = None,
        batch: int = 1,
        masks: Sequence[Pixels | None] | None = None,
        partial_images: int = 0,
        on_partial: Callable[[int, int, Any], None] | None = None,
        **values: Any,
    ) -> Any:
        """The corrected pictures, each of its own size, in the kind that was given (``sdedit/pictures.py``).

        ``prompts`` are one for all or one a picture. ``options`` (or their fields as keywords: ``strength=0.4``) say
        how. Noise depends on ``seed`` and on the picture's number alone: ``index`` for the first and one more each, or
        a list of numbers. Up to ``batch`` neighbours of one size share a pass, with the same results up to rounding.
        ``masks`` are uint8 [H, W], one a picture (None: all of it), white where it may change; the rest keeps its
        pixels. ``on_partial(row, k, picture)`` gets the estimates k = 1 .. ``partial_images`` - 1 of each picture on
        its way (as of frames, whose number 0 is the draft). Raises ``ValueError`` for what is impossible, and where
        the model's numbers are not finite.
        """
        given, chosen = unpack(pictures), self._options(options, values)
        if batch < 1:
            raise ValueError(f"batch {batch} is too small; choose 1 or more")
        count = len(given.pictures)
        texts, numbers = texts_of(prompts, count), numbers_of(index, count)
        marks = [None] * count if masks is None else list(masks)
        if len(marks) != count:
            raise ValueError(f"{len(marks)} masks for {count} pictures; give one a picture, or None")
        made: list[Any] = []
        self.cut_prompts = []
        kinds = [(picture.pixels.shape, mark is None) for picture, mark in zip(given.pictures, marks, strict=True)]
        for rows in neighbours(kinds, batch):
            pixels = torch.stack([given.pictures[row].pixels for row in rows])
            own = [texts[row] for row in rows], seed, [numbers[row] for row in rows]

            def take(place: int, number: int, _: int, seen: Tensor, rows: list[int] = rows) -> None:
                assert on_partial is not None, "called where it is given"
                on_partial(rows[place], number, given.pictures[rows[place]].back(seen))

            observer = None if on_partial is None else Observer([partial_images] * len(rows), take)
            own_masks = [mark for row in rows if (mark := marks[row]) is not None]
            found = self._run(chosen, pixels, *own, own_masks, observer)
            for row, shown in zip(rows, found, strict=True):
                check_finite(row, given.pictures[row].pixels, shown, "picture")
                made.append(given.pictures[row].back(shown))
        return given.pack(made)

    def clip(
        self,
        frames: Any,
        prompt: str,
        *,
        seed: int = 0,
        index: int = 0,
        options: CorrectionOptions | None = None,
        **values: Any,
    ) -> Any:
        """The corrected frames of a clip, all of one size, under one prompt.

        With a motion adapter they are noised and denoised together (Eq. 5); otherwise one by one with equal noise,
        which leaves still what does not move. ``index`` is the clip's number in a longer one. ``ValueError`` for a clip
        of more than :attr:`clip_frames`.
        """
        given, chosen, numbers = unpack(frames), self._options(options, values), numbers_of(index, 1)
        if len({picture.pixels.shape for picture in given.pictures}) != 1:
            raise ValueError("a clip has one or more frames, all of one size; correct other pictures one by one")
        pixels = torch.stack([picture.pixels for picture in given.pictures])
        self.cut_prompts = []
        if self.clip_frames is None:
            found = [self._run(chosen, frame[None], [prompt], seed, numbers)[0] for frame in pixels]
        elif len(pixels) > self.clip_frames:
            raise ValueError(f"a clip of {len(pixels)} frames is too long; choose at most {self.clip_frames}")
        else:
            found = list(self._run(chosen, pixels[None], [prompt], seed, numbers)[0])
        for number, (frame, shown) in enumerate(zip(pixels, found, strict=True)):
            check_finite(number, frame, shown)
        return given.pack([one.back(shown) for one, shown in zip(given.pictures, found, strict=True)])

    def settings(self, options: CorrectionOptions) -> dict[str, Any]:
        """Everything that decides a picture besides prompt, seed and number, ready for JSON."""
        chosen = self.resolved(options)
        resolved = StoryOptions(correction=chosen).flat() | {"sampler": config_of(self.corrector, chosen).sampler}
        loaded: dict[str, Any] = {"bundle": self.bundle.name, "weights": self.bundle.fingerprint()}
        if self.loras:
            loaded["loras"] = [file.record() for file in self.loras]
        machine = {"device": str(self.how.device), "threads": torch.get_num_threads()}
        run = {"backend": describe(self.backends), "attention": self.how.attention, "kernels": self.how.kernels}
        own = {f"correction.{name}" for name in _names()}
        kept = {name: value for name, value in resolved.items() if FLAT_NAMES[name] in own}
        return {**loaded, "dtype": str(self.how.dtype).removeprefix("torch."), **machine, **run, **kept}

    def start(self, options: CorrectionOptions) -> dict[str, float]:
        """The point at which SDEdit enters the noise schedule, ``timestep`` and ``alpha_bar``, and ``steps_run``."""
        return self._correction(self.resolved(options)).schedule.record()

    def resolved(self, options: CorrectionOptions) -> CorrectionOptions:
        """``options`` with the bundle's defaults; ``ValueError`` for those of a story's loop."""
        for name in OWN_LOOP:
            if getattr(options, name) != getattr(CorrectionOptions(), name):
                raise ValueError(f"correction.{name} is an option of stories; every picture that is given is corrected")
        return StoryOptions(correction=options).resolved(self.bundle.defaults).correction

    def _options(self, options: CorrectionOptions | None, values: Mapping[str, Any]) -> CorrectionOptions:
        known = _names()
        if options is not None and values:
            raise ValueError(f"give options or keywords, not both; keywords were {', '.join(values)}")
        for name in values:
            if name not in known:
                raise ValueError(f"unknown option {name!r}; choose among {', '.join(known)}")
        return self.resolved(replace(options or CorrectionOptions(), **values))

    def _correction(self, options: CorrectionOptions) -> Correction:
        """For resolved ``options``; one is kept, since callers repeat them. Sizes are ours, odd ones included."""
        own_size = replace(options, size=None)
        if own_size not in self._corrections:
            self._corrections = {own_size: Correction(self.corrector, StoryOptions(correction=own_size))}
        return self._corrections[own_size]

    @torch.inference_mode()
    def _run(
        self,
        options: CorrectionOptions,
        pixels: Tensor,
        prompts: Sequence[str],
        seed: int,
        numbers: Sequence[int],
        masks: Sequence[Pixels] = (),
        observer: Observer | None = None,
    ) -> Tensor:
        """Pictures [B, 3, H, W], or clips [B, L, 3, H, W], corrected: the same shape. Where the working size is not a
        multiple of the VAE's step, edge pixels are repeated right and below, and cut off after. ``masks`` are one a
        picture, or none."""
        correction, lead, (height, width) = self._correction(options), pixels.shape[:-3], pixels.shape[-2:]
        frames = resize(pixels.flatten(0, -4).to(self.how.device, self.how.dtype), self._size(height, width, options))
        (inner_height, inner_width), step = frames.shape[-2:], self.corrector.vae.downscale
        padded = F.pad(frames, (0, -inner_width % step, 0, -inner_height % step), mode="replicate")
        size = padded.shape[-2], padded.shape[-1]
        given = fitted(masks, (inner_height, inner_width), size, step)
        conditioning, cut = correction.condition(prompts, given)
        self.cut_prompts += cut

        def back(shown: Tensor) -> Tensor:
            return resize(shown[..., :inner_height, :inner_width], (height, width))

        if observer is not None:
            seen = observer.take
            look = lambda row, number, at, shown: seen(row, number, at, back(shown[None])[0])  # noqa: E731
            observer = replace(observer, take=look)
        inputs = padded.unflatten(0, lead), conditioning, [seed] * len(prompts), numbers, given, observer
        shown = back(correction.run(*inputs).flatten(0, -4)).unflatten(0, lead)
        return outside_kept(pixels, shown, masks) if masks else shown

    def _size(self, height: int, width: int, options: CorrectionOptions) -> tuple[int, int]:
        """The size at which a picture is corrected: its own, or that of the UNet's training if it is smaller."""
        shorter = min(height, width)
        size = options.size or max(shorter, self.native or 0)
        return working_size(height, width, None if size == shorter else size)


def _names() -> list[str]:
    """Names of the options that pictures have."""
    return [field.name for field in fields(CorrectionOptions) if field.name not in OWN_LOOP]
