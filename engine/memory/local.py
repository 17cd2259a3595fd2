"""Any causal language model that transformers reads and that has a chat template, on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..utils.rng import Purpose, gumbel, make_keys
from .ask import Limits
from .find_model import find_model
from .optional import need
from .prompt import Messages, merged
from .rewrite import MemoryFailure, Refused
from .settings import TIMEOUT_S
from .thoughts import without_thoughts

LIMITS = Limits(tries=3, timeout_s=TIMEOUT_S["local"], deadline_s=TIMEOUT_S["local"])
MOST_TOKENS = 4096  # of an answer; six rewritten sentences take about 200, thoughts a few thousand
THINKING = ("enable_thinking", "thinking")  # what chat templates call the switch (Qwen 3 and GLM; DeepSeek and Granite)


class LocalModel:
    """A model and its tokenizer. Greedy at temperature 0, else sampled with the engine's own random numbers."""

    memory = "local"

    def __init__(self, model: Any, tokenizer: Any, limits: Limits = LIMITS) -> None:
        """``model`` is a ``PreTrainedModel`` with ``generate``; ``tokenizer`` has a chat template."""
        self.model, self.tokenizer, self.limits = model, tokenizer, limits
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
        self._special = sorted((token for token in special if len(token) > 1), key=len, reverse=True)
        # A turn ends with the tokenizer's word for it or with one of the model's; they need not be the same.
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = sorted({end for end in (*ends, tokenizer.eos_token_id) if end is not None})

    def complete(
        self, messages: Messages, *, timeout_s: float, temperature: float = 0.0, seed: int | None = None
    ) -> str:
        """The answer's text without special tokens; raises as :class:`~.ask.LanguageModel` says."""
        text = self._render([{**message, "content": self.neutral(message["content"])} for message in messages])
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids.to(self.model.device)
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and ids.shape[1] >= room:
            raise MemoryFailure(f"memory 'local' failed: {ids.shape[1]} tokens do not fit into the model's {room}")
        count = MOST_TOKENS if room is None else min(MOST_TOKENS, room - ids.shape[1])
        answer = self._generate(ids, count, timeout_s, temperature, seed)
        if not self._ended(answer):
            raise Refused("it did not come to an end")
        return self._plain(str(self.tokenizer.decode(answer, skip_special_tokens=False)))

    def neutral(self, text: str) -> str:
        """``text`` with a space inside whatever the tokenizer would read as a special token.

        A story may hold the very marks that end a turn: "<|im_end|>" -> "< |im_end|>", which are plain characters.
        """
        for token in self._special:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _plain(self, text: str) -> str:
        """An answer without thoughts, whose tags may be special tokens, and then without special tokens."""
        text = without_thoughts(text)
        for token in self._special:
            text = text.replace(token, "")
        return text

    def _render(self, messages: Messages) -> str:
        """The chat template's text, in the first form in which it holds every turn.

        Templates without a system turn refuse it (Gemma 2) or leave it out: it then goes before the user's. Those of
        models that see pictures may take content in parts only.
        """
        problem: Exception | None = None
        for turns in (messages, merged(messages)):
            for form in (turns, [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]):
                try:
                    text = self._apply(form)
                except Exception as error:  # a template is a program of somebody else's
                    problem = problem or error
                    continue
                if all(turn["content"].strip() in text for turn in turns):
                    return text
        why = "leaves out the user's turn" if problem is None else f"refuses a user's turn ({problem})"
        raise MemoryFailure(f"memory 'local' failed: the chat template {' '.join(why.split())[:300]}")

    def _apply(self, turns: Sequence[Mapping[str, Any]]) -> str:
        template = str(self.tokenizer.chat_template)  # several templates by their names are a dict, and read all
        off = {name: False for name in THINKING if re.search(rf"\b{name}\b", template)}
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **off))

    @torch.inference_mode()
    def _generate(self, ids: Tensor, count: int, timeout_s: float, temperature: float, seed: int | None) -> Tensor:
        """At most ``count`` new ids after ``ids`` [1, T]."""
        transformers = need("transformers", self.memory)
        own = self.model.generation_config
        config = transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=count,
            max_time=timeout_s,
            eos_token_id=self._ends or None,
            bos_token_id=own.bos_token_id,
            pad_token_id=own.pad_token_id if own.pad_token_id is not None else (self._ends or [0])[0],
        )
        noise = [GumbelNoise(seed or 0, temperature)] if temperature > 0 else []
        processors = transformers.LogitsProcessorList(noise)
        mask = torch.ones_like(ids)
        out = self.model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=processors)
        return out[0, ids.shape[1] :]

    def _ended(self, answer: Tensor) -> bool:
        return len(answer) > 0 and int(answer[-1]) in self._ends


class GumbelNoise:
    """A logits processor that makes greedy decoding draw from softmax(logits / T) (the Gumbel-max trick).

    The noise belongs to the seed and the position, as everywhere in the engine, not to torch's generator.
    """

    def __init__(self, seed: int, temperature: float) -> None:
        self.seed, self.temperature = seed, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``scores`` float [1, V] of the id that follows ``input_ids`` [1, T]."""
        keys = make_keys([self.seed], 0, Purpose.TOKEN, scores.device)
        position = torch.tensor([input_ids.shape[1]], device=scores.device)
        return scores.float() / self.temperature + gumbel(keys, position, scores.shape[-1])[:, 0]


def load_local(name: str, device: str = "cpu") -> LocalModel:
    """Load a model in the numbers that its config names: safetensors only, no code of its own, no network.

    ``ValueError`` (one line) for an unloadable model, and for a tokenizer without a chat template.
    """
    folder = str(find_model(name))
    transformers = need("transformers", LocalModel.memory)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
    except Exception as error:  # transformers raises whatever its many loaders raise
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"memory_model {name!r} cannot be loaded: {reason}") from None
    if tokenizer.chat_template is None:
        raise ValueError(f"memory_model {name!r} has no chat template; choose a model tuned to instructions")
    return LocalModel(model.to(device).eval(), tokenizer)
