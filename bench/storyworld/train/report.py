"""Report of the bundle's training, from the runs' own logs: ``python -m acdc.bench.storyworld.train.report``.

Each run directory holds log.jsonl (step, loss, seconds) and what its script measured, at the end or on the way. Writes
NAME.{json,md,png} into the results directory: the figures, a page of them, and the curves of the losses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from safetensors import safe_open

from ....engine.utils.atomic import write_json

NAME = "storyworld_training"
MEASURED = ("report.json", "evaluation.json", "evaluation.jsonl")


@dataclass(frozen=True)
class Run:
    """One trained part: its log, what was measured at the end, and the files it exported."""

    part: str
    folder: Path
    command: str

    def log(self) -> list[dict[str, Any]]:
        """The logged steps that count: steps that a resume repeated are left out, and so are events."""
        counted: list[dict[str, Any]] = []
        for entry in self._lines("log.jsonl"):
            if "loss" in entry:
                counted.append(entry)
            elif entry.get("event") == "resume":
                counted = [before for before in counted if before["step"] < entry["step"]]
        if not counted:
            raise ValueError(f"{self.folder / 'log.jsonl'}: no logged step")
        return counted

    def events(self) -> list[dict[str, Any]]:
        """Resumes, and where the decay was brought forward."""
        return [entry for entry in self._lines("log.jsonl") if "event" in entry]

    def held_out(self) -> list[dict[str, Any]]:
        """Measurements on the way, by step; for a step that was measured twice, the last."""
        return sorted({entry["step"]: entry for entry in self._lines("evaluation.jsonl")}.values(), key=_step)

    def measured(self) -> str:
        """The end's figures as one line."""
        for name in MEASURED:
            path = self.folder / name
            if path.is_file():
                last = path.read_text(encoding="utf-8").strip()
                return " ".join((last.splitlines()[-1] if name.endswith("l") else last).split())
        return ""

    def exported(self) -> list[Path]:
        """The safetensors that it wrote, the autoencoder a corrector carries left out."""
        found = sorted(self.folder.rglob("*.safetensors"))
        return [path for path in found if not (self.part == "corrector" and path.parent.name == "vae")]

    def parameters(self) -> tuple[int, int]:
        """(parameters, bytes) of what was exported."""
        count = size = 0
        for path in self.exported():
            with safe_open(str(path), "pt") as file:
                for key in file.keys():  # noqa: SIM118
                    elements = 1
                    for side in file.get_slice(key).get_shape():
                        elements *= side
                    count += elements
            size += path.stat().st_size
        return count, size

    def figures(self) -> dict[str, Any]:
        """All of it as plain data; ``sha256`` says which weights these are the figures of."""
        log, (count, size) = self.log(), self.parameters()
        digests = {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.exported()
        }
        report = self.folder / "report.json"
        return {
            "part": self.part,
            "command": self.command,
            "steps": log[-1]["step"] + 1,
            "seconds": log[-1]["seconds"],
            "parameters": count,
            "bytes": size,
            "sha256": digests,
            "last": log[-1],
            "held_out": self.held_out(),
            "report": json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None,
            "events": self.events(),
        }

    def _lines(self, name: str) -> Iterable[dict[str, Any]]:
        path = self.folder / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return map(json.loads, text.splitlines())


def _step(entry: dict[str, Any]) -> int:
    return int(entry["step"])


def markdown(runs: Sequence[Run], name: str, machine: str, notes: str) -> str:
    """The page `name`.md: one table, the commands, the notes."""
    lines = ["# Training of the embedded bundle", "", machine, "", f"![loss curves]({name}.png)", ""]
    lines += ["| part | parameters | fp16 MB | steps | minutes | last loss |", "|---|---|---|---|---|---|"]
    for run in runs:
        log, (parameters, size) = run.log(), run.parameters()
        minutes = log[-1]["seconds"] / 60
        lines.append(
            f"| {run.part} | {parameters / 1e6:.2f} M | {size / 1e6:.1f} | {log[-1]['step'] + 1} "
            f"| {minutes:.1f} | {log[-1]['loss']:.4f} |"
        )
    lines += ["", "Measured at the end of each run:", ""]
    lines += [f"- {run.part}: `{run.measured()}`" for run in runs]
    lines += ["", f"On the way, with every resume and the weights' digests: [{name}.json]({name}.json)."]
    lines += [
        "",
        "Commands, in order:",
        "",
        "```sh",
        *(run.command for run in runs if run.command),
        "```",
        "",
        notes,
        "",
    ]
    return "\n".join(lines)


def curves(runs: Sequence[Run], path: Path) -> None:
    """Loss over steps, one panel a part."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(runs), figsize=(3.4 * len(runs), 2.8), constrained_layout=True, squeeze=False
    )
    for run, panel in zip(runs, panels[0], strict=True):
        log = run.log()
        panel.plot([entry["step"] for entry in log], [entry["loss"] for entry in log], linewidth=0.8)
        panel.set(title=run.part, xlabel="step", ylabel="loss", yscale="log")
    figure.savefig(path, dpi=80)


@click.command()
@click.option("--run", "runs", multiple=True, required=True, help="PART=DIRECTORY[=COMMAND], in order.")
@click.option("--machine", required=True, help="One sentence: where and with what it was trained.")
@click.option("--notes", default="", help="Further notes for the reader.")
@click.option("--name", default=NAME, show_default=True, help="Name of the page; a training that goes on has its own.")
@click.option("--commit", help="That holds the code which trained.")
@click.option("--results", type=click.Path(path_type=Path), default=Path(__file__).parents[2] / "results")
def main(runs: tuple[str, ...], machine: str, notes: str, name: str, commit: str | None, results: Path) -> None:
    """Write the figures, the page and the picture of the loss curves."""
    found = []
    for text in runs:
        part, folder, command = (*text.split("=", 2), "")[:3]
        found.append(Run(part, Path(folder), command))
    results.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine, "notes": notes, "commit": commit, "runs": [run.figures() for run in found]}
    write_json(results / f"{name}.json", record)
    curves(found, results / f"{name}.png")
    (results / f"{name}.md").write_text(markdown(found, name, machine, notes), encoding="utf-8")


if __name__ == "__main__":
    main()
