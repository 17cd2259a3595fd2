"""A bundle's fingerprint: every byte of what is read, through links; stories of earlier versions can be resumed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from acdc.engine.cli.main import main
from acdc.engine.loading.bundle import find_bundle
from tests.helpers.cli_runs import STORY, refuse

UNET = Path("corrector", "unet", "diffusion_pytorch_model.safetensors")


@pytest.fixture
def bundle(tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny bundle, whose files count as settled at once."""
    monkeypatch.setattr("acdc.engine.utils.file_digest.SETTLED", -1.0)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_path, tmp_path / "bundle"))


def change(path: Path, offset: int) -> None:
    """Another byte, and times as they were."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def fingerprint(bundle: Path) -> str:
    return find_bundle(bundle).fingerprint()


def test_any_byte_of_a_large_file_counts(bundle: Path) -> None:
    path = bundle / UNET
    with path.open("ab") as file:
        file.write(os.urandom(4 << 20))
    seen = {fingerprint(bundle)}
    for mebibyte in range(4):
        change(path, (mebibyte << 20) + 12345)
        seen.add(fingerprint(bundle))
    assert len(seen) == 5


@pytest.mark.parametrize(
    "name", ["corrector/scheduler/scheduler_config.json", "arm/tokenizer.json", "tokenizer/model.safetensors"]
)
def test_every_file_counts(bundle: Path, name: str) -> None:
    before = fingerprint(bundle)
    change(bundle / name, (bundle / name).stat().st_size // 2)
    assert fingerprint(bundle) != before


def test_a_linked_folder_is_followed(bundle: Path) -> None:
    """As python/cpython#77609: a walk that passes links over sees no change where the link is turned."""
    before = fingerprint(bundle)
    for name in ("one", "two"):
        shutil.copytree(bundle / "corrector" / "unet", bundle.parent / name)
    change(bundle.parent / "two" / UNET.name, 5000)
    shutil.rmtree(bundle / "corrector" / "unet")
    link = bundle / "corrector" / "unet"
    link.symlink_to(bundle.parent / "one", target_is_directory=True)
    assert fingerprint(bundle) == before, "the same files, wherever they lie"
    link.unlink()
    link.symlink_to(bundle.parent / "two", target_is_directory=True)
    assert fingerprint(bundle) != before


def test_a_linked_part_and_a_link_to_a_link_are_followed(bundle: Path) -> None:
    before = fingerprint(bundle)
    (bundle / "arm").rename(bundle.parent / "arm-1")
    (bundle.parent / "arm-now").symlink_to(bundle.parent / "arm-1")
    (bundle / "arm").symlink_to(bundle.parent / "arm-now")
    assert fingerprint(bundle) == before
    change(bundle.parent / "arm-1" / "model.safetensors", 9000)
    assert fingerprint(bundle) != before


def test_a_link_back_ends(bundle: Path) -> None:
    before = fingerprint(bundle)
    (bundle / "corrector" / "unet" / "again").symlink_to(bundle / "corrector")
    (bundle / "corrector" / "nothing").symlink_to(bundle / "nowhere")
    assert fingerprint(bundle) == before


def test_what_is_never_read_does_not_count(bundle: Path) -> None:
    before = fingerprint(bundle)
    (bundle / "corrector" / "README.md").write_text("notes")
    (bundle / "corrector" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    assert fingerprint(bundle) == before


def test_resume_notices_weights_that_changed_between_the_samples(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As AUTOMATIC1111/stable-diffusion-webui#4298: first, middle and last mebibyte are the same."""
    blob = bundle / "corrector" / "unet" / "table.json"  # not of the network, so that it still loads
    blob.write_bytes(os.urandom(5 << 20))
    asked = ("story", *STORY[:2], "--bundle", str(bundle), "--out", "out", "--steps", "2")
    assert main(list(asked)) == 0
    old = find_bundle(bundle).old_fingerprint()
    change(blob, (1 << 20) + 7)
    assert find_bundle(bundle).old_fingerprint() == old, "what samples cannot see"
    capsys.readouterr()
    assert refuse(capsys, *asked, "--resume").startswith("acdc: cannot resume: weights was ")


def test_a_story_of_an_earlier_version_is_resumed_with_the_same_weights(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("story", *STORY[:2], "--bundle", str(bundle), "--out", "out", "--steps", "2")
    assert main(list(asked)) == 0
    path = Path("out", "story.json")
    record = json.loads(path.read_text())
    record["settings"]["weights"] = find_bundle(bundle).old_fingerprint()
    del record["frames"][1:], record["refined_prompts"][1:]
    path.write_text(json.dumps(record))
    assert main([*asked, "--resume"]) == 0
    assert len(json.loads(path.read_text())["frames"]) == 2
    path.write_text(json.dumps(record))
    change(bundle / UNET, (bundle / UNET).stat().st_size // 2)
    capsys.readouterr()
    assert "weights was" in refuse(capsys, *asked, "--resume")
