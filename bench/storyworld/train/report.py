"""How the bundle was trained, from the runs' own logs: ``python -m acdc.bench.storyworld.train.report``.

Each run directory holds log.jsonl (step, loss, seconds) and what its script measured at the end. Writes
storyworld_training.{md,png} into the results directory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from safetensors import safe_open

NAME = "storyworld_training"
MEASURED = ("report.json", "evaluation.json", "evaluation.jsonl")


@dataclass(frozen=True)
class Run:
    """One trained part: its log, what was measured at the end, and the files it exported."""

    part: str
    folder: Path
    command: str

    def log(self) -> list[dict[str, Any]]:
        """The logged steps, without events."""
        lines = (self.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [entry for entry in map(json.loads, lines) if "loss" in entry]

    def measured(self) -> str:
        """The end's figures as one line."""
        for name in MEASURED:
            path = self.folder / name
            if path.is_file():
                last = path.read_text(encoding="utf-8").strip()
                return " ".join((last.splitlines()[-1] if name.endswith("l") else last).split())
        return ""

    def parameters(self) -> tuple[int, int]:
        """(parameters, bytes) of the exported safetensors, the autoencoder a corrector carries left out."""
        count = size = 0
        for path in self.folder.rglob("*.safetensors"):
            if self.part == "corrector" and path.parent.name == "vae":
                continue
            with safe_open(str(path), "pt") as file:
                for key in file.keys():  # noqa: SIM118
                    elements = 1
                    for side in file.get_slice(key).get_shape():
                        elements *= side
                    count += elements
            size += path.stat().st_size
        return count, size


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
@click.option("--notes", default="", help="What a reader must know besides.")
@click.option("--name", default=NAME, show_default=True, help="Of the page; a training that goes on has its own.")
@click.option("--results", type=click.Path(path_type=Path), default=Path(__file__).parents[2] / "results")
def main(runs: tuple[str, ...], machine: str, notes: str, name: str, results: Path) -> None:
    """Write the page and the picture of the loss curves."""
    found = []
    for text in runs:
        part, folder, command = (*text.split("=", 2), "")[:3]
        found.append(Run(part, Path(folder), command))
    results.mkdir(parents=True, exist_ok=True)
    curves(found, results / f"{name}.png")
    (results / f"{name}.md").write_text(markdown(found, name, machine, notes), encoding="utf-8")


if __name__ == "__main__":
    main()
