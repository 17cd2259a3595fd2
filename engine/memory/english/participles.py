"""Past forms that are not finite verbs: "a bear called Bo", "a meadow dotted with flowers"."""

from __future__ import annotations

from .context import STOPS, Context
from .kinds import word_set
from .verbs import PARTICIPLES, is_ed

NAMING = word_set("named called nicknamed known")


class Participles(Context):
    """Looks at the tags once all words have one."""

    def mark_participles(self) -> None:
        """A past form is a participle where it names ("a bear called Bo") or its clause has another verb."""
        for i, tag in enumerate(self.tags):
            after = self.tags[i + 1] if i + 1 < len(self.tags) else "."
            if tag == "V" and self.low(i) in NAMING and after in {"E", "I", "S"} and self.tags[i - 1] in {"N", ","}:
                self.tags[i] = "Z"
        for i, tag in enumerate(self.tags):
            past = tag == "V" and i and (is_ed(self.low(i)) or self.low(i) in PARTICIPLES)
            if past and self.tags[i - 1] in {"N", ",", "R"} and (self.another_verb(i) or self.with_before(i)):
                self.tags[i] = "Z"

    def with_before(self, i: int) -> bool:
        """ "With his trunk held high": the noun before word ``i`` is led in by "with"."""
        j = i - 1
        while j > 0 and self.tags[j] in {"N", "J", "D", "B", "R", "Q"}:
            j -= 1
        return self.low(j) == "with"

    def another_verb(self, i: int) -> bool:
        """True if the clause of word ``i`` has its verb elsewhere."""
        if not (i + 1 < len(self.tags) and self.tags[i + 1] in {"I", "R"}):
            return False
        depth = 0
        for j in range(i + 1, len(self.tags)):
            tag = self.tags[j]
            if tag in STOPS or tag in {"C", "S", ","}:
                break
            if tag == "W":
                depth += 1
            elif tag in {"V", "A"} and self.tags[j - 1] != "O":
                if not depth:
                    return True
                depth -= 1
        inside = False  # in a phrase that a preposition began, after the clause's own verb
        for j in range(i - 1, -1, -1):
            tag = self.tags[j]
            if tag in STOPS or tag in {"S", "W"} or (tag == "C" and self.tags[j + 1] in {"V", "D", "E", "K"}):
                return False
            inside = inside or tag == "I"
            if tag in {"V", "A"}:
                return inside or (self.tags[i - 1] == "N" and tag == "V")
        return False
