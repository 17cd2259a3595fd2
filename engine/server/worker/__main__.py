"""``python -m acdc.engine.server.worker ID``: the settings come by standard input, which stays open."""

import os
import sys

from .kinds import EXECUTORS
from .loading import load_engine
from .start import start

if __name__ == "__main__":
    code = start(sys.argv[1], load_engine, EXECUTORS)
    sys.stderr.flush()
    os._exit(code)  # an engine that hangs keeps its threads
