"""A tiny causal language model with a chat template, its tokenizer, and a stand-in that answers what a test says."""

from __future__ import annotations

from types import SimpleNamespace

import torch

START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str | None = TEMPLATE):
    """Bytes are the tokens, and two marks of a turn."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = {token: number for number, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, additional_special_tokens=[START])
    fast.chat_template = template
    return fast


def make_model(seed: int = 0, room: int = 8192):
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": None, "eos_token_id": 256, "pad_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(vocab_size=258, max_position_embeddings=room, initializer_range=0.5, **sizes, **ends)
        return LlamaForCausalLM(config).eval()


class StandIn:
    """A model whose ``generate`` gives these answers, one after another."""

    def __init__(self, tokenizer, *answers: str, ends: bool = True) -> None:
        self.tokenizer, self.answers, self.ends = tokenizer, list(answers), ends
        self.prompts: list[str] = []
        self.device, self.config = "cpu", SimpleNamespace(max_position_embeddings=100_000)
        self.generation_config = SimpleNamespace(eos_token_id=[256], bos_token_id=None, pad_token_id=None)

    def generate(self, ids, **how):
        assert how["generation_config"].do_sample is False
        self.prompts.append(self.tokenizer.decode(ids[0]))
        answer = self.answers.pop(0) + (END if self.ends else "")
        return torch.cat((ids, self.tokenizer(answer, add_special_tokens=False, return_tensors="pt").input_ids), 1)
