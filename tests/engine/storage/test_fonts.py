"""The sheet's letters: in Pillow's font, else in one of the system, else as boxes with a remark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acdc.engine.cli.main import main
from acdc.engine.storage import fonts, sheet
from tests.engine.storage.test_output import make_story

fontbuilder = pytest.importorskip("fontTools.fontBuilder")  # comes with matplotlib, of the test extra
LETTERS = "狐é\u0e08\u0e34 "


def build_font(path: Path, letters: str) -> None:
    """A font in which each of ``letters`` is a full square."""
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def square(size: int):
        pen = TTGlyphPen(None)
        for point, move in zip([(0, 0), (0, size), (size, size), (size, 0)], ["moveTo", *["lineTo"] * 3], strict=True):
            getattr(pen, move)(point)
        pen.closePath()
        return pen.glyph()

    names = [".notdef", *(f"u{ord(c):X}" for c in letters)]
    builder = fontbuilder.FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):X}" for c in letters})
    builder.setupGlyf({name: square(300 if name == ".notdef" else 900) for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system whose fonts are those in a folder; called, it looks there again."""

    def look() -> None:
        fonts.system_fonts.cache_clear()
        fonts._fallback.cache_clear()
        fonts._absent.clear()

    monkeypatch.setattr(fonts, "font_folders", lambda: [tmp_path / "fonts"])
    (tmp_path / "fonts/deep").mkdir(parents=True)
    look()
    yield look
    look()


def paths(text: str) -> list[tuple[str, str]]:
    """Each run's text and the file of its font, "" for Pillow's."""
    found = []
    for run in fonts.runs(text, 19):
        path = run.font.path
        found.append((run.text, Path(path).name if isinstance(path, str) else ""))
    return found


def test_a_font_of_the_system_steps_in(system, tmp_path) -> None:
    """amietn/vcsi#128"""
    assert paths("Luna 狐 ran") == [("Luna 狐 ran", "")]
    assert fonts.letters_without_font("Luna 狐, Zoé, 狐") == "狐é"
    build_font(tmp_path / "fonts/deep/Some.ttf", LETTERS)
    (tmp_path / "fonts/broken.ttf").write_bytes(b"no font")
    build_font(tmp_path / "fonts/LastResort.otf", LETTERS)
    system()
    assert paths("Luna 狐 ran") == [("Luna ", ""), ("狐", "Some.ttf"), (" ran", "")]
    assert paths("狐 狐狐") == [("狐 狐狐", "Some.ttf")]
    assert paths("\u0e08\u0e34.") == [("\u0e08\u0e34", "Some.ttf"), (".", "")]
    assert fonts.letters_without_font("Luna 狐 Zoé จิ") == ""
    assert fonts.letters_without_font("ж") == "ж"


def test_plain_faces_come_first(system, tmp_path) -> None:
    for name in ("ASans-Bold.ttf", "BSans-Regular.ttf", "ASerif.ttf", "AMath.ttf"):
        build_font(tmp_path / "fonts" / name, LETTERS)
    system()
    assert paths("狐") == [("狐", "BSans-Regular.ttf")]


def test_what_is_drawn_and_measured_agree(system, tmp_path) -> None:
    build_font(tmp_path / "fonts/Some.ttf", LETTERS)
    system()
    assert fonts.text_width("狐狐", 20) == pytest.approx(40)
    text = "Luna " + "狐" * 60 + " \u0e08" + "\u0e34" * 3
    lines = sheet.wrap(text, sheet.SENTENCE, 100)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(sheet.SENTENCE.width(line) <= 100 for line in lines)
    assert not any(line.startswith("\u0e34") for line in lines)


def test_the_sheet_shows_the_letter_and_not_a_box(system, tmp_path) -> None:
    story = make_story(1)
    story.frames[0] = replace(story.frames[0], sentence="狐")
    boxed = np.array(sheet.draw_sheet(story, "Luna"))
    assert sheet.sheet_remark(story, "狐狸") == (
        "the contact sheet has boxes for '狐狸', which no font of this system has; install one (Noto has all)"
    )
    build_font(tmp_path / "fonts/Some.ttf", LETTERS)
    system()
    drawn = np.array(sheet.draw_sheet(story, "Luna"))
    assert sheet.sheet_remark(story, "Luna") == ""
    rows, columns = np.where((drawn != boxed).any(-1))
    square = drawn[rows.min() : rows.max(), columns.min() : columns.max()]
    assert (square == sheet.INK).all(-1).mean() > 0.7


@pytest.mark.usefixtures("own_folder")
def test_the_command_says_it_once(system, tiny, capsys) -> None:
    argv = ["--bundle", tiny, "--steps", "2", "--no-correction", "--memory", "none"]
    assert main(["story", "狐 sat.", *argv]) == 0
    assert "acdc: the contact sheet has boxes for '狐'" in capsys.readouterr().err
    Path("s.jsonl").write_text('{"sentences": ["狐 sat."]}\n' * 3, encoding="utf-8")
    assert main(["generate", "--stories", "s.jsonl", *argv]) == 0
    assert capsys.readouterr().err.count("the contact sheet has boxes for '狐'") == 1
