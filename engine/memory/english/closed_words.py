"""Tags for words of the closed classes, some of which belong to several: "that", "her", "down"."""

from __future__ import annotations

from .closed import (
    ADVERBS,
    ASKING,
    AUXILIARIES,
    CONJUNCTIONS,
    COUNTED,
    DETERMINERS,
    GIVEN,
    HAVE,
    JOINING,
    MODALS,
    NEGATIONS,
    NUMBERS,
    PLAIN_ADVERBS,
    PREPOSITIONS,
    PRONOUNS,
    SUBORDINATORS,
)
from .context import Context
from .verbs import STEMS, is_ing, is_past, stem_of_s

OBJECTS = GIVEN | NUMBERS  # what begins the object of "has"


class ClosedWords(Context):
    """Decides by the words around."""

    def clitic(self, i: int) -> str:
        low, before = self.low(i), self.tags[i - 1] if i else "."
        if low == "n't":
            return "T"
        if low not in {"'s", "'"}:
            return "A"
        if before not in {"E", "N"}:
            return "A"
        after = self.low(i + 1)
        auxiliary = (
            after in DETERMINERS | {"not", "been"} or is_ing(after) or (after in PREPOSITIONS and after != "like")
        )
        return "A" if low == "'s" and auxiliary else "B"

    def closed(self, i: int) -> str:
        low, before, after = self.low(i), self.before(i), self.low(i + 1)
        if low == "not" and after in {"far", "long"} and self.low(i + 2) in {"from", "after", "before"}:
            return "R"
        if low in NEGATIONS:
            return "I" if low == "without" else "T"
        if low == "that":
            return self.that(i)
        if low == "her":
            return "K" if self.ends_phrase(i + 1) and after not in NUMBERS else "D"
        if low in ASKING:
            return "W"
        if low == "to":
            verb = after in STEMS and self.low(i + 2) not in {"of"} and not self.words[i + 1].capital
            return "O" if verb or after in {"be", "have", "do"} else "I"
        if low == "like" and (before in {"K", "O"} or self.low(i - 1) in MODALS):
            return "V"
        if low in AUXILIARIES:
            return self.auxiliary(i)
        if low in NUMBERS or (low == "one" and before != "D"):
            return "Q"
        if low in DETERMINERS:
            if low in {"all", "both", "each", "this", "that", "another", "either", "some", "any", "one"}:
                return "D" if not self.ends_phrase(i + 1) or after in COUNTED else "K"
            return "D"
        if low in PRONOUNS:
            return "K"
        if low in CONJUNCTIONS:
            return "C"
        if low == "as" and self.low(i - 1) == "known":
            return "I"
        if low == "as" and not self.verb_ahead(i + 1):
            return "I"  # "red as a tomato"
        if low in {"before", "after", "since", "until", "till", "as", "than"} or low in SUBORDINATORS:
            return "N" if low == "while" and before == "D" else "R" if low in {"so", "once"} else "S"
        inner = self.tags[-1:] in (["D"], ["Q"]) or (self.tags[-1:] == ["J"] and "D" in self.tags[-4:])
        if low in PLAIN_ADVERBS and inner:
            return "N" if self.ends_phrase(i + 1) else "J"  # "the old well", "a long brown coat"
        return self.particle(i) if low in PREPOSITIONS else "R"

    def verb_ahead(self, i: int) -> bool:
        """True if a verb comes before the next mark."""
        for word in self.words[i:]:
            if word.mark:
                return False
            if is_past(word.low) or word.low in AUXILIARIES or word.low == "if" or stem_of_s(word.low):
                return True
        return False

    def that(self, i: int) -> str:
        if self.before(i) in {"N", "E", "K"} and self.tags and self.tags[-1] != "R":
            return "W"
        if self.before(i) in {"V", "A", "O", "Z", "J"} and self.words[i + 1 : i + 2] and self.words[i + 1].capital:
            return "S"
        if self.before(i) in {"V", "A", "O", "Z", "J"} and not self.ends_phrase(i + 2):
            return "S"
        return "D" if not self.ends_phrase(i + 1) else "S"

    def auxiliary(self, i: int) -> str:
        """ "has a hat", "did it": with an object of its own an auxiliary is a verb; so it is for us, too."""
        low = self.low(i)
        if low in HAVE and self.low(i + 1) in OBJECTS:
            return "V" if low != "having" else "G"
        if low in {"being", "having"}:
            return "G"
        return "A"

    def particle(self, i: int) -> str:
        """A preposition, or the adverb of the same form: "ran out." "lay down and slept" "down in the cellar"."""
        low, after = self.low(i), self.low(i + 1)
        if low not in ADVERBS:
            return "I"
        if i + 1 >= len(self.words) or self.words[i + 1].mark or after in JOINING:
            return "R"
        if after in PREPOSITIONS and after not in ADVERBS | {"between"}:
            return "R"
        if after in PREPOSITIONS and self.low(i + 2) in DETERMINERS:
            return "R"
        return "R" if after in PLAIN_ADVERBS or after.endswith("ly") else "I"
