"""Progress of ``acdc generate``: counts, speed, time left; lines, and the bar of a terminal."""

from acdc.engine.storage.manifest import Failed, Finished
from acdc.engine.storage.run_progress import Bar, RunProgress


def test_tally():
    now = [10.0]
    tally = RunProgress(12, 2, 40, lambda: now[0])
    assert (tally.place, tally.speed) == ("2/12", "0.00 frames/s, ? left")
    tally.made, tally.finished, tally.failed = 10, 2, 1
    now[0] = 15.0
    assert (tally.place, tally.speed) == ("5/12", "2.00 frames/s, 0:00:15 left")


def test_the_bar_of_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    bar = Bar(RunProgress(2, 0, 3))
    with bar:
        bar.frame()
        bar.story(Finished("fox", 0, 1, 1.0, "0"))
        bar.failure(Failed("[red]cat[/red]", "no luck"), 2)
        assert bar.tally.place == "2/2"
        (task,) = bar._bar.tasks
        assert (task.completed, task.total, task.description) == (1, 1, "story 2/2")
    assert "acdc: story '[red]cat[/red]' failed: no luck" in capsys.readouterr().err
