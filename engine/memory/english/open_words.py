"""Tags for all other words: a phrase takes words until it has a noun, a clause needs a verb."""

from __future__ import annotations

from .adjectives import PLAIN, is_adjective
from .closed import AUXILIARIES, DETERMINERS, HAVE, MODALS, PREPOSITIONS, SUBJECT_PRONOUNS
from .context import STOPS, Context
from .kinds import word_set
from .nouns import is_kind, is_plural
from .verbs import IRREGULAR_PAST, PARTICIPLES, STEMS, is_ed, is_ing, is_past, stem_of_s

NOUNS_TOO = word_set("shed saw rose dove")


class OpenWords(Context):
    """Decides by the tags before and the word's own form."""

    def open(self, i: int) -> str:
        """A noun, an adjective or a verb: a phrase takes words until it has a noun, a clause needs a verb."""
        low, before, last = self.low(i), self.before(i), self.tags[-1] if self.tags else "."
        if before == "A":
            return self.after_auxiliary(i)
        if before == "T":
            if self.low_before(i) in {"never", "hardly"} and is_past(low) and not self.auxiliary_before(i):
                return "V"
            return self.after_auxiliary(i) if self.clause_has_verb(i) or is_past(low) else self.nominal(i)
        if before == "O":
            return "V"
        if (before == "K" and self.subject_before(i)) or (before == "W" and self.low_before(i) != "whose"):
            return self.after_pronoun(i)
        if before in {"D", "Q", "J", "B"} or (before == "I" and last == "I"):
            return self.nominal(i)
        if before in {"N", "E", ")"}:
            return self.after_noun(i)
        if before in STOPS or before in {",", "C", "S", "(", "-", "–", "—", '"', "”", "“"}:
            return self.after_break(i)
        if before == "I":
            return self.nominal(i)
        if is_ing(low):
            return "G"
        if is_ed(low) or (low in PARTICIPLES and self.ends_phrase(i + 1)):
            return "Z"
        return self.nominal(i)

    def subject_before(self, i: int) -> bool:
        return self.low_before(i) in SUBJECT_PRONOUNS | word_set(
            "someone somebody something everyone everybody everything nobody nothing there"
        )

    def auxiliary_before(self, i: int) -> bool:
        return any(tag == "A" for tag in self.tags[max(0, i - 3) : i])

    def after_auxiliary(self, i: int) -> str:
        low = self.low(i)
        auxiliary = next((self.low(j) for j in range(i - 1, -1, -1) if self.tags[j] == "A"), "")
        if auxiliary in MODALS or auxiliary in {"'ll"}:
            return "V" if self.tags[i - 1] != "D" else self.nominal(i)
        if is_ing(low):
            return "G"
        if is_ed(low) or low in PARTICIPLES or (auxiliary in HAVE and low in IRREGULAR_PAST):
            return "Z"
        return self.nominal(i)

    def after_pronoun(self, i: int) -> str:
        """After "he" or "who": the verb, unless a noun begins a clause of its own ("that snow had covered")."""
        low = self.low(i)
        if is_past(low) or stem_of_s(low) or low in STEMS or low.endswith("ed"):
            return "V"
        if self.low(i + 1) in AUXILIARIES or is_past(self.low(i + 1)):
            return self.nominal(i)
        return "G" if is_ing(low) else "J" if is_adjective(low) else "V"

    def nominal(self, i: int) -> str:
        low = self.low(i)
        goes_on = not self.ends_phrase(i + 1) or (self.low(i + 1) in {"and", ","} and is_adjective(self.low(i + 2)))
        if is_ing(low) and self.before(i) == "I":
            return "G" if self.ends_phrase(i + 1) or is_adjective(low) is False else "J"
        more = not self.ends_phrase(i + 1)
        if is_adjective(low) and (goes_on or self.before(i) in {"A", "T"} or (low in PLAIN and self.before(i) == "V")):
            return "J"
        if (is_ed(low) or is_ing(low) or low in PARTICIPLES) and more and not is_kind(low):
            return "J"
        return "N"

    def after_noun(self, i: int) -> str:
        low = self.low(i)
        if is_ing(low):
            return "G"
        if low in PARTICIPLES and not is_past(low) and self.low(i + 1) in {"as", "by", "in", "to"}:
            return "Z"  # "a goose known as Matilda"
        if low in NOUNS_TOO and self.led(i) and self.ends_phrase(i + 1):
            return "N"  # "behind the garden shed,"
        if is_past(low):
            return "V" if self.can_be_verb(i) else self.nominal(i)
        stem = stem_of_s(low)
        if stem and self.singular_before(i) and (self.ends_phrase(i + 1) or not self.clause_has_verb(i)):
            return "V"
        if low in STEMS and self.plural_before(i) and not self.clause_has_verb(i):
            return "V"
        if low in STEMS and self.asked_before(i):
            return "V"  # "Where did the ferret sleep?"
        if self.before(i) == "E" and not is_adjective(low) and low.endswith("s") and self.ends_phrase(i + 1):
            return "V" if not self.clause_has_verb(i) and not is_kind(low) else "N"
        if is_adjective(low) and self.before(i) == "N" and self.low(i + 1) in {"with", "of", "as", "for"}:
            return "J"  # "a forest vibrant with fireflies"
        return self.nominal(i)

    def led(self, i: int) -> bool:
        """True if a preposition leads the noun phrase that ends before word ``i``."""
        j = i - 1
        while j >= 0 and self.tags[j] in {"N", "J", "D", "Q", "B"}:
            j -= 1
        return j >= 0 and self.tags[j] == "I"

    def can_be_verb(self, i: int) -> bool:
        """True if a past form after a noun is a verb; "a stone paved yard" has a noun to come and no verb yet."""
        if self.ends_phrase(i + 1) or self.words[i + 1].capital:
            return True
        later = next((j for j in range(i + 1, len(self.words)) if self.ends_phrase(j)), len(self.words))
        return not any(is_past(self.low(j)) for j in range(i + 1, later))

    def singular_before(self, i: int) -> bool:
        j = i - 1
        while j >= 0 and self.tags[j] == "R":
            j -= 1
        if self.tags[j] == "E":
            return True
        return not is_plural(self.low(j)) and (self.low(i) not in {"pants", "leaves", "spots", "stripes"})

    def plural_before(self, i: int) -> bool:
        j = i - 1
        while j >= 0 and self.tags[j] == "R":
            j -= 1
        return self.tags[j] == "N" and is_plural(self.low(j))

    def asked_before(self, i: int) -> bool:
        for j in range(i - 1, -1, -1):
            if self.tags[j] in STOPS or self.tags[j] == "V":
                return False
            if self.tags[j] == "A":
                return self.low(j) in MODALS
        return False

    def after_break(self, i: int) -> str:
        """After a comma, "and", "while" or a full stop: a verb that shares the last subject, or a new phrase."""
        low, before = self.low(i), self.before(i)
        if low in STEMS and self.starts(i) and self.low(i + 1) in DETERMINERS:
            return "V"  # "Leave the path"
        if is_ing(low):
            return "G" if not (self.starts(i) and self.low(i + 1) in {"of"}) else "N"
        shares = before in {",", "C", "-", "–", "—", ")", '"', "”"}
        if shares and is_past(low) and low != "left":
            return "V"
        if shares and stem_of_s(low) and self.clause_has_verb(i) and self.ends_phrase(i + 1):
            return "V"
        if is_ed(low) or (low in PARTICIPLES and low in IRREGULAR_PAST and self.low(i + 1) in PREPOSITIONS):
            return "Z"
        return self.nominal(i)
