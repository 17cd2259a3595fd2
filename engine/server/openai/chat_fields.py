"""The body of ``/v1/chat/completions``: the conversation is the story, each user message a sentence of it."""

from __future__ import annotations

import zlib
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from .fields import OwnFields, honoured, ignored, refused
from .refusal import Refusal, unsupported

REFUSED = ("tools", "tool_choice", "functions", "function_call", "audio", "logprobs", "response_format", "logit_bias")
Part = dict[str, Any]


class Message(BaseModel):
    """A message; other fields of it (``name``, ``refusal``, ...) are what a client got and sends back."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None
    images: list[Part] | None = None


class Turn(NamedTuple):
    """A sentence, and the URL of the picture that the conversation has for it (None: no answer, or one without)."""

    sentence: str
    image_url: str | None


class ChatFields(OwnFields):
    """The body of ``POST /v1/chat/completions``."""

    messages: list[Message] = honoured("user messages are sentences, pictures of answers are frames", ..., min_length=1)
    model: str | None = honoured("a name that GET /v1/models lists; absent: the bundle that is served")
    stream: bool = honoured("send chat.completion.chunk events", False)
    stream_options: dict[str, Any] | None = honoured("include_usage: a last chunk has the usage")
    n: int = honoured("1", 1, ge=1)
    modalities: list[Literal["text", "image"]] | None = honoured("has image, where it is given")
    temperature: float | None = honoured("of the autoregressive model's draw")
    seed: int | None = honoured("absent: made from the first sentence, so that a story goes on as it began", ge=0)
    max_tokens: int | None = ignored("no effect: a frame's number of tokens is fixed")
    max_completion_tokens: int | None = ignored("no effect: a frame's number of tokens is fixed")
    top_p: float | None = ignored("no effect; acdc.top_p is the draw's")
    stop: Any = ignored("no effect")
    frequency_penalty: float | None = ignored("no effect")
    presence_penalty: float | None = ignored("no effect")
    user: str | None = ignored("no effect")
    safety_identifier: str | None = ignored("no effect")
    metadata: Any = ignored("no effect")
    store: bool | None = ignored("no effect")
    service_tier: str | None = ignored("no effect")
    tools: Any = refused("of models that call functions")
    tool_choice: Any = refused("of models that call functions")
    functions: Any = refused("of models that call functions")
    function_call: Any = refused("of models that call functions")
    audio: Any = refused("of models that speak")
    logprobs: Any = refused("of models that answer in words")
    logit_bias: Any = refused("of models that answer in words")
    response_format: Any = refused("of models that answer in words")

    def check(self) -> None:
        """:class:`Refusal` for values that are well-formed and cannot be met."""
        for name in REFUSED:
            if getattr(self, name) not in (None, False):
                raise unsupported(name, getattr(self, name), "leave it out; the answer is a picture")
        if self.n > 1:
            raise unsupported("n", self.n, "choose 1; the conversation goes on with one picture")
        if self.modalities is not None and "image" not in self.modalities:
            raise unsupported("modalities", self.modalities, "choose ['image', 'text']")

    def turns(self) -> list[Turn]:
        """The story so far and the sentence to draw, which is the last one and has no picture."""
        found: list[Turn] = []
        for number, message in enumerate(self.messages):
            if message.role == "user":
                found.append(Turn(text_of(message, number), None))
            elif message.role == "assistant" and found:
                found[-1] = Turn(found[-1].sentence, image_of(message) or found[-1].image_url)
        if not found:
            raise Refusal("messages have none of role user; give the sentence to draw", "messages")
        if self.messages[-1].role != "user":
            raise Refusal("the last of messages is not of role user; end with the sentence to draw", "messages")
        return found

    def story_seed(self) -> int:
        """The seed of the conversation's story."""
        return self.seed if self.seed is not None else zlib.crc32(self.turns()[0].sentence.encode())


def text_of(message: Message, number: int) -> str:
    """The words of a message; :class:`Refusal` for none, and for a picture in a user's message."""
    param = f"messages.{number}.content"
    parts = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    for part in parts:
        if part.get("type") != "text":
            advice = "send words alone here, and pictures to /v1/images/edits"
            raise unsupported(param, part.get("type"), advice)
    words = " ".join(str(part.get("text") or "") for part in parts).split()
    if not words:
        raise Refusal(f"{param} has no words; give a sentence", param)
    return " ".join(words)


def image_of(message: Message) -> str | None:
    """The URL of an answer's last picture, in ``images`` or in ``content``."""
    parts = [*(message.content if isinstance(message.content, list) else []), *(message.images or [])]
    urls = [part["image_url"] for part in parts if part.get("type") == "image_url" and "image_url" in part]
    if not urls:
        return None
    url = urls[-1].get("url") if isinstance(urls[-1], dict) else urls[-1]
    return url if isinstance(url, str) else None
