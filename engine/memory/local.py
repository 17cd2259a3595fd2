"""Any causal language model that transformers reads and that has a chat template, on this machine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..utils.rng import Purpose, gumbel, make_keys
from .answer import Refused
from .ask import Limits
from .find_model import find_model
from .optional import need
from .prompt import Messages
from .rewrite import MemoryFailure

LIMITS = Limits(tries=3, timeout_s=600.0, deadline_s=1200.0)
MOST_TOKENS = 1024  # of an answer; six rewritten sentences take about 200


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
        return str(self.tokenizer.decode(answer, skip_special_tokens=True))

    def neutral(self, text: str) -> str:
        """``text`` with a space inside whatever the tokenizer would read as a special token.

        A story may hold the very marks that end a turn: "<|im_end|>" -> "< |im_end|>", which are plain characters.
        """
        for token in self._special:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _render(self, messages: Messages) -> str:
        """The chat template's text; where it knows no system turn (Gemma 2's), that stands before the user's."""
        apply = self.tokenizer.apply_chat_template
        template_error = need("jinja2", self.memory).TemplateError
        try:
            return str(apply(messages, tokenize=False, add_generation_prompt=True))
        except template_error:
            merged = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        try:
            return str(apply(merged, tokenize=False, add_generation_prompt=True))
        except template_error as error:
            raise MemoryFailure(f"memory 'local' failed: the chat template refuses a user's turn ({error})") from None

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

    ``ValueError`` (one line) for what cannot be loaded, and for a tokenizer without a chat template.
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
