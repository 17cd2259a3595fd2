"""Asking a language model until its answer can be used, within a number of tries and a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from .optional import need
from .prompt import Messages, with_remark
from .rewrite import MemoryFailure, Refused
from .settings import TIMEOUT_S

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """``tries`` in all, those of a busy server not counted; seconds a try may take, all tries and pauses together, and
    a pause.

    One try may take all the time: a slow model is better waited for once than cut short several times. Before try n + 1
    the pause is drawn from 0 to min(``first_pause_s`` 2^(n - 1), ``longest_pause_s``): exponential back-off with full
    jitter; a server's Retry-After makes it longer. A pause that would pass the deadline is not begun. After an answer
    that came but cannot be used there is none.
    """

    tries: int = 4
    timeout_s: float = TIMEOUT_S["chat"]
    deadline_s: float = TIMEOUT_S["chat"]
    first_pause_s: float = 1.0
    longest_pause_s: float = 10.0

    def within(self, seconds: float | None) -> Limits:
        """These, with ``seconds`` for a try and for all of them; None changes nothing."""
        return self if seconds is None else replace(self, timeout_s=seconds, deadline_s=seconds)


class Unreachable(Exception):
    """No answer, and a later try may get one; ``retry_after_s`` is what the server asked for."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Silent(Unreachable):
    """No answer within the time that there was."""


class Busy(Unreachable):
    """The server is there and answers later: it is asked until the deadline."""


class LanguageModel(Protocol):
    """Answers messages; ``memory`` names its kind and ``limits`` what asking it may take."""

    memory: str
    limits: Limits

    def complete(self, messages: Messages, *, timeout_s: float, temperature: float, seed: int | None) -> str:
        """The answer's text. :class:`Unreachable` or :class:`Refused` are worth another try, :class:`MemoryFailure`
        is not."""
        ...


def ask(
    model: LanguageModel,
    messages: Messages,
    parse: Callable[[str], T],
    *,
    temperature: float = 0.0,
    seed: int | None = None,
    timeout_s: float | None = None,
) -> T:
    """The first answer that ``parse`` can use, parsed; :class:`MemoryFailure` once tries or time are spent.

    ``timeout_s`` takes the place of the model's own limits in time. ``parse`` raises :class:`Refused`; the reason is
    then added to the question, so that a model that decodes greedily does not give the same answer again.
    """
    limits, began, remark = model.limits.within(timeout_s), time.monotonic(), None
    tries, busy = 0, None
    try:
        for attempt in _retrying(limits, model.memory):
            tries += 1
            with attempt:
                left = limits.deadline_s - (time.monotonic() - began)
                try:
                    answer = model.complete(
                        with_remark(messages, remark),
                        timeout_s=max(0.001, min(limits.timeout_s, left)),
                        temperature=temperature,
                        seed=seed,
                    )
                    return parse(answer)
                except Refused as refused:
                    remark = str(refused)
                    raise
                except Busy as error:
                    busy = error
                    raise
    except Silent as error:
        reason = str(busy or error)  # what a busy server said tells more than the little time that was left
    except Unreachable as error:
        reason = str(error)
    except Refused as error:
        reason = f"its answer cannot be used: {error}"
    raise MemoryFailure(f"memory {model.memory!r} failed: {reason} (after {tries} {'try' if tries == 1 else 'tries'})")


def _retrying(limits: Limits, memory: str) -> Any:
    tenacity = need("tenacity", memory)
    backoff = tenacity.wait_random_exponential(multiplier=limits.first_pause_s, max=limits.longest_pause_s)

    counted = 0

    def pause(state: Any) -> float:
        error = state.outcome.exception()
        return max(backoff(state), error.retry_after_s) if isinstance(error, Unreachable) else 0.0

    def spent(state: Any) -> bool:
        nonlocal counted
        counted += not isinstance(state.outcome.exception(), Busy)
        return counted >= limits.tries

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((Unreachable, Refused)),
        stop=tenacity.stop_any(spent, tenacity.stop_before_delay(limits.deadline_s)),
        wait=pause,
        reraise=True,
    )
