"""README's numbers are those of the result files."""

import re
from pathlib import Path

import pytest

from acdc.bench.report import BLOCK, PAGES, TABLES, render

pytestmark = pytest.mark.measuring

ROOT = Path(__file__).parents[2]


def test_pages_are_up_to_date():
    found = set()
    for name in PAGES:
        page = (ROOT / name).read_text(encoding="utf-8")
        found |= {match[2] for match in BLOCK.finditer(page)}
        assert render(page) == page, name
    assert found == set(TABLES)


def test_a_changed_number_is_noticed():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    table = BLOCK.search(page)[0]
    changed = page.replace(table, re.sub(r"\d", "9", table))
    assert render(changed) == page


def test_unknown_table_is_named():
    with pytest.raises(ValueError, match="elephants"):
        render("<!-- table: elephants -->\n<!-- end -->")
