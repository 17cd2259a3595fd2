"""A worker process with the fake engine: ``python tests/helpers/fake_worker.py ID``, as a server starts it."""

import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

if __name__ == "__main__":
    from acdc.engine.server.worker.start import start
    from tests.helpers.fake_serving import FakeServing

    code = start(sys.argv[1], lambda settings: FakeServing(), {})  # type: ignore[arg-type, return-value]
    sys.stderr.flush()
    os._exit(code)
