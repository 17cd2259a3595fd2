"""The tables of README.md and docs/: one function each, from the newest file of its kind under ``bench/results/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from .decoding import rules
from .full_size_table import full_size_table, janus_table, real_size_table
from .invariance import table as invariance
from .overhead import table as study
from .service_table import service_table
from .storyworld.study import few_steps_table as few_steps

RESULTS = Path(__file__).parent / "results"
PHASES = {
    "eager": "phases_cpu_2*.json",
    "openvino": "phases_cpu_openvino_2*.json",
    "auto, precision bf16 (lossy)": "phases_cpu_bf16_2*.json",
}
STUDY_COLUMNS = (
    "n", "", "ms a frame", "overhead", "floor", "its overhead", "predicted", "P50 ms", "P100", "first frame ms",
    "exposed LLM", "MiB",
)  # fmt: skip
QUALITY_ROWS = ("truth", "plain", "all", "first_2", "no_memory", "diffusion_alone", "full_plain", "full_all")
SHORT_QUALITY_ROWS = ("plain", "all", "no_memory", "diffusion_alone")


def newest(pattern: str) -> tuple[str, dict[str, Any]]:
    """Name and content of the last result of that kind; names end in a date."""
    files = sorted(RESULTS.glob(pattern))
    if not files:
        raise ValueError(f"no {pattern} under {RESULTS}")
    found: dict[str, Any] = json.loads(files[-1].read_text(encoding="utf-8"))
    return files[-1].name, found


def newest_of_all(kind: str) -> dict[str, dict[str, Any]]:
    """Name -> content of the results ``KIND_cpu_DATE_NAME.json`` of the last date."""
    date = max(path.name[: len(f"{kind}_cpu_YYYY-MM-DD")] for path in RESULTS.glob(f"{kind}_cpu_2???-??-??_*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(f"{date}_*.json"))}


def newest_phases() -> dict[str, tuple[str, dict[str, Any]]]:
    """The last result of each backend that was measured."""
    return {backend: newest(pattern) for backend, pattern in PHASES.items() if [*RESULTS.glob(pattern)]}


def overhead_table() -> str:
    """Milliseconds per chunk and phase, plain and with ACDC, on each backend that was measured."""
    found = newest_phases()
    sides = [(backend, side, result) for backend, (_, result) in found.items() for side in ("plain", "acdc")]
    titles = {"plain": "plain ARM", "acdc": "with ACDC"}
    lines = [f"| ms per chunk | {' | '.join(f'{titles[side]}, {backend}' for backend, side, _ in sides)} |"]
    lines.append("|---" * (1 + len(sides)) + "|")
    for phase in sides[0][2]["phases_ms"]["acdc"]:
        figures = (_spread(result["phases_ms"][side][phase]) for _, side, result in sides)
        lines.append(f"| {phase.replace('_', ' ')} | {' | '.join(figures)} |")
    for backend, (name, result) in found.items():
        ratio, rss = result["ratio"], result["peak_rss_mib"]
        lines += [
            "",
            f"{backend}: overhead {ratio['median']:.2f}x (median of paired chunks, MAD {ratio['mad']:.2f}, "
            f"{result['chunks']} chunks each); peak memory {rss['plain']:.0f} and {rss['acdc']:.0f} MiB; "
            f"{_conditions(result)}. Source: `bench/results/{name}`.",
        ]
    return "\n".join(lines)


def quality_table() -> str:
    """The main rows of the quality study."""
    name, study = newest("storyworld_quality.json")
    lines = ["| shown frames | right animal and setting | animal, last frame | action | FD |", "|---|---|---|---|---|"]
    for row in (study["rows"][key] for key in QUALITY_ROWS if key in study["rows"]):
        shown, accuracy = row["shown"], row["shown"]["accuracy"]
        mean, low, high = (100 * shown["subject"][key] for key in ("mean", "low", "high"))
        lines.append(
            f"| {row['title']} | {mean:.1f} % ({low:.1f} to {high:.1f}) "
            f"| {100 * accuracy['animal']['by_frame'][-1]:.1f} % | {100 * accuracy['action']['overall']:.1f} % "
            f"| {shown['frechet']:.2f} |"
        )
    paper = study["paper"]["overall"]
    lines += [
        "",
        f"{study['stories']} held-out stories, {study['settings']['dtype']}. The paper's seven stories: "
        f"{100 * paper['both']:.1f} % of {paper['frames']} frames show the right animal and setting. "
        f"Source: `bench/results/{name}`.",
    ]
    return "\n".join(lines)


def short_quality_table() -> str:
    """The rows that carry the claim, without intervals."""
    name, study = newest("storyworld_quality.json")
    lines = ["| shown frames | right animal and setting | right action |", "|---|---|---|"]
    for row in (study["rows"][key] for key in SHORT_QUALITY_ROWS if key in study["rows"]):
        shown = row["shown"]
        action = shown["accuracy"]["action"]["overall"]
        lines.append(f"| {row['title']} | {100 * shown['subject']['mean']:.1f} % | {100 * action:.1f} % |")
    return "\n".join([*lines, "", f"{study['stories']} held-out stories. Source: `bench/results/{name}`."])


def cost_table() -> str:
    """Milliseconds of a frame, plain and with ACDC, on each backend that was measured."""
    found = newest_phases()
    lines = ["| backend | plain ARM, ms | with ACDC, ms | overhead |", "|---|---|---|---|"]
    for backend, (_, result) in found.items():
        plain, acdc = (_spread(result["phases_ms"][side]["total"]) for side in ("plain", "acdc"))
        lines.append(f"| {backend} | {plain} | {acdc} | {result['ratio']['median']:.2f}x |")
    conditions = sorted({_conditions(result) for _, result in found.values()})
    files = ", ".join(f"`bench/results/{name}`" for name, _ in found.values())
    return "\n".join([*lines, "", f"{'; '.join(conditions)}. Source: {files}."])


def start_table() -> str:
    """Seconds from launching ``acdc story`` to the first picture and to all six."""
    name, start = newest("start_cpu_2*.json")
    lines = ["| seconds from launch | first frame, cold | all six, cold | first frame, warm | all six, warm |"]
    lines.append("|---" * 5 + "|")
    for row in start["rows"]:
        times = (row[state][what] for state in ("cold", "warm_median") for what in ("first_frame", "all_frames"))
        lines.append(f"| {row['backend']} | {' | '.join(f'{seconds:.1f}' for seconds in times)} |")
    launches = len(start["rows"][0]["warm"])
    machine = start["machine"]["processor"] or start["machine"]["platform"]
    conditions = f"{start['machine']['cpu_count']} CPUs, {machine}, torch {start['versions']['torch']}"
    return "\n".join(
        [*lines, "", f"Warm: median of {launches} launches; {conditions}. Source: `bench/results/{name}`."]
    )


def kernel_table() -> str:
    """Resources of each kernel on a GPU: the most of all its builds, by compute capability."""
    name, found = newest("kernel_builds_2*.json")
    capabilities = sorted({row["capability"] for row in found["rows"]})
    titles = [f"{capability / 10:.1f}" for capability in capabilities]
    lines = [f"| kernel | builds | registers at {', '.join(titles)} | shared KiB | tensor cores at {titles[1]} |"]
    lines.append("|---" * 5 + "|")
    for kernel in dict.fromkeys(row["kernel"] for row in found["rows"]):
        rows = {
            at: [row for row in found["rows"] if (row["kernel"], row["capability"]) == (kernel, at)]
            for at in capabilities
        }
        registers = ", ".join(str(max(row["registers"] for row in rows[at])) for at in capabilities)
        shared = max(row["shared_bytes"] for at in capabilities for row in rows[at]) / 1024
        tensor = ", ".join(sorted({row["tensor_cores"] for row in rows[capabilities[1]] if row["tensor_cores"]}))
        lines.append(f"| `{kernel}` | {len(rows[capabilities[1]])} | {registers} | {shared:.1f} | {tensor} |")
    most = max(row["stack_bytes"] for row in found["rows"])
    spilled = f"At most {most} bytes of stack a thread." if most else "Nothing is spilled, no stack is used."
    return "\n".join(
        [*lines, "", f"The most of all builds. {spilled} Triton {found['triton']}. Source: `bench/results/{name}`."]
    )


def drift_table() -> str:
    """Changes by lossy weights of the ARM."""
    name, found = newest("drift_cpu_2*.json")
    lines = ["| weights | nats a code | codes drawn otherwise | right drafts | right frames |", "|---" * 5 + "|"]
    for kind, row in found["rows"].items():
        shares = (row[key] for key in ("drawn_otherwise", "right_drafts", "right_shown"))
        lines.append(f"| {kind} | {row['nats']:.4f} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")
    return "\n".join([*lines, "", f"{found['stories']} held-out stories. Source: `bench/results/{name}`."])


def with_source(pattern: str, table: Callable[[dict[str, Any]], str]) -> str:
    """A table that its own module makes of the last result of that kind."""
    name, found = newest(pattern)
    return f"{table(found)} Source: `bench/results/{name}`."


def video_table() -> str:
    """Held-out clips with and without correction."""
    name, found = newest("video_cpu_2*.json")
    titles = {
        "truth": "true renders",
        "plain": "plain ARM",
        "acdc": "ACDC, first 16 frames",
        "acdc_motion": "the same, by the motion adapter",
    }
    lines = ["| | right frames | right last frame | right in every frame | jump | movement |", "|---" * 6 + "|"]
    for kind, row in found["rows"].items():
        shares = (100 * row[key]["mean"] for key in ("right", "last", "through"))
        rest = f"{row['jump']['mean']:.2f} | {row['movement']['mean']:.1f}"
        lines.append(f"| {titles[kind]} | {' | '.join(f'{share:.0f} %' for share in shares)} | {rest} |")
    gain = found["smoother_than_plain"]["acdc"]
    jumps = f"ACDC jumps less than the plain ARM by {gain['mean']:.2f} ({gain['low']:.2f} to {gain['high']:.2f}, 95 %)."
    return "\n".join(
        [
            *lines,
            "",
            f"{found['clips']} held-out clips of {found['frames']} frames. {jumps} Source: `bench/results/{name}`.",
        ]
    )


def many_table() -> str:
    """Stories one after another and many at a time, with and without a slow language model."""
    name, result = newest("many_cpu_2*.json")
    lines = [
        "| backend | memory call | one by one, s a frame | together | times | memory exposed |",
        "|---|---|---|---|---|---|",
    ]
    for group in result["backends"]:
        for row in group["rows"]:
            serial, many = (median(row[key]) for key in ("serial_s_a_frame", "many_s_a_frame"))
            ratio = f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})"
            exposed = f"{100 * median(row['exposed_memory']):.2f} %"
            call = f"{row['memory_ms']:.0f} ms" if row["memory_ms"] else "by rules"
            lines.append(
                f"| {group['settings']['backend']} | {call} | {serial:.3f} | {many:.3f} | {ratio} | {exposed} |"
            )
    first = result["backends"][0]
    lines += ["", f"{first['settings']['threads']} threads, {result['machine']['processor']}. {_sizes(result)}"]
    lines[-1] += f"{_watched(first['memory'])}" if "memory" in first else ""
    lines[-1] += f"Source: `bench/results/{name}`."
    return "\n".join(lines)


def _sizes(result: Mapping[str, Any]) -> str:
    """Number of stories and frames, where the file has it."""
    if "stories" not in result:
        return ""
    drawn = result["stories"]
    return f"{drawn['count']} stories of {drawn['frames']} frames in all, {2 * result['rounds']} runs of each. "


def _watched(found: Mapping[str, Any]) -> str:
    """Growth of the process; older files do not say after which stories: 300 and 100."""
    settled, hundred = found.get("settled_after", 300), found.get("hundred", 100)
    return (
        f"In a run of {found['stories']} short stories those after the first {settled} grew the process by "
        f"{100 * found['growth']:.2f} %, those after the first {hundred} by {100 * found['from_the_start']:.1f} %. "
    )


def predict_table() -> str:
    """The simulated throughput of many stories next to the measured one."""
    name, result = newest("predict_cpu_2*.json")
    lines = [
        "| slots | batch | memory call | turns | frames/s measured | predicted | predicted / measured |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in result["groups"]:
        for row in group["rows"]:
            rates = (median(run["frames_per_second"] for run in row[which]) for which in ("measured", "predicted"))
            measured, predicted = (f"{rate:.3f}" for rate in rates)
            call = f"{row['memory_ms']} ms" if row["memory_ms"] else "by rules"
            ratio = f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})"
            cells = (group["slots"], row["batch"], call, len(row["ratios"]), measured, predicted, ratio)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    drawn = result["stories"]
    sizes = f"{drawn['count']} stories of {drawn['frames']} frames in all"
    where = f"{result['settings']['backend']}, {result['machine']['processor']}"
    return "\n".join([*lines, "", f"{sizes}; {where}. Source: `bench/results/{name}`."])


def study_table() -> str:
    """Cost of ACDC over a plain ARM, at each number of stories at a time."""
    name, record = newest("overhead_cpu_2*.json")
    page = f"every column, sweep and sample: `bench/results/{name}`, `.md` and `.html`"
    frames = sum(len(story["sentences"]) for story in record["stories"])
    sizes = f"{len(record['stories'])} stories of {frames} frames in all, {record['settings']['rounds']} rounds A B B A"
    return "\n".join([study.table(record, STUDY_COLUMNS), "", f"{sizes}; {page}."])


def _spread(value: Mapping[str, float]) -> str:
    return f"{value['median']:.1f} ± {value['mad']:.1f}" if value["median"] else "0"


def _conditions(result: Mapping[str, Any]) -> str:
    settings, machine = result["settings"], result["machine"]
    where = machine.get("processor") or machine.get("platform", "")
    return f"{settings['dtype']}, {settings['threads']} threads, {where}, torch {result['versions']['torch']}"


TABLES: Mapping[str, Callable[[], str]] = {
    "overhead": overhead_table,
    "many": many_table,
    "study": study_table,
    "predict": predict_table,
    "start": start_table,
    "quality": quality_table,
    "quality_short": short_quality_table,
    "cost": cost_table,
    "kernels": kernel_table,
    "drift": drift_table,
    "full_size": lambda: full_size_table(newest_of_all("systems")),
    "real_size": lambda: real_size_table(*newest("cpu_real_size_2???-??-??.json")),
    "janus": lambda: janus_table(newest_of_all("janus_generate")),
    "few_steps": partial(with_source, "storyworld_few_steps_2*.json", few_steps.table),
    "invariance": partial(with_source, "invariance_cpu_2*.json", invariance.table),
    "rules": partial(with_source, "decoding_rules_cpu_2*.json", rules.table),
    "service": lambda: service_table(*newest("service_cpu_2*.json")),
    "video": video_table,
}
