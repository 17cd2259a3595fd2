"""The head of a prompt: who, where and when, as much of it as a text encoder takes besides the sentence."""

from __future__ import annotations

from .english.words import split_words
from .state import State
from .times import is_night

# A CLIP text encoder reads 77 tokens, begin and end among them; what is beyond is cut off at the end.
TOKENS = 75
HEAD_TOKENS = 36


def head(state: State, sentence: str = "") -> str:
    """ "Benny the beagle in a vibrant garden at night.", shortened until it fits in front of ``sentence``.

    Weather and what lies on or around the place go first, then the time of day, then clothes; never the hero or the
    place itself.
    """
    texts = _heads(state)
    rest = count_tokens(sentence)
    return next((t for t in texts if count_tokens(t) <= HEAD_TOKENS and count_tokens(t) + rest <= TOKENS), texts[-1])


def count_tokens(text: str) -> int:
    """A cautious guess at the tokens of a byte-pair encoder: four letters a token, a byte each beyond ASCII."""
    words = split_words(text)
    return sum(-(-len(w.text) // 4) if w.text.isascii() else len(w.text.encode("utf-8", "replace")) for w in words)


def _heads(state: State) -> list[str]:
    """The head in full, and ever shorter ones."""
    assert state.subject is not None
    who, wears = state.subject.full, state.subject.wears
    place, short = (state.setting.phrase, state.setting.short) if state.setting else ("", "")
    time = "" if state.time.phrase == "at night" and is_night(place) else state.time.phrase
    weather = "" if state.time.weather.rpartition(" ")[2] in place.split() else state.time.weather
    choices = [
        (who, wears, place, time, weather),
        (who, wears, short, time),
        (who, wears, short),
        (who, short),
    ]
    return [" ".join(part for part in parts if part).rstrip(",") + "." for parts in choices]
