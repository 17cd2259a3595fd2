"""Every user's mistake: one line that names value and choices, exit code 2, nothing written."""

import os
from pathlib import Path

import pytest
from PIL import Image

from acdc.engine.cli.main import main
from tests.helpers.cli_runs import STORY, files, refuse
from tests.helpers.fake_engine import Killed

pytestmark = pytest.mark.usefixtures("own_folder")


class TestMistakes:
    @pytest.mark.parametrize(
        ("argv", "words"),
        [
            ([], ["no sentence", "--example", "--prompts"]),
            ([""], ["sentence 1 is empty"]),
            (["A cat.", "  "], ["sentence 2 is empty"]),
            (["word " * 10_000], ["10000 words", "limit is 60"]),
            (["\udcff cat"], ["sentence 1", "UTF-8"]),
            (["A cat.", "--negative-prompt", "\udcff"], ["negative_prompt", "UTF-8"]),
            (["A cat.", "--example", "max"], ["together"]),
            (["--example", "max", "--prompts", "x"], ["--example and --prompts"]),
            (["--example", "rex"], ["rex", "max", "benny"]),
            (["A cat.", "--strength", "0"], ["0.0", "0 < strength <= 1"]),
            (["A cat.", "--strength", "-0.1"], ["-0.1", "0 < strength <= 1"]),
            (["A cat.", "--strength", "1.01"], ["1.01", "0 < strength <= 1"]),
            (["A cat.", "--strength", "nan"], ["nan", "0 < strength <= 1"]),
            (["A cat.", "--strength", "much"], ["much", "float"]),
            (["A cat.", "--strength", "0.05", "--steps", "10"], ["0.05", "no step of 10"]),
            (["A cat.", "--steps", "0"], ["0", "1 or more"]),
            (["A cat.", "--steps", "2.5"], ["2.5", "integer"]),
            (["A cat.", "--memory", "elephant"], ["elephant", "none", "rules"]),
            (["A cat.", "--context", "none"], ["none", "window", "full"]),
            (["A cat.", "--dtype", "int4"], ["int4", "float32"]),
            (["A cat.", "--threads", "0"], ["--threads", "0", "x>=1"]),
            (["A cat.", "--threads", "100000"], ["--threads 100000", "choose 1 to"]),
            (["A cat.", "--seed", "-1"], ["-1", "0 to"]),
            (["A cat.", "--seed", str(2**64)], [str(2**64), "0 to"]),
            (["A cat.", "--temperature", "-1"], ["-1", "0 (greedy)"]),
            (["A cat.", "--temperature", "inf"], ["inf"]),
            (["A cat.", "--top-k", "-1"], ["-1", "0 (all tokens)"]),
            (["A cat.", "--guidance", "-1"], ["guidance_scale -1"]),
            (["A cat.", "--correct-first", "-1"], ["-1", "0 or more"]),
            (["A cat.", "--correct-every", "0"], ["0", "1 or more"]),
            (["A cat.", "--strenght", "0.5"], ["--strenght", "--strength"]),
            (["A cat.", "--xyzzy"], ["--xyzzy", "--strength", "--resume"]),
            (["A cat.", "--seed"], ["--seed", "argument"]),
            (["A cat.", "--resume", "--overwrite"], ["choose one"]),
            (["A cat.", "--prompts", "missing.txt"], ["--prompts"]),
            (["--prompts", "missing.txt"], ["'missing.txt' does not exist"]),
            (["--prompts", "."], ["is a directory"]),
            (["--prompts", "a\0b"], ["a\\x00b"]),
            (["--prompts", "x" * 5000], ["cannot be read"]),
            (["A cat.", "--init-image", "missing.png"], ["'missing.png' does not exist"]),
            (["A cat.", "--init-image", "."], ["is a directory"]),
            (["A cat.", "--out", "x" * 5000], ["cannot be used"]),
        ],
    )
    def test_story(self, capsys, argv, words):
        line = refuse(capsys, "story", *argv)
        assert all(word in line for word in words), line
        assert files(".") == {}

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            (b"", "empty"),
            (b" \n\t\n", "empty"),
            (b"A cat.\n\nIt sat.\n", "sentence 2 is empty"),
            (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
            (b"A cat\0 sat.", "binary"),
            ("Ein Bär.".encode("latin-1"), "not UTF-8 (byte 5)"),
            ("A cat.".encode("utf-16"), "not UTF-8"),
            (b"word " * 10_000, "limit is 60"),
            (b"A cat.\n" * 200_000, "larger than"),
        ],
    )
    def test_prompts_file(self, capsys, content, word):
        Path("prompts.txt").write_bytes(content)
        line = refuse(capsys, "story", "--prompts", "prompts.txt")
        assert word in line
        assert "prompts.txt" in line

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n1234"])
    def test_init_image_that_is_none(self, capsys, content):
        Path("a.png").write_bytes(content)
        assert "not a readable picture" in refuse(capsys, "story", "A cat.", "--init-image", "a.png")

    def test_init_image_whose_notes_are_damaged(self, capsys):
        width = b"\x01\x00\x00\x02\x00\x00\x00\x04abc\x00"  # of ImageWidth, a text in place of a number
        turned = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
        exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02" + width + turned + bytes(4)
        Image.new("RGB", (8, 8)).save("a.jpeg", exif=exif)
        assert "not a readable picture" in refuse(capsys, "story", "A cat.", "--init-image", "a.jpeg")

    @pytest.mark.parametrize("out", ["file", "file/below", "file/far/below"])
    def test_output_below_a_file(self, capsys, fake, out):
        Path("file").write_text("mine")
        assert "is not a directory" in refuse(capsys, "story", *STORY, "--out", out)
        assert files(".") == {"file": b"mine"}

    @pytest.mark.parametrize(
        ("argv", "word"),
        [
            (["--bundle", "atlantis"], "unknown bundle 'atlantis'"),
            (["--device", "abacus"], "'abacus'"),
            (["--device", "cuda:99"], "'cuda:99'"),
            (["--backend", "abacus"], "unknown backend 'abacus'"),
            (["--backend", "unet=abacus"], "unknown backend 'abacus'"),
            (["--backend", "lathe=eager"], "unknown stage 'lathe'"),
        ],
    )
    def test_what_the_engine_refuses(self, capsys, argv, word, tiny):
        line = refuse(capsys, "story", "A cat.", *(() if "--bundle" in argv else ("--bundle", tiny)), *argv)
        assert word in line
        assert "choose" in line

    @pytest.mark.long
    @pytest.mark.parametrize("part", ["arm", "tokenizer", "corrector/unet", "corrector/vae", "corrector/text_encoder"])
    @pytest.mark.parametrize("damage", ["truncated", "wrong", "text", "missing"])
    def test_damaged_weights(self, capsys, tmp_path, part, damage):
        from safetensors.torch import save_file
        from torch import zeros

        from tests.helpers.tiny import tiny_bundle

        weights = next((tiny_bundle(tmp_path / "bundle") / part).glob("*.safetensors"))
        if damage == "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        elif damage == "wrong":
            save_file({"a.b": zeros(2)}, str(weights))
        elif damage == "text":
            weights.write_text("not weights")
        else:
            weights.unlink()
        line = refuse(capsys, "story", "A cat.", "--bundle", "bundle", "--steps", "2")
        assert (part if damage == "missing" else weights.name) in line
        assert not Path("out").exists()

    @pytest.mark.parametrize(
        ("argv", "word"),
        [
            (
                ["sing"],
                "story, generate, video, correct, reference, acdit, evaluate, serve, reproduce, vistorybench, "
                "write-stories, info, compile, cache, overhead, bench, "
                "plan",
            ),
            (["--xyzzy"], "--xyzzy"),
            (["info", "extra"], "extra"),
            (["overhead", "--stories", "0"], "x>=1"),
            (["compile", "--frames", "0"], "x>=1"),
            (["compile", "--backend", "abacus"], "unknown backend 'abacus'"),
            (["cache", "--clean"], "did you mean --clear?"),
            (["overhead", "--warmup", "-1"], "x>=0"),
            (["overhead", "--json", "."], "is a directory"),
            (["overhead", "--json", "no/such/file"], "'no/such'"),
            (["overhead", "--strength", "2"], "0 < strength <= 1"),
            (["overhead", "--seed", str(2**64 - 1)], "too large"),
        ],
    )
    def test_other_commands(self, capsys, argv, word):
        assert word in refuse(capsys, *argv)

    def test_a_full_disk_is_one_line_and_keeps_the_finished_frames(self, capsys, fake, monkeypatch):
        fake(stop_at=2)
        with pytest.raises(Killed):
            main(["story", *STORY])
        before = files()
        fake()
        capsys.readouterr()

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        assert "No space left" in refuse(capsys, "story", *STORY, "--resume")
        assert files() == before
