"""Log lines of the service, on standard error."""

from __future__ import annotations

import logging


def set_up_logs(level: str, *, access: bool = True) -> None:
    """Show lines of the service and of uvicorn from ``level`` on; those of other libraries from warnings on."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING, force=True)
    for name in ("acdc", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
    if not access:
        logging.getLogger("acdc.serve.access").setLevel(logging.CRITICAL)
