"""The house's language: the field's terms and plain English, in code and prose.

Each rule names a habit that readers stumbled over (docs/log.md, "Plain English") and what to write instead. A hit that
must stay, such as a story's sentence or a key of a JSON file on disk, is listed in ``ALLOWED``.
"""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RULES = {  # rule: (pattern, what to write instead)
    "hangs on": (r"\bhang(s|ing)? on\b", "depends on"),
    "is no X": (r"(?<!here )(?<!ere )\b(is|are) no (?!longer|more|less|better|other|one\b)\w", "is not an X"),
    "so many": (r"\bso (many|often)\b", "that number of, that many"),
    "anew": (r"\banew\b", "again, from scratch"),
    "behind": (r"\bbehind\b", "after, behind only in space"),
    "beside": (r"\bbeside\b", "concurrently, next to, with"),
    "what cannot be": (r"\bwhat (cannot|could not) be\b", "impossible, invalid"),
    "for want of": (r"\bfor want of\b", "without, because X is missing"),
    "lets go": (r"\blets? go\b", "releases"),
    "stands": (r"\b(stands?|stood|standing)\b(?!-)", "is, replaces (stands in), represents (stands for)"),
    "told": (r"\btold\b", "a name that says what the variable holds"),
    "seat": (r"\bseats?\b", "sequence, SequenceState"),
    "company": (r"\bcompany\b", "batch"),
    "whoever": (r"\bwhoever\b", "name the subject"),
    "of ours": (r"\bof ours\b", "our, or the name"),
    "Of ...": (r"(^|[.;]\s+|\"\"\"|# |help=f?\")Of (?!course)", "a sentence with a subject"),
    "What ... is": (r"(\"\"\"|help=f?\")(What|Who|Where|How|Whether)\b", "a noun phrase or an imperative"),
    "private names": (
        r"\b(Seat|Company|Tally|walks_of|let_go|kerneled|RUN_OURS)\b",
        "house names, see docs/architecture.md",
    ),
}
ALLOWED = {  # path: the rules that do not count there
    "bench/storyworld/world/*.py": {"behind", "beside", "stands", "seat", "company"},  # sentences of the storyworld
    "bench/storyworld/draw/poses.py": {"stands"},  # an animal's pose
    "bench/simulator/stories.py": {"behind", "beside", "stands"},  # sentences
    "bench/simulator/cost_model.py": {"beside"},  # keys of JSON files
    "bench/overhead/table.py": {"beside"},  # a key of earlier JSON files
    "engine/examples.py": {"stands"},  # the paper's stories
    "engine/memory/prompt.py": {"stands"},  # the paper's stories
    "engine/memory/english/*.py": {"behind", "beside", "company", "stands", "told"},  # word lists
    "engine/memory/*.py": {"behind", "beside", "stands", "told"},  # word lists
    "tests/engine/memory/*.py": {"beside", "stands"},  # sentences
    "tests/bench/simulator/test_cost_model.py": {"beside"},  # keys of JSON files
    "docs/memory.md": {"beside"},  # sentences
    "tests/test_words.py": set(RULES),
}
QUOTED = re.compile(r'\| "[^"]+" \| \d+ \| \d+ \|')
SUFFIXES = (".py", ".md", ".toml", ".cpp")
LEFT_OUT = ("bench/results/", "engine/bundles/")  # measured records and weights


def texts() -> dict[str, str]:
    """Path -> text, as words, of every file of the repository that people write."""
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    listed = git.stdout.split() or [  # a source archive has no index
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.*")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    names = [name for name in listed if name.endswith(SUFFIXES) and not name.startswith(LEFT_OUT)]
    return {name: as_words((ROOT / name).read_text(encoding="utf-8")) for name in names if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    found = texts()
    assert len(found) > 500, "the files of the repository are not found"
    return found


def as_words(text: str) -> str:
    """``text`` with the names of its functions as words."""
    return re.sub(r"def \w+", lambda name: name[0].replace("_", " "), text)


def hits(rule: str, text: str) -> list[int]:
    """Lines (from 1) at which a rule is broken. A row of a table that quotes the rules (docs/log.md) does not count."""
    lines = text.splitlines()
    found = [text.count("\n", 0, match.start()) for match in re.finditer(RULES[rule][0], text, re.MULTILINE)]
    return [line + 1 for line in found if not QUOTED.match(lines[line])]


@pytest.mark.long
@pytest.mark.parametrize("rule", RULES)
def test_words(rule, written):
    found = [
        f"{name}:{line}"
        for name, text in written.items()
        if not any(rule in rules for path, rules in ALLOWED.items() if fnmatch(name, path))
        for line in hits(rule, text)
    ]
    assert not found, f"write {RULES[rule][1]!r} in {', '.join(found)}"


@pytest.mark.parametrize(
    ("rule", "broken", "fine"),
    [
        ("hangs on", "it hangs on the size", "it depends on the size"),
        ("is no X", "the file is no JSON", "there is no CUDA device; it is no longer read"),
        ("so many", "of so many stories", "many stories"),
        ("Of ...", "# Of a frame.", "the draft of a frame. Often"),
        ("What ... is", '"""What a stage is."""', '"""A stage."""'),
        ("stands", "what stands there", "a stand-in"),
    ],
)
def test_a_rule_finds_its_habit(rule, broken, fine):
    assert hits(rule, broken)
    assert not hits(rule, fine)


@pytest.mark.long
def test_no_line_is_allowed_for_nothing(written):
    idle = [
        f"{path}: {rule}"
        for path, rules in ALLOWED.items()
        for rule in rules
        if path != "tests/test_words.py"
        and not any(hits(rule, text) for name, text in written.items() if fnmatch(name, path))
    ]
    assert not idle
