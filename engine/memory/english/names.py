"""Recognise names among capitalised words."""

from __future__ import annotations

from .adjectives import is_adjective
from .closed import AUXILIARIES, CLOSED, DETERMINERS, GIVEN
from .first_names import FEMALE_NAMES, MALE_NAMES
from .kinds import KINDS, word_set
from .nouns import NATURE, TIMES, WEATHERS, is_kind, is_plural, singular
from .places import PLACE_FAMILIES
from .verbs import STEMS, is_ed, is_ing, is_past, stem_of_s
from .words import Words

TITLES = word_set(
    """
    mr mrs ms miss dr mr. mrs. ms. dr. st. prof. capt. sgt. sir lady lord captain professor doctor king queen prince
    princess grandpa grandma granny uncle aunt auntie detective sergeant general major colonel father mother brother
    sister saint mister madam master inspector admiral president emperor empress count countess duke duchess baron
    """
)
OPENERS = word_set(
    """
    suddenly finally then next later soon meanwhile afterwards eventually now once look meet see imagine picture
    behold watch consider say tell let come go here there today tonight tomorrow yesterday oh ah hello hey wow yes no
    dozens hundreds thousands lots plenty please good dear hooray sorry thanks happy merry welcome maybe perhaps
    """
)
FIRST_NAMES = FEMALE_NAMES | MALE_NAMES
NEVER_HEROES = NATURE | TIMES | WEATHERS
COMMON = STEMS | KINDS


def opens_as_name(words: Words, i: int) -> bool:
    """True if the capitalised word ``i`` at the beginning of a sentence is a name.

    "Luna" in "Luna sat", "Snowy the goat" or "Misty trotted" is; "Sparrows", "Rain" and "Suddenly" are not.
    """
    low = words[i].low
    following = words[i + 1 : i + 4]
    after = following[0].low if following else ""
    if low in CLOSED or low in OPENERS:
        return False
    if _is_used_as_name(words, i):
        return True
    if low in STEMS and after in DETERMINERS:
        return False  # "Leave the path"
    if low in TITLES:
        return bool(following) and following[0].capital
    if low in FIRST_NAMES:
        return True
    if is_adjective(low) and following and (following[0].capital or is_kind(after)):
        return False  # "Old Silas", "Little Mimi", "Brave knights"
    if (low.endswith("ly") and len(low) > 5) or is_ing(low) or (is_ed(low) and after in CLOSED):
        return False
    if low in NEVER_HEROES or low in PLACE_FAMILIES:
        return False
    if is_kind(low) and (is_plural(low) or not _verb_follows(words, i)):
        return False
    if is_kind(low):
        return True
    if low.endswith("s") and singular(low) in COMMON and not stem_of_s(after):
        return False
    return not (is_adjective(low) and not _verb_follows(words, i))


def _is_used_as_name(words: Words, i: int) -> bool:
    """ "Snowy the goat", "Rain, a horse," "Paws and Claws, two cats", "Honey's tail"."""
    after = [word.low for word in words[i + 1 : i + 4]]
    if len(after) < 2:
        return False
    if after[0] == "the" and not is_plural(words[i].low):
        return words[i].low not in STEMS or is_kind(after[1]) or (len(after) > 2 and is_kind(after[2]))
    if after[0] == "and" and words[i + 2].capital and not is_plural(words[i].low):
        return True  # "Tick and Tock"
    if after[0] in {",", "(", "-", "–", "—"} and after[1] in GIVEN:
        return not words[i].low.endswith("ly") and words[i].low not in TIMES
    return after[0] == "'s" and words[i].low not in NATURE


def _verb_follows(words: Words, i: int) -> bool:
    after = words[i + 1].low if i + 1 < len(words) else ""
    return is_past(after) or after in AUXILIARIES or bool(stem_of_s(after)) or after == "'s"
