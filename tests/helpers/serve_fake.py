"""A server whose workers have the fake engine: ``python tests/helpers/serve_fake.py '{"data": ...}'``."""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

if __name__ == "__main__":
    from acdc.engine.server.serve import serve
    from acdc.engine.server.settings import read_settings

    worker = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
    sys.exit(serve(read_settings(**json.loads(sys.argv[1])), worker))
