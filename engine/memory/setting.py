"""Finds where (and whether by night) a sentence takes place."""

from dataclasses import dataclass

from .lexicon import BY_PLACES, COLD, DAY, NIGHT, ON_PLACES, PLACE_FAMILIES, word_set
from .words import Words, split_words

STILL = word_set("in at on by near beside inside within under along amid outside")
MOVING = word_set("through across into over around onto above beyond to below")
ARRIVING = word_set("reached entered reaching entering found visited explored exploring crossed crossing")
LOOKING = word_set(
    "captivated fascinated look looked looking gaze gazed gazing stare stared staring peer peered peering glance"
    " barked bark glanced gazes looks stares hooted howled meowed called growled"
    " leaped jumped leapt sprang hopped vaulted"
)
PARTS = word_set("edge side heart middle shore shores bank banks border end corner foot top base center")
WEAK = word_set("with from toward towards behind beneath against")
LEADS = STILL | MOVING | ARRIVING | WEAK | {"of"}
ARTICLES = word_set("a an the his her its their this that")
# Place nouns in these company words are something else: "garden path" is in the garden, "sea breeze" is no sea.
WITHIN = word_set("bench path gate floor fence grass wall trail pavilion lawn ground bed beds")
APART = word_set("breeze air ball man boots gnome hose owl cat fox scent smell song sounds light bird horse")


@dataclass(frozen=True)
class Setting:
    """A setting as it is told: ``phrase`` reads on from the protagonist ("in a vibrant garden")."""

    phrase: str
    family: str


def find_setting(sentence: str, known: Setting | None = None) -> Setting | None:
    """The newest setting: one that ``sentence`` states, else ``known``."""
    words = split_words(sentence)
    nouns = [i for i, word in enumerate(words) if word.low in PLACE_FAMILIES and word.text.islower()]
    for weak in (False, True) if known is None else (False,):  # any hint is better than no setting at all
        for i in nouns:
            found = _phrase_ending_at(words, i, weak)
            if found is not None and (known is None or found.family != known.family):
                return found
    return known


def find_time(sentence: str, known: str | None = None) -> str | None:
    """``"night"`` or ``"day"`` where ``sentence`` says so, else ``known``."""
    lows = {word.low for word in split_words(sentence)}
    if lows & NIGHT or {"stars", "sky"} <= lows or {"under", "stars"} <= lows:
        return "night"
    return "day" if lows & DAY else known


def _phrase_ending_at(words: Words, i: int, weak: bool) -> Setting | None:
    noun, after = words[i], words[i + 1] if i + 1 < len(words) else None
    within = False
    if after is not None and after.joined:
        if after.low == "of" and noun.low in PARTS:
            return None  # "the shore of a lake" is told by "lake"
        if after.low in APART or after.low in PLACE_FAMILIES:
            return None
        within = after.low in WITHIN
    first = i  # first word of the noun phrase, article included
    while first > 0 and i - first < 6 and words[first - 1].low not in LEADS:
        if not (words[first].joined or words[first].gap.strip() == ","):
            return None
        first -= 1
        if words[first].low in ARTICLES:
            break
    head = first - 1
    if head < 0 or not words[first].joined:
        return None
    lead, said = words[head].low, words[first : i + 1]
    if lead == "of" and head >= 1 and words[head - 1].low in PARTS:
        return _part_of(words, head, said)
    if weak and lead in LEADS - {"of"}:
        return _told(noun.low, "in" if within else lead, said)
    if lead in MOVING | ARRIVING | STILL and not _only_looked_at(words, head):
        return _told(noun.low, "in" if within else lead, said)
    return None


def _part_of(words: Words, of: int, said: Words) -> Setting:
    start = of - 1
    while start > 0 and of - start < 4 and words[start].low not in ARTICLES:
        start -= 1
    lead = words[start - 1].low if start > 0 else "at"
    part = " ".join(word.text.lower() for word in words[start : of + 1])
    lead = lead if lead in STILL else "at"
    return Setting(f"{lead} {part} {_noun_phrase(said)}", _family(said))


def _told(noun: str, lead: str, said: Words) -> Setting:
    if lead not in STILL:
        lead = "by" if noun in BY_PLACES else "on" if noun in ON_PLACES else "in"
    return Setting(f"{lead} {_noun_phrase(said)}", _family(said))


def _noun_phrase(said: Words) -> str:
    """Article, at most the last three adjectives, noun; "the" becomes no "a": the user's words are kept."""
    texts = [word.text for word in said]
    if texts[0].lower() in ARTICLES and len(texts) > 5:
        texts = [texts[0], *texts[-4:]]
    article = texts[0].lower()
    if article in {"a", "an"} and len(texts) > 1:
        texts[0] = "an" if texts[1][0].lower() in "aeiou" else "a"
    elif article in {"his", "her", "its", "their", "this", "that"}:
        texts[0] = "the"
    return " ".join(texts)


def _family(said: Words) -> str:
    return "snow" if any(word.low in COLD for word in said) else PLACE_FAMILIES[said[-1].low]


def _only_looked_at(words: Words, head: int) -> bool:
    """True for "gazed at the lake" and "leaped over the pond": the protagonist is elsewhere."""
    before = {word.low for word in words[max(0, head - 2) : head]}
    return words[head].low in {"at", "by", "over", "across", "to", "beyond", "into"} and bool(before & LOOKING)
