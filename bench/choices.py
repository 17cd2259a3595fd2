"""Names on a command line, with commas between."""

from __future__ import annotations

from collections.abc import Collection

import click


def chosen(text: str, known: Collection[str], what: str) -> list[str]:
    """Those of ``known`` that ``text`` names, in their own order, all where it is empty.

    Raises ``click.BadParameter`` for a name that is not known, which it calls an unknown ``what``.
    """
    asked = text.split(",") if text else known
    for name in asked:
        if name not in known:
            raise click.BadParameter(f"unknown {what} {name!r}; choose among {', '.join(known)}")
    return [name for name in known if name in asked]
