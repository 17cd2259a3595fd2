"""The engine as a library: load a bundle once, then generate stories."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..compile.cache import PlanCache
from ..compile.graph_pool import Captures
from .constraints import NONE, Constraints
from .loading.bundle import Bundle, find_bundle, parse_device, parse_dtype
from .loading.lora import LoraFile, merge_loras, read_loras
from .memory import LanguageModel, Memory, memory_maker
from .models.layers.quantized import check_quantization, quantize
from .models.model_set import Models
from .options import EngineOptions, Lora, StoryOptions, as_loras, check_sentences, default_backend, merge_options
from .options.partial_images import PartialImages
from .outputs import Frame, PartialImage, Phase, StoryResult
from .pipeline.calibration import unet_calibration
from .pipeline.clock import Clock
from .pipeline.serial import SerialPipeline
from .pipeline.video import Video, VideoPipeline
from .request import StoryRequest, requests_in_step
from .runtime.automatic import settled
from .runtime.backends import describe
from .runtime.compiled import compile_models
from .runtime.execution import choose_execution, prepare
from .scheduler.policy import SchedulerConfig
from .scheduler.run import Many, SlotModels, as_requests, begin
from .scheduler.story_feed import StoryFeed
from .sdedit.correction import config_of, schedule_of
from .sdedit.pixels import from_image
from .utils.versions import versions


class Engine:
    """Stories with ACDC: ``Engine.from_pretrained("storyworld").generate(["Benny the beagle sat down.", ...])``."""

    def __init__(
        self,
        bundle: Bundle,
        models: Models,
        device: torch.device,
        dtype: str,
        backend: str,
        attention: str,
        kernels: str,
        quantization: str,
        copies: SlotModels,
        loras: Sequence[LoraFile] = (),
    ) -> None:
        """Use :meth:`from_pretrained`."""
        self.bundle, self.models, self.device, self.copies = bundle, models, device, copies
        self.loras = tuple(loras)
        self.dtype, self.backend, self.attention = dtype, backend, attention
        self.kernels, self.quantization = kernels, quantization
        self._language_models: dict[str, LanguageModel] = {}  # of memory, kept from story to story

    @classmethod
    def from_pretrained(
        cls,
        bundle: str | Path | Bundle = EngineOptions.bundle,
        *,
        models: str | Path | None = None,
        random_weights: bool = False,
        device: str = EngineOptions.device,
        dtype: str = EngineOptions.dtype,
        backend: str | None = EngineOptions.backend,
        precision: str = EngineOptions.precision,
        attention: str = EngineOptions.attention,
        kernels: str = EngineOptions.kernels,
        quantization: str = EngineOptions.quantization,
        loras: Iterable[str | Path | Lora] = EngineOptions.loras,
        controlnet: str | Path | None = EngineOptions.controlnet,
        depth_model: str | Path | None = EngineOptions.depth_model,
        cache: PlanCache | None = None,
        num_frames: int | None = None,
    ) -> "Engine":
        """Load a bundle by its name or directory, or one that :func:`find_bundle` has found.

        ``models`` is the folder in which a published bundle's checkpoints lie; with ``random_weights`` its networks are
        made at full size of noise instead, to measure time without them. ``dtype`` is float32, bfloat16, float16 or
        float64. ``backend`` is one for all stages (``auto``: the fastest that can serve) or ``stage=NAME,...``; None is
        ``$ACDC_BACKEND`` or else ``auto``. ``precision`` is what ``auto`` chooses among: exact, or also bf16 for the
        correction, which is lossy. ``attention`` (sdpa, xformers) is the UNet's; ``kernels`` is torch (plain) or triton
        (ours, fused, on CUDA); ``quantization`` is none, int8 or fp8: the ARM's weights, lossy; ``loras`` are merged
        into the corrector: ``FILE``, ``FILE=WEIGHT`` or :class:`Lora`; ``controlnet`` and ``depth_model`` are
        directories that replace the bundle's; ``cache`` keeps the plans that backends make (in the user's cache folder
        where None); ``num_frames`` is the number of frames that will be drawn, as far as it is
        known: ``auto`` makes no plans for a run too short to win back their cost. On CUDA the process's float32
        convolutions no longer use TF32. Raises ``ValueError`` (one line that names the value and the choices, or the
        file and the key) for what is unknown and for damaged files.
        """
        where, kind = parse_device(device), parse_dtype(dtype)
        known_bundle = bundle if isinstance(bundle, Bundle) else find_bundle(bundle, models, random_weights)
        found = known_bundle.steered(controlnet, depth_model)
        how = choose_execution(where, kind, backend or default_backend(), precision, attention, kernels)
        check_quantization(quantization, where)
        loaded = found.load(where, kind)
        merged = read_loras(loaded.corrector, (*found.loras, *as_loras(loras)))
        merge_loras(loaded.corrector, merged)
        known = num_frames if precision == "exact" else None
        backends = settled(how.backends, how.automatic, loaded, kernels, quantization, known)
        if quantization != "none":
            quantize(loaded.arm.blocks, quantization)
        prepare(how, backends, loaded.corrector, loaded.networks)
        calibration = None
        if backends["unet"] == "openvino-int8":
            drawn_with = "".join([found.fingerprint(), *(f" {file.digest}*{file.lora.weight}" for file in merged)])
            calibration = unet_calibration(drawn_with, loaded, found.defaults)
        copies = SlotModels(loaded, backends, cache or PlanCache(), how.automatic, calibration)
        ready = compile_models(loaded, backends, copies.cache, how.automatic, calibration)
        names = describe(backends), attention, kernels, quantization
        return cls(found, ready, where, dtype, *names, copies, merged)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.name

    @property
    def graph_captures(self) -> Captures:
        """Number of CUDA graphs captured so far, and of those captured more than once (backend cudagraph)."""
        return self.copies.captures

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The bundle's defaults for options that are left open."""
        return self.bundle.defaults

    @property
    def embeds_guidance(self) -> bool:
        """Is the scale of guidance an input of the diffusion model (LCM)? Then one pass is guided."""
        return self.models.corrector.unet.config.embeds_guidance

    def settings(self, options: StoryOptions) -> dict[str, Any]:
        """Everything that decides a story besides its sentences and seed, ready for JSON."""
        resolved = options.resolved(self.defaults)
        loaded: dict[str, Any] = {"bundle": self.name, "weights": self.bundle.fingerprint(), "dtype": self.dtype}
        machine = {"device": str(self.device), "threads": torch.get_num_threads()}
        chosen = {"backend": self.backend, "attention": self.attention, "kernels": self.kernels}
        lossy = {"quantization": self.quantization}
        if self.loras:  # not in the files of stories that were drawn without
            loaded["loras"] = [file.record() for file in self.loras]
        options_used = resolved.recorded(controlled=self.models.corrector.controlnet is not None)
        options_used["sampler"] = config_of(self.models.corrector, resolved.correction).sampler
        return {**loaded, **machine, **chosen, **lossy, **options_used, **resolved.memory.recorded()}

    def video_settings(self, options: StoryOptions, num_frames: int, chunk_frames: int) -> dict[str, Any]:
        """The same of a video, with its lengths; and ``later_frames``, where the ARM draws those after the first by
        settings of its own (LWM: guidance 1 and top-k 1000, as published)."""
        settings = {**self.settings(options), "num_frames": num_frames, "chunk_frames": chunk_frames}
        return {**settings, **self.models.arm.video_settings(options.resolved(self.defaults))}

    def start(self, options: StoryOptions) -> dict[str, float]:
        """The point at which SDEdit enters the noise schedule, ``timestep`` and ``alpha_bar``, and ``steps_run``, the
        number of steps from there; empty with correction off. ``ValueError`` where no step would run."""
        if not options.correction.enabled:
            return {}
        return schedule_of(self.models.corrector, options.resolved(self.defaults).correction).record()

    def stream(
        self,
        sentences: Sequence[str],
        *,
        seed: int = 0,
        options: StoryOptions | None = None,
        init_image: Image.Image | None = None,
        done: Sequence[Frame] = (),
        constraints: Constraints = NONE,
        on_phase: Callable[[int, Phase], None] | None = None,
        partial_images: PartialImages = 0,
        on_partial: Callable[[PartialImage], None] | None = None,
        **overrides: Any,
    ) -> Iterator[Frame]:
        """Yield each frame as soon as it is finished.

        ``options`` (or the same names as keywords, e.g. ``strength=0.4``) say how; ``init_image`` replaces the
        first frame's draft; ``done`` are the first frames of an interrupted run, which are not drawn again;
        ``constraints`` say where and how frames are corrected; ``on_phase(index, phase)`` is called when a phase
        begins, ``on_partial`` with each of the ``partial_images`` (:class:`StoryRequest`). Raises ``ValueError`` before
        anything is drawn.
        """
        resolved = merge_options(options, overrides).resolved(self.defaults)
        asked = check_sentences(sentences), index(seed), tuple(done), constraints, partial_images
        memory, draft = self._memory(resolved), self._draft(init_image)
        run = SerialPipeline(self.models, [StoryRequest("story", *asked)], resolved, memory, draft, on_partial)
        return (frames[0] for frames in run.frames(Clock(self.device, on_phase)))

    def generate(
        self, sentences: Sequence[str], *, seed: int = 0, constraints: Constraints = NONE, **overrides: Any
    ) -> StoryResult:
        """A whole story; the keywords are :meth:`stream`'s."""
        return self.generate_batch([sentences], seeds=[seed], constraints=[constraints], **overrides)[0]

    def generate_batch(
        self,
        stories: Sequence[Sequence[str]],
        *,
        seeds: Sequence[int],
        options: StoryOptions | None = None,
        init_image: Image.Image | None = None,
        constraints: Sequence[Constraints] | None = None,
        **overrides: Any,
    ) -> list[StoryResult]:
        """Stories of equal length side by side; each equals the story drawn alone, up to rounding.

        ``constraints`` are one a story. Raises ``ValueError`` for unequal lengths or if there is not one seed a story.
        """
        chosen = merge_options(options, overrides)
        resolved = chosen.resolved(self.defaults)
        batch = requests_in_step(stories, seeds, constraints)
        run = SerialPipeline(self.models, batch, resolved, self._memory(resolved), self._draft(init_image))
        frames = list(run.frames(Clock(self.device)))
        settings, used, start = self.settings(chosen), versions(), self.start(chosen)
        return [
            StoryResult(
                one.sentences, one.seed, settings, used, start, [chunk[row] for chunk in frames], None, recorded
            )
            for row, (one, recorded) in enumerate((one, one.recorded(resolved)) for one in batch)
        ]

    def generate_many(
        self,
        stories: Iterable[StoryRequest | Sequence[str]] | StoryFeed,
        *,
        seed: int = 0,
        options: StoryOptions | None = None,
        pipelining: SchedulerConfig | None = None,
        load_memory: Callable[[], Memory] | None = None,
        **overrides: Any,
    ) -> Many:
        """Stories by the thousand: memory, ARM and diffusion model run concurrently (``policy.py``).

        Iterate over it: a ``StoryResult`` for each story, as it is finished, or a ``StoryFailed``; each equals
        :meth:`generate` of it alone, up to rounding. ``stories`` are read when there is room. Those that are sentences
        alone get seeds ``seed``, ``seed`` + 1, ... A :class:`StoryFeed` is read until it is closed; the run waits while
        there is nothing to draw. ``load_memory`` makes a story's memory module (None: as the options say). Raises
        ``ValueError`` for options that cannot be met, and for an invalid story, after those that began before it.
        """
        chosen = merge_options(options, overrides)
        resolved = chosen.resolved(self.defaults)
        requests = stories if isinstance(stories, StoryFeed) else as_requests(stories, seed)
        settings = self.copies, self.device, resolved, pipelining, load_memory or self._memories(resolved), requests
        run = begin(*settings, lambda one: chosen.replace(**one.options).resolved(self.defaults))

        def describe(one: StoryRequest) -> tuple[dict[str, Any], dict[str, float]]:
            own = chosen.replace(**one.options)
            return self.settings(own), self.start(own)

        return Many(run, self.settings(chosen), versions(), self.start(chosen), describe)

    def stream_video(
        self,
        prompt: str,
        *,
        seed: int = 0,
        num_frames: int = 32,
        chunk_frames: int = 16,
        options: StoryOptions | None = None,
        done: Sequence[Frame] = (),
        on_phase: Callable[[int, Phase], None] | None = None,
        **overrides: Any,
    ) -> Iterator[list[Frame]]:
        """Yield the frames of each chunk of a video as soon as they are finished.

        A chunk is ``chunk_frames`` frames that are corrected together; ``correct_first`` and ``correct_every`` count
        chunks. ``done`` are whole chunks of an interrupted run; the rest is as for :meth:`stream`.
        """
        resolved = merge_options(options, overrides).resolved(self.defaults)
        (caption,) = check_sentences([prompt])
        resolved.memory.check_for_video()
        video = Video(caption, seed, num_frames, chunk_frames, tuple(done))
        run = VideoPipeline(self.models, video, resolved, self._memory(resolved))
        return run.chunks(Clock(self.device, on_phase))

    def generate_video(
        self, prompt: str, *, seed: int = 0, num_frames: int = 32, chunk_frames: int = 16, **options: Any
    ) -> StoryResult:
        """A whole video, as a story whose frames all have the caption ``prompt``; as for :meth:`stream_video`."""
        chosen = merge_options(None, options)
        lengths = {"num_frames": num_frames, "chunk_frames": chunk_frames}
        chunks = self.stream_video(prompt, seed=seed, num_frames=num_frames, chunk_frames=chunk_frames, options=chosen)
        frames = [frame for chunk in chunks for frame in chunk]
        settings, start = self.video_settings(chosen, **lengths), self.start(chosen)
        return StoryResult((frames[0].sentence,) * num_frames, seed, settings, versions(), start, frames)

    def _memory(self, options: StoryOptions) -> Memory:
        return self._memories(options)()

    def _memories(self, options: StoryOptions) -> Callable[[], Memory]:
        return memory_maker(options.memory, device=str(self.device), loaded=self._language_models)

    def _draft(self, init_image: Image.Image | None) -> torch.Tensor | None:
        if init_image is None:
            return None
        return from_image(init_image, self.models.tokenizer.config.resolution)
