"""Finds the protagonist of a story: a name, a kind, or both."""

import re
from dataclasses import dataclass
from itertools import pairwise

from .lexicon import KINDS, PAIR_KINDS, VISIBLE, word_set
from .words import Word, Words, split_words

NOT_NAMES = word_set(
    """
    the a an he she it they his her its their him them i we you my your our this that these those there here
    suddenly finally then next later soon meanwhile afterwards eventually now once after before while when as with
    without in on at by near under over through from to into across behind beside inside outside and but or so yet
    if because until since just still even every all some one two three many few no not with what who where why
    past among around down up off along above below beneath against during like see both for between of after
    toward towards onto upon within yesterday today tonight tomorrow again perhaps maybe instead together overhead
    nearby somewhere elsewhere outdoors indoors yes oh ah hello look meet please
    """
)
LY_NAMES = word_set("molly lily billy polly willy emily sally milly tilly holly kelly dolly wally lilly")
CALLS = (["named"], ["called"], ["by", "the", "name", "of"], ["whose", "name", "was"], ["whose", "name", "is"])
DATING = word_set("in on at during since until")  # of places and days, not of heroes: "In Paris, the cat sat"
STATES = word_set(
    "was is were sat sits stood stands lay lies ran runs went goes saw sees found finds took takes woke wakes slept"
    " sleeps spun spins leapt sprang flew flies swam swims kept keeps felt feels began begins came comes has had"
    " loves lives loved lived likes wanted wants looks jumps barks rests walks trots waits hops"
)


@dataclass(frozen=True)
class Subject:
    """Who a story is about; at least one of ``name`` and ``kind`` is set."""

    name: str | None
    kind: str | None
    look: str | None = None  # an adjective one can see ("black")

    @property
    def short(self) -> str:
        """How the subject is called within a sentence: "Benny", or "the rabbit"."""
        return self.name or f"the {self.kind}"

    @property
    def full(self) -> str:
        """Name and kind at the head of a prompt: "Benny the beagle", "The rabbit", "Max"."""
        kind = " ".join(word for word in (self.look, self.kind) if word)
        if self.name and self.kind:
            return f"{self.name} the {kind}"
        return self.name or f"The {kind}"


def find_subject(sentence: str, known: Subject | None = None) -> Subject | None:
    """The protagonist after ``sentence``: ``known``, completed by a name or a kind that ``sentence`` reveals."""
    if known is not None and known.name and known.kind:
        return known
    words = split_words(sentence)
    named = _named_kind(words) or _kind_named(words) or _name_is_kind(words)
    if known is None:
        return named or _plain_kind(words) or _bare_name(words)
    if known.kind and named and named.kind == known.kind:
        return Subject(named.name, known.kind, known.look or named.look)
    if known.name and named and named.name == known.name:
        return named
    if known.kind and not known.name and words and (bare := _bare_name(words[:4])) is not None:
        return Subject(bare.name, known.kind, known.look)  # "A rabbit sat." ... "Thumper hopped."
    if known.name and (plain := _plain_kind(words)) and words and words[0].low == "the":
        return Subject(known.name, plain.kind, plain.look)  # "Max ran." ... "The corgi barked."
    return known


def kind_at(words: Words, i: int) -> tuple[str, int] | None:
    """The kind that begins at word ``i`` and its number of words."""
    if i + 1 < len(words) and words[i + 1].joined and (pair := f"{words[i].low} {words[i + 1].low}") in PAIR_KINDS:
        return pair, 2
    return (words[i].low, 1) if i < len(words) and words[i].low in KINDS else None


def is_name(word: Word) -> bool:
    """True for a capitalised word that is not a common sentence opener."""
    if not word.capital or word.low in NOT_NAMES or word.low in KINDS:
        return False
    return word.low in LY_NAMES or not word.low.endswith(("ly", "ing"))


def _look(words: Words) -> str | None:
    return next((word.low for word in reversed(words) if word.low in VISIBLE), None)


def _listed_kind(words: Words, start: int, reach: int = 5) -> tuple[str, str | None, int] | None:
    """The listed kind within ``reach`` words from ``start``, the look before it, and the index after it."""
    for i in range(start, min(start + reach, len(words))):
        if i > start and not (words[i].joined or words[i].gap.strip() == ","):
            return None
        if (kind := kind_at(words, i)) is not None:
            return kind[0], _look(words[start:i]), i + kind[1]
    return None


def _named_kind(words: Words) -> Subject | None:
    """ "Benny the beagle", "Baxter, the adventurous golden retriever,", "Luna, a young fox,"."""
    for i in range(len(words) - 2):
        article = words[i + 1]
        comma = article.gap.strip() == ","
        if not is_name(words[i]) or not (article.joined or comma):
            continue
        if article.low != "the" and not (comma and article.low in {"a", "an"}):
            continue
        if comma and i > 0 and words[i].joined and words[i - 1].low in DATING:
            continue
        if not words[i + 2].joined:
            continue
        name = re.sub(r"['’]s$", "", words[i].text)
        if (listed := _listed_kind(words, i + 2)) is not None:
            return Subject(name, listed[0], listed[1])
        if comma and (kind := _last_before_comma(words, i + 2)) is not None:
            return Subject(name, kind)
        if not comma and words[i + 2].text.islower() and _verb_after(words, i + 2):
            return Subject(name, words[i + 2].low)
    return None


def _verb_after(words: Words, i: int) -> bool:
    if i + 1 >= len(words):
        return False
    return words[i + 1].gap.strip() == "," or words[i + 1].low in STATES or _past(words[i + 1].text)


def _last_before_comma(words: Words, start: int) -> str | None:
    for i in range(start, min(start + 5, len(words) - 1)):
        if words[i + 1].gap.strip() == ",":
            return words[i].low
        if not words[i + 1].joined:
            return None
    return None


def _kind_named(words: Words) -> Subject | None:
    """ "a small corgi named Max", "the knight called Ada", "a fox by the name of Luna", "the dog was named Max"."""
    for i in range(1, len(words) - 1):
        at = next((i + len(call) for call in CALLS if [word.low for word in words[i : i + len(call)]] == call), None)
        if at is None or at >= len(words) or not words[at].capital:
            continue
        end = i - 1 if words[i - 1].low in {"is", "was"} else i
        for back in range(max(0, end - 5), end):
            listed = _listed_kind(words, back)
            if listed is not None and listed[2] == end:
                return Subject(words[at].text, listed[0], listed[1])
        before = words[end - 1].low if end > 0 else ""
        return Subject(words[at].text, None if not before or before in NOT_NAMES | STATES else before)
    return None


def _name_is_kind(words: Words) -> Subject | None:
    """ "Luna was a young fox", "Tilda, who is a merry fox, rested"."""
    for i in range(len(words) - 2):
        at = i + 2 if words[i + 1].low in {"who", "that"} else i + 1
        lows = [word.low for word in words[at : at + 2]]
        if is_name(words[i]) and len(lows) == 2 and lows[0] in {"is", "was"} and lows[1] in {"a", "an", "the"}:
            listed = _listed_kind(words, at + 2)
            if listed is not None:
                return Subject(words[i].text, listed[0], listed[1])
    return None


def _plain_kind(words: Words) -> Subject | None:
    """ "A rabbit was in ...", "The curious rabbit hopped ..."; the earliest one of the sentence."""
    for i, word in enumerate(words):
        if word.low in {"a", "an", "the", "one", "this"} and (listed := _listed_kind(words, i + 1, 4)) is not None:
            return Subject(None, listed[0], listed[1])
    return None


def _bare_name(words: Words) -> Subject | None:
    """A capitalised word in front of something like a verb: "Max stopped and sniffed"."""
    for name, verb in pairwise(words):
        if is_name(name) and verb.joined and verb.text.isascii() and (verb.low in STATES or _past(verb.text)):
            return Subject(name.text, None)
    return None


def _past(text: str) -> bool:
    return text.islower() and len(text) > 4 and text.endswith("ed")
