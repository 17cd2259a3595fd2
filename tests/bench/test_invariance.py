"""Stories drawn in every way are counted against the plainest way, near ties and errors apart."""

import json
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from acdc.bench.decoding.frames import starts
from acdc.bench.invariance import blocks as blocks_module
from acdc.bench.invariance import cost, killed
from acdc.bench.invariance import draw as draw_module
from acdc.bench.invariance.__main__ import main
from acdc.bench.invariance.blocks import Block, requests
from acdc.bench.invariance.compare import Count
from acdc.bench.invariance.conditions import ALONE, CONDITIONS, CORRECTED, CORRECTED_ALONE, PLAIN, Condition
from acdc.bench.invariance.draw import draw_block
from acdc.bench.invariance.table import cost_table, table

pytestmark = pytest.mark.measuring
QUICK = [one for one in (*PLAIN, *CORRECTED) if one.way != "killed" and one.backend == "eager"]


@pytest.fixture(scope="module", autouse=True)
def short():
    """Stories have two sentences, and a correction takes one of two steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "FRAMES", 2)
        patch.setattr(draw_module, "STEPS", 2)
        yield


@pytest.fixture(scope="module")
def asked():
    return requests(0, 3)


@pytest.fixture(scope="module")
def alone(tiny_engine, tiny_path, asked):
    return draw_block(tiny_engine, ALONE, asked, tiny_path)


@pytest.fixture(scope="module")
def corrected_alone(tiny_engine, tiny_path, asked):
    return draw_block(tiny_engine, CORRECTED_ALONE, asked, tiny_path)


@pytest.fixture(autouse=True)
def threads():
    """Conditions set PyTorch's number of threads; other tests keep theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def counted(engine, asked, wanted, drawn, corrected=False):
    total = Count()
    total.add(engine, asked, wanted, drawn, corrected=corrected)
    return total


def first_story(block: Block) -> Block:
    return replace(block, drafts=block.drafts[:1], codes=block.codes[:1], images=block.images[:1])


@pytest.mark.parametrize("condition", QUICK, ids=lambda condition: condition.name)
def test_no_way_of_running_changes_a_code(tiny_engine, tiny_path, asked, alone, corrected_alone, condition):
    wanted = corrected_alone if condition.corrected else alone
    if condition.threads > 1 and condition.way == "batch":  # threads that wait for each other are slow on taken cores
        asked, wanted = asked[:1], first_story(wanted)
    drawn = draw_block(tiny_engine, condition, asked, tiny_path)
    found = counted(tiny_engine, asked, wanted, drawn, condition.corrected)
    assert found.stories == len(asked)
    assert found.codes == found.frames * tiny_engine.models.arm.stream.codes_per_frame
    assert found.encoded == (found.codes if condition.corrected else 0)
    assert (found.changed, found.partings) == (0, [])
    assert found.compared == found.codes + found.encoded
    assert found.levels <= 1


def test_a_parting_ends_its_story_and_comes_with_its_gap(tiny_engine, asked, alone):
    drafts = alone.drafts.copy()
    drafts[1, 0, 5] ^= 1
    drafts[1, 1] ^= 1
    images = alone.images.copy()
    images[1, 1] ^= 255  # after the parting: another story's picture
    found = counted(tiny_engine, asked, alone, replace(alone, drafts=drafts, images=images))
    assert found.changed == 1 + drafts.shape[2]
    assert found.compared == alone.drafts.size - 2 * drafts.shape[2] + 6
    (parting,) = found.partings
    assert (parting["story"], parting["frame"], parting["slot"], parting["kind"]) == ("000001", 0, 5, "drawn")
    assert parting["gap"] > 0
    assert found.levels == 0


def test_pictures_are_compared_up_to_the_parting(tiny_engine, asked, alone):
    images = alone.images.copy()
    images[0, 1, 0, 0, 0] ^= 4
    assert counted(tiny_engine, asked, alone, replace(alone, images=images)).levels == 4


def test_a_block_survives_its_file(tmp_path, alone):
    alone.save(tmp_path / "one.npz")
    found = Block.load(tmp_path / "one.npz")
    assert all(np.array_equal(getattr(found, name), getattr(alone, name)) for name in vars(alone))
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]


WRITER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1], "one", "frames"); out.mkdir(parents=True, exist_ok=True)
for number in range(int(sys.argv[2])):
    (out / f"{number}_draft.png").touch(); time.sleep(0.05)
sys.exit(int(sys.argv[3]))
"""


def test_a_run_is_killed_after_its_pictures_or_ends_by_itself(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    assert not killed.run_until([*command, "100", "0"], tmp_path, 3)
    assert 3 <= killed.count(tmp_path) < 100
    assert killed.run_until([*command, "2", "0"], tmp_path, 1000)
    with pytest.raises(RuntimeError, match="ended with 7"):
        killed.run_until([*command, "2", "7"], tmp_path, 1000)


@pytest.mark.slow
def test_stories_of_a_killed_command_are_the_same(tiny_engine, tiny_path, asked, alone, monkeypatch):
    monkeypatch.setattr(killed, "FEWEST", 1)
    monkeypatch.setattr(killed, "MOST", 2)
    drawn = draw_block(tiny_engine, replace(CONDITIONS["killed"], threads=1), asked, str(tiny_path))
    assert drawn.kills > 0
    assert np.array_equal(drawn.drafts, alone.drafts)


def test_the_command_goes_on_where_it_stopped_and_fails_at_an_error(tmp_path, tiny_path, monkeypatch):
    monkeypatch.setattr("acdc.bench.invariance.pieces.requests", lambda number: requests(number, 2))
    only = ["--only", "alone,batch_2", "--plain", "1", "--corrected", "0", "--bundle", str(tiny_path)]
    files = ["--folder", str(tmp_path / "blocks"), "--out", str(tmp_path / "out.json")]
    stopped = CliRunner().invoke(main, [*only, *files, "--minutes", "0"])
    assert (stopped.exit_code, stopped.output) == (75, "")
    done = CliRunner().invoke(main, [*only, *files])
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(main, [*only, *files])
    assert again.exit_code == 0
    assert "batch_2_000_0: " in done.output
    assert "batch_2_000_0: " not in again.output, "blocks are kept"
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert (row["name"], row["changed"]) == ("batch_2", 0)
    path = tmp_path / "blocks" / "batch_2_000_0.npz"
    block = Block.load(path)
    block.drafts[0, 0, 0] ^= 1
    block.save(path)
    assert CliRunner().invoke(main, [*only, *files]).exit_code == 1
    other = CliRunner().invoke(main, [*only[:-1], "storyworld", *files])
    assert "choose another --folder" in str(other.exception)


def test_the_cost_compares_the_same_work(tiny_engine, monkeypatch):
    monkeypatch.setattr(cost, "starts", partial(starts, frames=2))
    row = cost.cost_of_draws(tiny_engine, 2, 1)
    assert row["low"] <= row["percent"] <= row["high"]
    assert row["ms_a_frame"] > 0
    start = starts(tiny_engine, 2, 1)[0]
    one = cost.exact(start.session.fork(), start, (1,))
    other = cost.in_order(start.session.fork(), start, (1,))
    assert one.shape == other.shape
    assert (cost.exact(start.session.fork(), start, (4,)) == one).all()
    assert cost.cost_of_frame(tiny_engine, 2, 2)["what"] == "corrected frame"
    assert cost.cost_of_equal_bits(tiny_engine, 2, 1)["stories"] == 2


def test_the_table_of_costs_tells_equal_codes_from_equal_bits():
    row = {
        "backend": "eager",
        "stories": 4,
        "what": "draw",
        "ms_a_frame": 20.0,
        "percent": 3.25,
        "low": -1.0,
        "high": 4,
    }
    found = {"costs": [row, {**row, "what": "every story alone"}], "machine": {"processor": "A CPU"}}
    lines = cost_table(found).splitlines()
    assert lines[2] == "| equal codes | draw | eager | 4 | 20.0 | +3.2 % (-1.0 to +4.0) |"
    assert lines[3].startswith("| equal bits | draw | eager |")


def test_names_of_conditions_are_their_own():
    assert len(CONDITIONS) == 2 + len(PLAIN) + len(CORRECTED)
    assert all(isinstance(one, Condition) and one.reference in CONDITIONS.values() for one in CONDITIONS.values())


def test_the_table_sums_up_and_names_the_widest_gap():
    row = {"title": "2 threads", "orders": 0, "kills": 0, "corrected": False, "codes": 1000, "encoded": 0}
    row |= {"changed": 3, "levels": 1, "partings": [{"gap": 2e-5}]}
    killed_row = {**row, "orders": 2, "kills": 4, "corrected": True, "encoded": 1000, "changed": 0, "partings": []}
    found = {"rows": [row, killed_row], "bound": 1e-3, "stories": {"frames": 6}, "machine": {"processor": "A CPU"}}
    page = table(found)
    assert "| 2 threads | 1,000 | 3 | 1 | 1 |" in page
    assert "| 2 threads, in 2 other orders, 4 times, with correction | 2,000 | 0 | 0 | 1 |" in page
    assert "**3 of 3,000 codes changed**; 1 stories parted." in page
    assert "2.0e-05 (0.001 allowed)" in page
