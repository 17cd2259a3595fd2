"""The sheet's typeface: the one that Pillow ships, and fonts of the system for letters that it lacks."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
LAST = ("bold", "italic", "oblique", "mono", "condensed", "light", "black", "thin", "serif", "math", "symbol")
BOXES = ("lastresort", "adobeblank", "notdef")  # fonts that have a box for every letter
NO_CHARACTER = "\U0010fffe"  # never assigned: fonts show what they show for letters that they lack
PROBE_PX = 24
_TOKEN = re.compile(r"\s+|\S+")


class Run(NamedTuple):
    """A piece of a line, and the font that has its letters."""

    text: str
    font: Font


def runs(text: str, size: int) -> list[Run]:
    """``text`` cut where the font changes.

    A word with a letter that Pillow's font lacks is drawn in another as a whole, as far as that has its letters. What
    no font has stays with Pillow's, which draws boxes.
    """
    house = house_font(size)
    if not isinstance(house, ImageFont.FreeTypeFont) or text.isascii():
        return [Run(text, house)]
    paths = [path for token in _TOKEN.findall(text) for path in _paths(token)]
    for index in range(1, len(text) - 1):  # a space within a text from right to left belongs to it
        if text[index].isspace() and paths[index - 1] == paths[index + 1]:
            paths[index] = paths[index - 1]
    groups = groupby(zip(paths, text, strict=True), itemgetter(0))
    return [Run("".join(c for _, c in group), _open(path, size) or house) for path, group in groups]


def text_width(text: str, size: int) -> float:
    """Width of one line in px."""
    return float(sum(run.font.getlength(run.text) for run in runs(text, size)))


def draw_line(pen: ImageDraw.ImageDraw, left: float, top: float, text: str, size: int, colour: tuple[int, ...]) -> None:
    """One line with all its runs on the base line of Pillow's font."""
    house = house_font(size)
    if not isinstance(house, ImageFont.FreeTypeFont):
        pen.text((left, top), text, colour, house)
        return
    base = top + house.getmetrics()[0]
    for run in runs(text, size):
        pen.text((left, base), run.text, colour, run.font, anchor="ls")
        left += run.font.getlength(run.text)


def letters_without_font(text: str) -> str:
    """Letters of ``text`` that would be boxes, each once."""
    house = house_font(PROBE_PX)
    if not isinstance(house, ImageFont.FreeTypeFont):
        return "".join(dict.fromkeys(c for c in text if ord(c) > 255))
    return "".join(c for c in dict.fromkeys(text) if not _joins(c) and not _has(house, c) and not _fallback(c))


@lru_cache(maxsize=16)
def house_font(size: int) -> Font:
    """The font that Pillow ships, the same on every machine. It has ASCII and little else."""
    return ImageFont.load_default(size)


def _paths(word: str) -> list[str]:
    """The font of each character; "" is Pillow's."""
    house = house_font(PROBE_PX)
    assert isinstance(house, ImageFont.FreeTypeFont)
    lacking = [c for c in word if not _joins(c) and not _has(house, c)]
    if not lacking:
        return [""] * len(word)
    preferred = _fallback(lacking[0])
    font = _open(preferred, PROBE_PX)
    paths: list[str] = []
    for character in word:
        if _joins(character):
            paths.append(paths[-1] if paths else preferred)
        elif font is not None and _has(font, character):
            paths.append(preferred)
        else:
            paths.append("" if _has(house, character) else _fallback(character))
    return paths


def _joins(character: str) -> bool:
    """Is it shown as a part of the letter before it, or not at all?"""
    return unicodedata.category(character)[0] in "MC"


@lru_cache(maxsize=4096)
def _fallback(character: str) -> str:
    """The path of a font of the system that has ``character``, else ""; tried once for a script."""
    script = _script(character)
    if script in _absent:
        return ""
    for path in system_fonts():
        font = _open(path, PROBE_PX)
        if font is not None and _has(font, character):
            return path
    _absent.add(script)
    return ""


_absent: set[str] = set()  # scripts that no font of this system has


def _script(character: str) -> str:
    """ "狐" -> "CJK": the first word of its name; of symbols without a script, themselves."""
    word = unicodedata.name(character, character).split()[0]
    return word if character.isalpha() else character


def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    if character.isspace():
        return True
    return _shape(font, character) != _shape(font, NO_CHARACTER)


@lru_cache(maxsize=8192)
def _shape(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _open(path: str, size: int) -> ImageFont.FreeTypeFont | None:
    """None for "", for a file that is not a font, and for one with pictures of other sizes (coloured emoji)."""
    try:
        return ImageFont.truetype(path, size) if path else None
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1)
def system_fonts() -> tuple[str, ...]:
    """Paths of the system's fonts, those of plain text first."""
    found = {path for folder in font_folders() for path in _files(folder)}
    return tuple(sorted(found, key=_rank))


def font_folders() -> list[Path]:
    """Directories in which systems keep fonts."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts", home / "AppData/Local/Microsoft/Windows/Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    data = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path(data) / "fonts", home / ".fonts"]


def _files(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.lower().startswith(BOXES):
                yield os.path.join(place, name)


def _rank(path: str) -> tuple[int, str]:
    name = os.path.basename(path).lower()
    return sum(word in name for word in LAST) + ("sans" not in name), name
