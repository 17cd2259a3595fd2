"""Checkpoints in a folder: every layout is found, the first that is there, and what is missing is said in one line."""

from pathlib import Path

import pytest

from acdc.engine.loading.model_store import find_model

NAME = "showlab/show-o"
COMMIT = "0123abcd"


def made(*parts: str | Path) -> Path:
    path = Path(*parts)
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


@pytest.mark.parametrize("layout", [NAME, "show-o", f"models--showlab--show-o/snapshots/{COMMIT}"])
def test_each_layout_is_found(tmp_path: Path, layout: str) -> None:
    path = made(tmp_path, layout)
    assert find_model(tmp_path, NAME) == path


def test_owner_and_name_come_first(tmp_path: Path) -> None:
    made(tmp_path, "show-o")
    assert find_model(tmp_path, NAME) == tmp_path / "show-o"
    made(tmp_path, NAME)
    assert find_model(tmp_path, NAME) == tmp_path / NAME


def test_the_hubs_cache_gives_the_commit_that_main_names(tmp_path: Path) -> None:
    cached = tmp_path / "models--showlab--show-o"
    for commit in ("aaaa", COMMIT):
        made(cached, "snapshots", commit)
    assert find_model(tmp_path, NAME).name == "0123abcd"
    (made(cached, "refs") / "main").write_text("aaaa\n")
    assert find_model(tmp_path, NAME).name == "aaaa"


@pytest.mark.parametrize("name", ["gpt2", "/x", "x/", "", "../x", "x/..", "x/../../y", "x/y/z", "./x", "x\\y/z"])
def test_what_is_not_a_repository_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a repository's name; give OWNER/NAME"):
        find_model(tmp_path, name)


def test_what_is_missing_is_said_with_where_it_was_sought(tmp_path: Path) -> None:
    sought = r"no showlab/show-o under .*models--showlab--show-o.*hf download showlab/show-o"
    with pytest.raises(ValueError, match=sought):
        find_model(tmp_path, NAME)
    with pytest.raises(ValueError, match="is not a directory"):
        find_model(tmp_path / "nowhere", NAME)
