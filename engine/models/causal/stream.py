"""The layout of the ARM's token stream: prompt, sentence, codes of a frame."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from ...options import Context
from ..checks import check_context
from ..fields import is_size
from ..tokens_per_pass import Table, check_windows
from .decoder import DecoderConfig


@dataclass(frozen=True)
class StreamConfig:
    """The layout of the token stream: bos, then per frame a sentence, ``vision``, the codes, ``eof``.

    ``bos`` and ``vision`` are text ids (several where a marker is spelled in several pieces, as in LWM), ``eof`` is
    a vision id. ``context`` is the default context of a session, ``max_text_tokens`` the limit of one sentence.
    ``windows`` says how many codes a pass draws where that was measured to be fastest (``tokens_per_pass.py``).
    ``prefix`` and ``suffix`` are the text ids of a prompt around each sentence, ``video_prefix`` precedes that of
    a video. ``recent_frames`` is how many of a video's last frames the next one sees besides the first
    (``clip_session.py``). ``independent``: a frame is drawn from its sentence alone and nothing is shown of others.
    ``row_codes`` is the length of a row where ``eol``, a vision id, follows each row but the last: the model draws
    slots, which are codes and eol, and all others count codes.
    """

    codes_per_frame: int
    codebook_size: int
    eof: int
    bos: tuple[int, ...]
    vision: tuple[int, ...]
    max_text_tokens: int
    context: Context = "window"
    windows: Table = field(default_factory=dict, hash=False)
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    video_prefix: tuple[int, ...] = ()
    recent_frames: int | None = None
    independent: bool = False
    row_codes: int | None = None
    eol: int = 0

    def __post_init__(self) -> None:
        for name in ("codes_per_frame", "codebook_size", "max_text_tokens"):
            if not is_size(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a positive integer")
        if self.recent_frames is not None and not is_size(self.recent_frames):
            raise ValueError(f"recent_frames is {self.recent_frames!r}, expected a positive integer or none")
        check_context(self.context)
        check_windows(self.windows)
        # JSON knows lists only.
        for name in ("bos", "vision", "prefix", "suffix", "video_prefix"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def check_fit(self, sizes: DecoderConfig) -> None:
        """``ValueError`` for an id that the transformer has no row for."""
        for name in ("bos", "vision", "prefix", "suffix", "video_prefix"):
            for value in getattr(self, name):
                if type(value) is not int or not 0 <= value < sizes.text_vocab:
                    raise ValueError(f"{name} has the id {value!r}; text ids are 0 to {sizes.text_vocab - 1}")
        if type(self.eof) is not int or not 0 <= self.eof < sizes.vision_vocab:
            raise ValueError(f"eof is the id {self.eof!r}; vision ids are 0 to {sizes.vision_vocab - 1}")
        if self.codebook_size > sizes.vision_vocab:
            raise ValueError(f"codebook_size {self.codebook_size} is more than the {sizes.vision_vocab} vision ids")

    @property
    def frame_tokens(self) -> int:
        """Codes of a frame and its end-of-frame id."""
        return self.codes_per_frame + 1

    @property
    def prompt_tokens(self) -> int:
        """The most ids of a sentence with its prompt."""
        return len(self.prefix) + self.max_text_tokens + len(self.suffix)

    def capacity(self, frames: int, context: Context, text_tokens: int, sentences: int | None = None) -> int:
        """The longest stream that a session of ``frames`` frames and sentences (one a frame where None), of that many
        ids with their prompts, may hold at a time."""
        held = 1 if self.independent else frames if context == "full" else min(frames, 2)
        texts = held if sentences is None else min(held, sentences)
        return len(self.bos) + texts * (text_tokens + len(self.vision)) + held * self.frame_tokens

    @property
    def slots(self) -> int:
        """Positions of a frame, without its end."""
        return self.codes_per_frame + len(self.forced)

    @property
    def forced(self) -> tuple[tuple[int, int], ...]:
        """The slots that hold no code, and their id."""
        if self.row_codes is None:
            return ()
        row = self.row_codes
        return tuple((row + at * (row + 1), self.eol) for at in range(self.codes_per_frame // row - 1))

    def slot(self, code: int) -> int:
        """The slot of a frame's code number ``code``."""
        return code if self.row_codes is None else code + code // self.row_codes

    def to_slots(self, codes: Tensor) -> Tensor:
        """[..., codes_per_frame] -> [..., slots]."""
        if self.row_codes is None:
            return codes
        return F.pad(codes.unflatten(-1, (-1, self.row_codes)), (0, 1), value=self.eol).flatten(-2)[..., :-1]

    def to_codes(self, slots: Tensor) -> Tensor:
        """[..., slots] -> [..., codes_per_frame]."""
        if self.row_codes is None:
            return slots
        return F.pad(slots, (0, 1)).unflatten(-1, (-1, self.row_codes + 1))[..., :-1].flatten(-2)
