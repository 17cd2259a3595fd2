"""The contact sheet: a column a frame with its sentence, the draft, the corrected picture and the prompt."""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..outputs import Frame, StoryResult
from .fonts import draw_line, letters_without_font, text_width

COLUMNS = 6
CELL = 256
GAP = 28
MARGIN = 56
RULE = 1
RADIUS = 14

PAPER = (250, 247, 241)
INK = (43, 40, 38)
SOFT = (128, 120, 112)
ACCENT = (186, 84, 53)
LINE = (224, 216, 204)


@dataclass(frozen=True)
class Style:
    """One kind of text: its size in px and its colour."""

    size: int
    colour: tuple[int, int, int]

    def width(self, text: str) -> float:
        """Height of one line, in px."""
        return text_width(text, self.size)

    def write(self, pen: ImageDraw.ImageDraw, left: int, top: int, text: str) -> None:
        """One line."""
        draw_line(pen, left, top, text, self.size, self.colour)

    @property
    def leading(self) -> int:
        """Distance of two base lines."""
        return round(self.size * 1.4)


TITLE = Style(46, INK)
SUBTITLE = Style(19, SOFT)
NUMBER = Style(17, ACCENT)
SENTENCE = Style(19, INK)
LABEL = Style(15, SOFT)
PROMPT = Style(15, SOFT)


def draw_sheet(story: StoryResult, title: str = "") -> Image.Image:
    """The whole story as one RGB picture; rows of ``COLUMNS`` frames, sized by its longest texts."""
    rows = [story.frames[i : i + COLUMNS] for i in range(0, len(story.frames), COLUMNS)]
    drafts = any(frame.corrected for frame in story.frames)
    bands = [_draw_row(row, drafts) for row in rows]
    # Two columns wide at least, so that the heading of a one-frame story has room.
    width = 2 * MARGIN + _columns_width(max(2, *(len(row) for row in rows)) if rows else 2)
    heading = _draw_heading(story, title, width)
    height = heading.height + sum(band.height for band in bands) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    top = 0
    for part in (heading, *bands):
        sheet.paste(part, (0 if part is heading else MARGIN, top))
        top += part.height
    return sheet


def wrap(text: str, style: Style, width: int) -> list[str]:
    """Break ``text`` into lines at most ``width`` px wide; a word that is wider by itself is split."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if style.width(candidate) <= width:
            line = candidate
            continue
        if line:
            lines.append(line)
        while style.width(word) > width and len(word) > 1:
            fits = _fitting(word, style, width)
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line] if line else lines


def _fitting(word: str, style: Style, width: int) -> int:
    """Number of letters of ``word`` that fit into ``width`` px, one at least; a letter keeps its marks."""
    count = bisect_right(range(1, len(word)), width, key=lambda n: ceil(style.width(word[:n])))
    while count > 1 and unicodedata.category(word[count])[0] in "MC":
        count -= 1
    return max(1, count)


def sheet_remark(story: StoryResult, title: str = "") -> str:
    """A remark on letters that the sheet cannot show, and a remedy; or an empty text."""
    texts = [title, *(text for frame in story.frames for text in (frame.sentence, frame.refined_prompt))]
    letters = letters_without_font(" ".join(texts))
    if not letters:
        return ""
    shown = letters if len(letters) <= 8 else f"{letters[:8]}..."
    return f"the contact sheet has boxes for {shown!r}, which no font of this system has; install one (Noto has all)"


def _draw_heading(story: StoryResult, title: str, width: int) -> Image.Image:
    texts = [(title or _default_title(story), TITLE), (_subtitle(story), SUBTITLE)]
    lines = [(line, style) for text, style in texts for line in wrap(text, style, width - 2 * MARGIN)]
    height = MARGIN + sum(style.leading for _, style in lines) + GAP + RULE + GAP
    heading = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(heading)
    top = MARGIN
    for line, style in lines:
        style.write(pen, MARGIN, top, line)
        top += style.leading
    pen.rectangle((MARGIN, top + GAP, width - MARGIN - 1, top + GAP + RULE - 1), LINE)
    return heading


def _default_title(story: StoryResult) -> str:
    count = len(story.frames)
    return f"A story in {count} frame{'s' if count != 1 else ''}"


def _subtitle(story: StoryResult) -> str:
    """Everything that is needed to draw the same story again."""
    settings = story.settings
    facts = [f"seed {story.seed}"]
    facts += [f"{name} {settings[name]}" for name in ("bundle", "memory") if isinstance(settings.get(name), str)]
    if any(frame.corrected for frame in story.frames):
        facts.append(f"corrected from t'={settings.get('strength')}, N={settings.get('num_inference_steps')}")
    else:
        facts.append("not corrected")
    return "   ·   ".join(facts)


def _draw_row(frames: Sequence[Frame], drafts: bool) -> Image.Image:
    """One band of columns, aligned: every text block is as tall as the tallest of its kind in the row."""
    sentences = [wrap(frame.sentence, SENTENCE, CELL) for frame in frames]
    prompts = [wrap(frame.refined_prompt, PROMPT, CELL) for frame in frames]
    text_height = max(map(len, sentences)) * SENTENCE.leading
    prompt_height = max(map(len, prompts)) * PROMPT.leading
    pictures = 2 if drafts else 1
    height = NUMBER.leading + 10 + text_height + pictures * (LABEL.leading + CELL + 26) + prompt_height + GAP
    band = Image.new("RGB", (_columns_width(len(frames)), height), PAPER)
    pen = ImageDraw.Draw(band)
    for column, frame in enumerate(frames):
        left = column * (CELL + GAP)
        NUMBER.write(pen, left, 0, f"{frame.index + 1}")
        top = NUMBER.leading + 6
        _write(pen, left, top, sentences[column], SENTENCE)
        top += text_height + 14
        if drafts:
            top = _place(band, pen, left, top, "draft", frame.draft)
        label = "corrected" if frame.corrected else "shown as drawn"
        top = _place(band, pen, left, top, label, frame.image)
        _write(pen, left, top, prompts[column], PROMPT)
    return band


def _place(
    band: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int, label: str, image: NDArray[np.uint8]
) -> int:
    """A picture with its label above it; returns where the next thing starts."""
    LABEL.write(pen, left, top, label)
    top += LABEL.leading + 2
    picture = Image.fromarray(image)
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    band.paste(picture, (left, top), _rounded(size))
    return top + CELL + 14


@lru_cache(maxsize=8)
def _rounded(size: tuple[int, int]) -> Image.Image:
    """A mask with round corners, drawn at four times the size for smooth edges; that takes longer than all else on a
    sheet, and cells are of one size."""
    mask = Image.new("L", (size[0] * 4, size[1] * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), RADIUS * 4, 255)
    return mask.resize(size, Image.Resampling.LANCZOS)


def _write(pen: ImageDraw.ImageDraw, left: int, top: int, lines: Sequence[str], style: Style) -> None:
    for number, line in enumerate(lines):
        style.write(pen, left, top + number * style.leading, line)


def _columns_width(columns: int) -> int:
    return columns * CELL + (columns - 1) * GAP
