"""The measurement as tables: codes changed by each way of running stories, and what exactness costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]
REFERENCE = "one story at a time, one code a pass, eager, one thread"
EQUAL_BITS = "every story alone"  # of rows that measure equal bits, not equal codes


def table(found: Record) -> str:
    """A row for each way of running; the last lines have the sums."""
    lines = ["| stories are run | codes | changed | near ties | pictures differ by, of 255 |", "|---" * 5 + "|"]
    for row in found["rows"]:
        codes = row["codes"] + row["encoded"]
        lines.append(f"| {_title(row)} | {codes:,} | {row['changed']} | {len(row['partings'])} | {row['levels']} |")
    stories, bound = found["stories"], found["bound"]
    lines += ["", f"{totals(found)} Against {REFERENCE}; stories of {stories['frames']} held-out sentences."]
    gaps = [parting["gap"] for row in found["rows"] for parting in row["partings"]]
    if gaps:
        lines[-1] += (
            f" A story parts at a near tie: the widest gap between both choices was {max(gaps):.1e} ({bound} allowed)."
        )
    lines[-1] += f" {found['machine']['processor']}, float32."
    return "\n".join(lines)


def _title(row: Record) -> str:
    """The way in which stories are run, in words."""
    said = [row["title"]]
    said += [f"in {row['orders']} other orders"] if row["orders"] else []
    said += [f"{row['kills']} times"] if row["kills"] else []
    said += ["with correction"] if row["corrected"] else []
    return ", ".join(said)


def totals(found: Record) -> str:
    """Sums over all rows, as a sentence."""
    rows = found["rows"]
    codes, changed = sum(row["codes"] + row["encoded"] for row in rows), sum(row["changed"] for row in rows)
    partings = sum(len(row["partings"]) for row in rows)
    parted = f"{partings} stories parted" if partings else "no story parted"
    return f"**{changed} of {codes:,} codes changed**; {parted}."


def cost_table(found: Record) -> str:
    """Per cent that exactness adds, with quartiles."""
    lines = ["| what is promised | work | backend | stories | ms a frame | cost |", "|---" * 6 + "|"]
    for row in found["costs"]:
        promise = "equal bits" if row["what"] == EQUAL_BITS else "equal codes"
        work = "draw" if row["what"] == EQUAL_BITS else row["what"]
        cost = f"{row['percent']:+.1f} % ({row['low']:+.1f} to {row['high']:+.1f})"
        lines.append(f"| {promise} | {work} | {row['backend']} | {row['stories']} | {row['ms_a_frame']:.1f} | {cost} |")
    return "\n".join([*lines, "", f"Processor time, one thread, {found['machine']['processor']}."])
