"""``acdc reproduce``: rows drawn and measured; a run that was killed twice gives the same table; mistakes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from acdc.bench.reproduce import measure as measure_module
from acdc.bench.reproduce import run as run_module
from acdc.bench.reproduce.spent import FILE, Meter, Spent
from acdc.bench.reproduce.tables import TABLES
from acdc.engine.cli.main import main
from tests.helpers.cli_runs import refuse

pytestmark = pytest.mark.usefixtures("own_folder")
STORIES = [["Benny the beagle sat in a garden.", "He jumped."], ["Luna the fox ran.", "She slept."]]
QUICK = ("--steps", "4", "--stories", "stories.jsonl")


@pytest.fixture(autouse=True)
def judged(own_folder, monkeypatch):
    """Two stories on disk, and the judge for any bundle's pictures."""
    lines = [json.dumps({"sentences": sentences}) + "\n" for sentences in STORIES]
    Path("stories.jsonl").write_text("".join(lines))
    monkeypatch.setattr(measure_module, "JUDGED", "")


@pytest.fixture
def no_chart(monkeypatch):
    """A page without its chart, which takes longer than drawing two tiny stories."""
    monkeypatch.setattr(run_module, "draw_chart", lambda path, table, record: None)


def record(folder: str) -> dict:
    return json.loads(Path(folder, "reproduce.json").read_text())


def figures(folder: str) -> dict:
    return {name: row["figures"] for name, row in record(folder)["rows"].items()}


class Killed(BaseException):
    """Stops a run without any of its clean-up being asked for."""


def killed_after(monkeypatch, frames: int, *argv: str) -> None:
    with monkeypatch.context() as patch:
        count, frame = iter(range(frames)), Meter.frame

        def counted(meter, number=1):
            frame(meter, number)
            if next(count, None) is None:
                raise Killed

        patch.setattr(Meter, "frame", counted)
        with pytest.raises(Killed):
            main(list(argv))


def test_printed_figures_belong_to_columns_and_rows_have_names_of_their_own():
    for table in TABLES.values():
        columns = {column.metric for column in table.columns}
        assert len({row.name for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert all(values.keys() <= columns for values in row.printed.values())
    gains = [TABLES["table1"].rows[place].printed["Show-o"]["clip-sim"] for place in (0, 1)]
    assert round(100 * (gains[1] / gains[0] - 1), 2) == 7.16, "as the paper says"


@pytest.mark.long
@pytest.mark.usefixtures("no_chart")
def test_a_run_that_was_killed_twice_gives_the_same_table(tiniest, monkeypatch, capsys):
    """Two rows: the first frames corrected, and all of them without memory."""
    monkeypatch.setitem(TABLES, "table2", replace(TABLES["table2"], rows=TABLES["table2"].rows[1::3]))
    whole = ("reproduce", "table2", *QUICK, "--bundle", tiniest)
    assert main([*whole, "--out", "one"]) == 0
    assert "one/table.md: 2 stories a row" in capsys.readouterr().out
    killed_after(monkeypatch, 2, *whole, "--out", "two")
    killed_after(monkeypatch, 3, *whole, "--out", "two")
    assert not Path("two", "reproduce.json").exists()
    assert main([*whole, "--out", "two"]) == 0
    assert figures("one") == figures("two")
    found = figures("two")["corrected_2"]["consistency-judge"]
    assert (found["stories"], found["frames"]) == (2, 4)
    spent = {name: row["spent"] for name, row in record("two")["rows"].items()}
    assert [one["frames"] for one in spent.values()] == [4] * 2
    assert sum(one["runs"] for one in spent.values()) == 2 + 2
    assert all(one["seconds"] > 0 and one["peak_mib"] > 0 for one in spent.values())


@pytest.mark.long
def test_the_page_has_the_papers_figures_next_to_ours_and_says_what_was_not_measured(tiniest):
    argv = ("reproduce", "table1", *QUICK, "--bundle", tiniest, "--out", "out")
    assert main([*argv, "--reference", str(drawn("reference"))]) == 0
    page = Path("out/table.md").read_text()
    assert "frame consistency (`consistency-judge`)" in page
    assert "FID (`fd-judge`)" in page
    assert "Show-o 0.9062, Unified-IO 2 XXL 0.8962" in page
    assert "Do not gate on 0.9062" in page
    assert page.count("| diffusion model alone |") == 2
    for metric in record("out")["missing"]:
        assert f"`{metric['metric']}` was not measured: it wants {metric['file']}" in page
    with Image.open("out/chart.png") as chart:
        assert chart.width > 500
    alone = json.loads(Path("out/diffusion_alone/000001/story.json").read_text())
    assert [frame["codes"] for frame in alone["frames"]] == [[], []]
    assert alone["settings"]["strength"] == 1.0


def drawn(folder: str) -> Path:
    """A folder of four pictures."""
    Path(folder).mkdir()
    for shade in range(4):
        Image.effect_noise((64, 64), 20 + 10 * shade).convert("RGB").save(Path(folder, f"{shade}.png"))
    return Path(folder)


@pytest.mark.long
@pytest.mark.usefixtures("no_chart")
def test_videos_are_drawn_by_chunks_and_continue(tiniest, monkeypatch):
    lengths = ("--frames", "3", "--chunk-frames", "2")
    whole = ("reproduce", "table3", *QUICK, *lengths, "--bundle", tiniest)
    assert main([*whole, "--out", "one"]) == 0
    killed_after(monkeypatch, 1, *whole, "--out", "two")
    assert main([*whole, "--out", "two"]) == 0
    assert figures("one") == figures("two")
    story = json.loads(Path("two/acdc/000001/story.json").read_text())
    assert [frame["corrected"] for frame in story["frames"]] == [True, True, False]
    assert story["sentences"] == [STORIES[0][0]] * 3
    assert record("two")["frames"] == 3


def test_other_settings_are_refused(tiniest, monkeypatch, capsys):
    killed_after(monkeypatch, 1, "reproduce", "table1", *QUICK, "--bundle", tiniest, "--out", "out")
    capsys.readouterr()
    line = refuse_quietly(capsys, "table1", *QUICK, "--bundle", tiniest, "--out", "out", "--temperature", "0.5")
    assert "cannot resume: temperature was 1.0, now 0.5" in line


def refuse_quietly(capsys, *argv: str) -> str:
    """The last line of what a refused run says on stderr."""
    assert main(["reproduce", *argv]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("table9", *QUICK), "table9"),
        (("table2", *QUICK, "--frames", "8"), "--frames 8 is for videos; leave it out, or choose table3"),
        (("table2", "--stories", "nowhere.jsonl"), "nowhere.jsonl"),
        (("table2",), "--stories"),
        (("table3", *QUICK, "--memory", "chat", "--memory-calls", "story"), "memory"),
    ],
)
def test_mistakes_are_one_line(capsys, argv, words):
    assert words in refuse(capsys, "reproduce", *argv)


def test_a_damaged_record_of_time_is_named(tmp_path):
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ValueError, match=r"spent\.json' is damaged .* delete it"):
        Spent.read(tmp_path)
