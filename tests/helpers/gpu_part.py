"""A part of ``bench.gpu`` as its process looks from outside, without torch: rows that are well, and rows that are not.

``python tests/helpers/gpu_part.py BEHAVIOUR,... --out FILE --seconds S [--resume | --retry]``; a row a behaviour. With
MENDED in the environment every row is well.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def raises():
    raise RuntimeError("no such kernel\nand more")


FAULTS = {
    "good": lambda: None,
    "dies": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hangs": lambda: time.sleep(60),
    "slow": lambda: time.sleep(1),
    "exits": lambda: sys.exit("the library left"),
    "loses": lambda: os._exit(74),  # as a record that has lost its device, after the row
}


def main(behaviours: str, *options: str) -> None:
    if behaviours == "broken":
        raises()
    out = Path(options[options.index("--out") + 1])
    until = time.monotonic() + float(options[options.index("--seconds") + 1])
    found = json.loads(out.read_text()) if out.exists() else {"rows": []}
    if "--retry" in options:
        found["rows"] = [row for row in found["rows"] if "failed" not in row]
    found |= {"under_way": None, "not_reached": [], "complete": False}

    def write() -> None:
        part = out.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.replace(out)

    write()
    for number, behaviour in enumerate(behaviours.split(",")):
        what = {"number": number, "row": behaviour}
        if any(what.items() <= row.items() for row in found["rows"]):
            continue
        if time.monotonic() > until:
            found["not_reached"].append(what)
            continue
        found["under_way"] = what
        write()
        row = what | {"median": 1.0}
        if not os.environ.get("MENDED"):
            if behaviour == "fails":
                row = what | {"failed": "RuntimeError: no such kernel"}
            elif behaviour == "loses":
                found["rows"].append(what | {"failed": "AcceleratorError: illegal address"})
                found["under_way"] = None
                write()
                os._exit(74)
            else:
                FAULTS[behaviour]()
        found["rows"].append(row)
        found["under_way"] = None
        write()
    found["complete"] = not found["not_reached"]
    write()


if __name__ == "__main__":
    main(*sys.argv[1:])
