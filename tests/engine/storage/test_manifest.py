"""A file of stories as requests, and the manifest: what is refused, what a crash may do to it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.storage.manifest import Failed, Finished, Manifest, ManifestWriter, digest, read_manifest
from acdc.engine.storage.stories_file import read_requests

FOX = Finished("fox", 7, 2, 1.25, digest(["A fox sat.", "It ran."]))
BAD = Failed("bad", "memory failed for sentence 3: Zeit\u00fcberschreitung")
LAST = Finished("\u00e4ffchen", 2**64 - 1, 1, 3.0, digest(["An ape."]))


def ask(tmp_path, *records, seed=0):
    path = tmp_path / "s.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8")
    return read_requests(path, seed)


class TestAsked:
    def test_ids_and_seeds_are_by_line_unless_given(self, tmp_path):
        story = {"sentences": ["A  fox sat."]}
        first, second, third = ask(tmp_path, story, {**story, "id": "b.1_x-\u00e9", "seed": 99}, story, seed=5)
        assert [(r.id, r.seed) for r in (first, second, third)] == [("000001", 5), ("b.1_x-\u00e9", 99), ("000003", 7)]
        assert first.sentences == ("A fox sat.",)

    def test_stories_added_at_the_end_change_no_other(self, tmp_path):
        story = {"sentences": ["A fox sat."]}
        assert ask(tmp_path, *[story] * 200)[:3] == ask(tmp_path, *[story] * 3)

    @pytest.mark.parametrize(
        ("record", "words"),
        [
            ("{", ["not JSON"]),
            ("[" * 10**6, ["not JSON"]),
            ("", ["not JSON"]),
            ([], ["'sentences'"]),
            ({}, ["'sentences'"]),
            ({"sentences": "A cat."}, ["'sentences'"]),
            ({"sentences": []}, ["no sentence"]),
            ({"sentences": ["A cat.", " "]}, ["sentence 2 is empty"]),
            ({"sentences": ["word " * 61]}, ["61 words"]),
            ({"sentences": ["A."], "id": 3}, ["'id' is 3", "text"]),
            ({"sentences": ["A."], "id": None}, ["'id' is None"]),
            ({"sentences": ["A."], "id": ""}, ["story id ''"]),
            ({"sentences": ["A."], "id": "../x"}, ["'../x'", "letters"]),
            ({"sentences": ["A."], "id": ".hidden"}, [".hidden"]),
            ({"sentences": ["A."], "id": "a/b"}, ["a/b"]),
            ({"sentences": ["A."], "id": "a\0b"}, ["a\\x00b"]),
            ({"sentences": ["A."], "id": "\ud800"}, ["ud800"]),
            ({"sentences": ["A."], "id": "x" * 101}, ["100 bytes"]),
            ({"sentences": ["A."], "id": "\u4e2d" * 34}, ["100 bytes"]),
            ({"sentences": ["A."], "id": "manifest.jsonl"}, ["manifest"]),
            ({"sentences": ["A."], "id": "000001"}, ["line 1's too"]),
            ({"sentences": ["A."], "seed": -1}, ["seed -1"]),
            ({"sentences": ["A."], "seed": 2**64}, ["seed 1844"]),
            ({"sentences": ["A."], "seed": 1.0}, ["'seed' is 1.0", "integer"]),
            ({"sentences": ["A."], "seed": True}, ["'seed' is True"]),
        ],
    )
    def test_a_bad_line_is_named(self, tmp_path, record, words):
        with pytest.raises(ValueError, match=r"s\.jsonl', line 2\b") as caught:
            ask(tmp_path, {"sentences": ["A."]}, record, {"sentences": ["A."]})
        assert all(word in str(caught.value) for word in words), caught.value

    def test_a_seed_that_grows_out_of_range(self, tmp_path):
        with pytest.raises(ValueError, match="line 2: seed 18446744073709551616"):
            ask(tmp_path, {"sentences": ["A."]}, {"sentences": ["A."]}, seed=2**64 - 1)


class TestManifest:
    @pytest.fixture
    def path(self, tmp_path) -> Path:
        path = tmp_path / "new" / "manifest.jsonl"
        with ManifestWriter(path, Manifest()) as writer:
            for entry in (FOX, BAD, LAST):
                writer.append(entry)
        return path

    def test_what_was_written_is_read(self, path):
        known = read_manifest(path)
        assert list(known.entries.values()) == [FOX, BAD, LAST]
        assert set(known.finished) == {"fox", "\u00e4ffchen"}
        assert known.size == known.whole == path.stat().st_size
        assert path.read_text(encoding="utf-8").count("\n") == 3

    def test_what_is_finished_is_found_once(self, path):
        known = read_manifest(path)
        assert known.finished is known.finished

    def test_what_is_to_be_replaced_stays_until_then(self, path):
        before = path.read_bytes()
        with ManifestWriter(path, None) as writer:
            assert path.read_bytes() == before
            writer.start_over()
            writer.append(BAD)
        assert list(read_manifest(path).entries) == ["bad"]

    def test_nothing_there(self, tmp_path):
        assert read_manifest(tmp_path / "none") == Manifest()
        (tmp_path / "empty").write_bytes(b"")
        assert read_manifest(tmp_path / "empty") == Manifest()

    def test_the_last_line_about_a_story_counts(self, path):
        with ManifestWriter(path, read_manifest(path)) as writer:
            writer.append(Finished("bad", 1, 1, 0.5, "0" * 16))
        assert isinstance(read_manifest(path).entries["bad"], Finished)

    def test_torn_anywhere_in_its_last_line_it_is_cut_and_goes_on(self, path):
        data = path.read_bytes()
        begin = data.rindex(b"\n", 0, -1) + 1
        for end in range(begin, len(data)):
            path.write_bytes(data[:end])
            known = read_manifest(path)
            assert list(known.entries) == ["fox", "bad"]
            with ManifestWriter(path, known) as writer:
                writer.append(LAST)
            assert path.read_bytes() == data

    @pytest.mark.parametrize(
        "tail",
        [b"\0" * 90, b"\0" * 90 + b"\n", b'{"id": "x"}\n', b"\xff\n", b'{"id": "x", "fra'],
        ids=["zeros", "zeros and an end", "not all", "no text", "torn"],
    )
    def test_a_damaged_end_is_cut(self, path, tail):
        data = path.read_bytes()
        path.write_bytes(data + tail)
        known = read_manifest(path)
        assert len(known.entries) == 3
        ManifestWriter(path, known).__exit__(None, None, None)
        assert path.read_bytes() == data

    @pytest.mark.parametrize("line", [b"\0\0", b"[]", b'{"id": "x", "seed": 1}', b'{"id": 3, "error": "x"}', b""])
    def test_damage_before_the_end_is_refused(self, path, line):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\n" + line + b"\n", 1))
        with pytest.raises(ValueError, match=r"manifest\.jsonl', line 2 is damaged .*--overwrite"):
            read_manifest(path)

    def test_two_writers_at_a_time_are_refused(self, path):
        known = read_manifest(path)
        with ManifestWriter(path, known), pytest.raises(ValueError, match="another run is writing"):
            ManifestWriter(path, known)
        with ManifestWriter(path, known) as writer:
            writer.append(FOX)
        before = path.read_bytes()
        with pytest.raises(ValueError, match="another run"):  # what was read is old
            ManifestWriter(path, known)
        assert path.read_bytes() == before

    def test_a_line_that_is_not_written_whole_is_an_error(self, path, monkeypatch):
        with ManifestWriter(path, read_manifest(path)) as writer:
            monkeypatch.setattr("os.write", lambda file, data: len(data) - 1)
            with pytest.raises(OSError, match=r"'fox'.*disk full"):
                writer.append(FOX)

    @given(st.text(max_size=40), st.text(max_size=40))
    def test_any_text_is_one_line(self, tmp_path_factory, name, error):
        path = tmp_path_factory.mktemp("any") / "manifest.jsonl"
        with ManifestWriter(path, Manifest()) as writer:
            writer.append(Failed(name, error))
        assert path.read_bytes().count(b"\n") == 1
        assert read_manifest(path).entries == {name: Failed(name, error)}
