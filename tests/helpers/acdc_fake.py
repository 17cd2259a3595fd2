"""The command ``acdc`` with a fake engine, in a process that loads no torch: ``python tests/helpers/acdc_fake.py story
...``. ``FAKE_FRAME_S`` is how long a frame takes."""

import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]
COMMAND = [sys.executable, __file__]

if __name__ == "__main__":
    from acdc.engine.cli import generate, story
    from acdc.engine.cli.main import main
    from tests.helpers import fake_engine, fake_frame, fake_many

    def slow_draw(*arguments: Any) -> Any:
        time.sleep(float(os.environ.get("FAKE_FRAME_S", "0")))
        return fake_frame.draw(*arguments)

    def slow_next_frame(*arguments: Any) -> Any:
        time.sleep(float(os.environ.get("FAKE_FRAME_S", "0")))
        return fake_frame.next_frame(*arguments)

    fake_engine.draw, fake_many.next_frame = slow_draw, slow_next_frame
    story.load_engine = generate.load_engine = lambda given, **_: fake_many.FakeMany()  # type: ignore[assignment]
    sys.exit(main())
