"""When a text takes place, as far as a picture shows it: time of day, season, weather."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .english.clauses import Clause, Parsed
from .english.kinds import word_set
from .english.noun_phrases import NounPhrase
from .english.nouns import DAYTIMES, SEASONS, WEATHERS
from .english.places import DAY, NIGHT

BEGINNING = word_set("began begins started starts continued")
AT = word_set(
    """
    night midnight dawn daybreak dusk twilight sunset sunrise noon midday nightfall sundown
    """
)
NIGHTS = word_set("night midnight nightfall nighttime")
FALLING = word_set(
    """
    fell falls falling drifted drifts drifting poured pours pouring began started continued swirled howled beat
    covered hung rolled came swept lashed raged
    """
)


ENDING = word_set("stopped stops ended ends cleared clears passed melted lifted faded left")
TELLING = (
    WEATHERS
    | SEASONS
    | word_set(
        """
    rainy snowy stormy foggy misty windy cloudy wet frosty icy hot cold thundery wintry summery hazy grey gray
    """
    )
)
SUNNY = word_set("sunlit sunny fine clear bright lovely beautiful nice perfect sun-drenched warm")
WHENS = DAYTIMES | SEASONS


@dataclass(frozen=True)
class Time:
    """``phrase`` is how a prompt says it ("at night", "on a foggy morning"), ``night`` and ``weather`` what it is."""

    phrase: str = ""
    night: bool = False
    weather: str = ""

    @property
    def text(self) -> str:
        """Both, as they read on from a place."""
        return " ".join(part for part in (self.phrase, self.weather) if part)


def find_time(parsed: Parsed, known: Time) -> Time:
    """The time after a text: what it says, else ``known``."""
    time = known
    for clause in parsed.clauses:
        if clause.negated:
            continue
        time = _weather(parsed, clause, time)
        for phrase in clause.phrases:
            time = _daytime(parsed, clause, phrase, time)
    lows = {word.low for word in parsed.words if not word.quoted}
    if lows & NIGHT or {"stars", "sky"} <= lows or {"under", "stars"} <= lows:
        return time if time.night or time.phrase != known.phrase else replace(time, phrase="at night", night=True)
    return replace(time, phrase="", night=False) if lows & DAY and time.night and time.phrase == known.phrase else time


def is_night(text: str) -> bool:
    """True if a phrase's own words say that it is night."""
    return bool(set(text.lower().replace(",", " ").split()) & NIGHT)


def _daytime(parsed: Parsed, clause: Clause, phrase: NounPhrase, time: Time) -> Time:
    """ "At dawn", "one winter evening", "on a stormy night", "it was midnight", "every autumn"."""
    if (
        phrase.preposition not in {"", "in", "at", "on", "during", "by", "until", "through"}
        or phrase.name
        or phrase.owner
    ):
        return time
    if not phrase.preposition and not _is_unattached(parsed, clause, phrase):
        return time
    lows = [word.low for word in phrase.modifiers]
    if phrase.head == "day":
        if not set(lows) & TELLING:
            return replace(time, phrase="", night=False) if time.night and set(lows) & {"next"} else time
    elif phrase.head not in WHENS:
        return time
    kept = [
        word.text.lower()
        for word in phrase.modifiers
        if word.low not in {"next", "first", "last", "same", "late", "early"}
    ]
    head, night = phrase.head, phrase.head in NIGHTS
    if night and not set(kept) & TELLING:
        return replace(time, phrase="at midnight" if head == "midnight" else "at night", night=True)
    if head in {"morning", "afternoon", "noon", "midday"} and kept and set(kept) <= SUNNY:
        return replace(time, phrase="", night=False)  # daylight is what a picture shows anyway; words cost attention
    if head in AT and not kept:
        return replace(time, phrase=f"at {head}", night=night)
    if head in SEASONS:
        return replace(time, phrase=f"in {' '.join([*kept, head])}", night=False)
    if not kept:
        return replace(time, phrase=f"in the {head}", night=False)
    article = "an" if kept[0][0] in "aeiou" else "a"
    return replace(
        time, phrase=f"{'at' if head in AT and not night else 'on'} {article} {' '.join([*kept, head])}", night=night
    )


def _is_unattached(parsed: Parsed, clause: Clause, phrase: NounPhrase) -> bool:
    """ "One night" and "that evening" tell when; "the night was long" and "he loved the night" do not."""
    if clause.verb is None:
        return True
    if any(p.pronoun == "it" for p in clause.phrases) and phrase.start > clause.verb:
        return True
    free = phrase.determiner in {"one", "that", "this", "every", "each", "the", ""}
    return free and phrase.start < clause.verb and phrase not in clause.subjects()


def _weather(parsed: Parsed, clause: Clause, time: Time) -> Time:
    """ "Rain was falling", "it was snowing", "in the fog", "during a thunderstorm"; "the rain stopped" ends it."""
    verb = parsed.words[clause.verb].low if clause.verb is not None else ""
    subject = next((p for p in clause.before_verb() if p.head in WEATHERS), None)
    if subject is not None:
        if verb in ENDING:
            return replace(time, weather="")
        return replace(time, weather=_in(subject)) if verb in FALLING or subject.head not in {"snow", "ice"} else time
    about = any(p.pronoun == "it" for p in clause.phrases)
    if about and verb in {"raining", "rained", "rains", "pouring"}:
        return replace(time, weather="in the rain")
    begun = {word.low for word in parsed.words[clause.verb + 1 : clause.verb + 3]} if about and clause.verb else set()
    if verb in BEGINNING and begun & {"rain", "snow", "raining", "snowing"}:
        return replace(time, weather="in the snow" if begun & {"snow", "snowing"} else "in the rain")
    if about and verb in {"snowing", "snowed", "snows"}:
        return replace(time, weather="in the snow")
    if any(p.head == "sun" for p in clause.before_verb()):
        return replace(time, weather="")
    for phrase in clause.phrases:
        falls = (phrase.head in WEATHERS - {"snow"} and not phrase.modifiers) or phrase.head in {
            "thunderstorm",
            "snowstorm",
            "blizzard",
        }
        if (
            falls
            and phrase.preposition in {"in", "into", "during", "through", "amid", "despite"}
            and phrase.definite | bool(phrase.determiner)
        ):
            return replace(time, weather=_in(phrase))
    return time


def _in(phrase: NounPhrase) -> str:
    if phrase.head in {"storm", "thunderstorm", "snowstorm", "blizzard", "sandstorm", "gale", "downpour", "shower"}:
        return f"in a {phrase.head}"
    return f"in the {phrase.head}"
