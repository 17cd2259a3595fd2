"""ViStoryBench: its stories become ours, our pictures lie where its evaluation reads them, mistakes are one line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.bench.vistorybench.convert import Converted, _converted, read_dataset
from acdc.engine.cli.main import main
from acdc.engine.options import MAX_WORDS, check_sentences
from tests.helpers.cli_runs import refuse

pytestmark = pytest.mark.usefixtures("own_folder")
CHARACTERS = {
    "Brown Rabbit": {"name_en": "Brown Rabbit", "name_ch": "兔", "prompt_en": "A small rabbit.", "prompt_ch": "小兔"},
    "Old Bear": {"name_en": "Old Bear", "prompt_en": "A grey bear with a hat"},
}


def shot(index: int, text: str, characters: list[str], setting: str = "A meadow at noon") -> dict:
    return {
        "index": index,
        "Static Shot Description": {"en": text, "ch": "画"},
        "Setting Description": {"en": setting, "ch": "草地"},
        "Characters Appearing": {"en": characters, "ch": ["兔"]},
    }


def dataset(*stories: tuple[str, list[dict]]) -> Path:
    for number, shots in stories:
        folder = Path("data", number)
        folder.mkdir(parents=True)
        record = {"Story_type": {"en": "Fable"}, "Characters": CHARACTERS, "Shots": shots}
        (folder / "story.json").write_text(json.dumps(record), encoding="utf-8")
    return Path("data")


def test_characters_are_described_where_they_appear_first():
    shots = [
        shot(2, "The rabbit meets a bear", ["Brown Rabbit", "Old Bear"]),
        shot(1, "The rabbit sits", ["Brown Rabbit"]),
    ]
    (found,) = read_dataset(dataset(("01", shots)), "en")
    assert found.id == "01"
    assert found.sentences == (
        "The rabbit sits. Brown Rabbit: A small rabbit. A meadow at noon.",
        "The rabbit meets a bear. Old Bear: A grey bear with a hat. A meadow at noon.",
    )
    assert (found.left_out, found.cut) == (0, 0)


def test_stories_come_by_number_and_in_chinese():
    found = read_dataset(dataset(("10", [shot(1, "A", [])]), ("2", [shot(1, "B", [])])), "ch")
    assert [story.id for story in found] == ["2", "10"]
    assert found[0].sentences == ("画. 兔: 小兔. 草地.",)


words = st.lists(st.sampled_from(["sun", "a", "hill.", "walks", "home"]), min_size=1, max_size=2 * MAX_WORDS).map(
    " ".join
)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_every_sentence_can_be_drawn(texts):
    shots = [shot(place, text, ["Old Bear"], setting) for place, (text, setting) in enumerate(texts)]
    found = _converted("1", CHARACTERS, shots, "en")
    assert isinstance(found, Converted)
    assert check_sentences(found.sentences) == found.sentences
    for sentence, (text, _) in zip(found.sentences, texts, strict=True):
        assert sentence.split()[0].rstrip(".") == text.split()[0].rstrip(".")
    assert found.cut == sum(len(text.split()) > MAX_WORDS for text, _ in texts)


def test_the_whole_way(tiniest, capsys):
    source = dataset(("01", [shot(1, "A rabbit sat.", []), shot(2, "It ran.", [])]), ("02", [shot(1, "A bear.", [])]))
    assert main(["vistorybench", "convert", str(source), "--out", "v.jsonl"]) == 0
    assert "v.jsonl: 2 stories, 3 shots" in capsys.readouterr().out
    assert main(["generate", "--stories", "v.jsonl", "--out", "drawn", "--bundle", tiniest, "--steps", "2"]) == 0
    place = ["--timestamp", "20261130-120000", "--method", "show-o+acdc"]
    assert main(["vistorybench", "export", "drawn", *place]) == 0
    run = Path("outputs/show-o+acdc/base/en/20261130-120000")
    assert sorted(str(path.relative_to(run)) for path in run.rglob("*.png")) == [
        "01/shots/shot_01.png", "01/shots/shot_02.png", "02/shots/shot_01.png",
    ]  # fmt: skip
    shown = Path("drawn/01/frames/frame_02.png").read_bytes()
    assert (run / "01/shots/shot_02.png").read_bytes() == shown
    assert json.loads((run / "acdc.json").read_text())["settings"]["correction"] is True
    assert main(["vistorybench", "export", "drawn", *place, "--mode", "plain", "--drafts"]) == 0
    draft = Path("outputs/show-o+acdc/plain/en/20261130-120000/01/shots/shot_02.png").read_bytes()
    assert draft == Path("drawn/01/frames/frame_02_draft.png").read_bytes()
    capsys.readouterr()
    assert "choose another --timestamp" in refuse(capsys, "vistorybench", "export", "drawn", *place)


def test_a_story_that_is_not_finished_is_named_and_left_out(tiniest, capsys):
    Path("s.jsonl").write_text(
        '{"id": "1", "sentences": ["A fox.", "It ran."]}\n{"id": "2", "sentences": ["A cat."]}\n'
    )
    assert main(["generate", "--stories", "s.jsonl", "--out", "drawn", "--bundle", tiniest, "--steps", "2"]) == 0
    record = json.loads(Path("drawn/1/story.json").read_text())
    del record["frames"][1], record["refined_prompts"][1]
    Path("drawn/1/story.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert main(["vistorybench", "export", "drawn", "--timestamp", "20261130-120000"]) == 1
    printed = capsys.readouterr()
    assert "left out: story 1: 1 of 2 frames are finished" in printed.err
    assert "1 pictures of 1 stories" in printed.out
    assert not Path("outputs/acdc/base/en/20261130-120000/1").exists()


def test_mistakes_are_one_line(capsys):
    assert "is not a directory" in refuse(capsys, "vistorybench", "convert", "nowhere")
    Path("empty").mkdir()
    assert "holds no 01/story.json" in refuse(capsys, "vistorybench", "convert", "empty")
    source = dataset(("01", [{"index": 1}]))
    assert "sentence 1 is empty" in refuse(capsys, "vistorybench", "convert", str(source))
    Path("data/01/story.json").write_text('{"Shots": []}')
    assert "'Characters' is missing" in refuse(capsys, "vistorybench", "convert", str(source))
    Path("v.jsonl").write_text("mine")
    assert "choose --overwrite" in refuse(capsys, "vistorybench", "convert", str(source), "--out", "v.jsonl")
    assert "holds no stories" in refuse(capsys, "vistorybench", "export", "empty")
    assert "not YYYYMMDD" in refuse(capsys, "vistorybench", "export", "empty", "--timestamp", "today")
    assert "--method '../x'" in refuse(capsys, "vistorybench", "export", "empty", "--method", "../x")
