"""Were two frames drawn alike? By the settings that a story records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

OF_THE_MACHINE = ("device", "threads", "backend", "attention", "kernels", "init_image")


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Equal where stories are drawn alike: of all settings but those that say where and by which kernels."""
    kept = {name: value for name, value in settings.items() if name not in OF_THE_MACHINE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
