"""Put the tables into README.md and docs/: ``python -m acdc.bench.report``.

A table lies between ``<!-- table: NAME -->`` and ``<!-- end -->``; the command replaces what is between. ``--check``
writes nothing and fails if a page is out of date, which a test does too.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from .tables import TABLES

PAGES = (
    "README.md",
    *(
        f"docs/{page}.md"
        for page in ("backends", "benchmarks", "correct", "many_stories", "measuring", "models", "quality", "videos")
    ),
)
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def render(page: str) -> str:
    """The page with every table made again."""

    def table(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise ValueError(f"unknown table {match[2]!r}; choose among {', '.join(TABLES)}")
        return f"{match[1]}{TABLES[match[2]]()}\n{match[3]}"

    return BLOCK.sub(table, page)


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if a page is out of date.")
def main(check: bool) -> None:
    """Bring the tables of the pages up to date."""
    root = Path(__file__).parents[1]
    for name in PAGES:
        path = root / name
        page = path.read_text(encoding="utf-8")
        made = render(page)
        if check and made != page:
            raise click.ClickException(f"{name} is out of date; run python -m acdc.bench.report")
        if not check:
            path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
