"""The ARM's text tokenizer: a small byte-level BPE learned from the grammar's training sentences.

Byte-level, so that any text has ids: the paper's own prompts and names the grammar never used cost more ids, no more.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..world.grammar import sample_story

SPECIALS = ("<pad>", "<s>", "<vision>")
PAD, BOS, VISION = range(3)
VOCAB = 1024


def train_tokenizer(sentences: Iterable[str], vocab: int = VOCAB) -> Tokenizer:
    """A BPE of at most ``vocab`` ids over ``sentences``; equal input gives an equal tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Sorted counts, not the order of the input, decide: merges of equal frequency are then taken in one order.
    tokenizer.train_from_iterator(sorted(sentences), trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode_all(tokenizer: Tokenizer, sentences: list[str]) -> list[list[int]]:
    """Ids of each sentence, without markers."""
    return [encoding.ids for encoding in tokenizer.encode_batch(sentences, add_special_tokens=False)]


def main() -> None:
    """Command line: sample stories of the training split and write ``tokenizer.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=20000)
    parser.add_argument("--vocab", type=int, default=VOCAB)
    parser.add_argument("--out", type=Path, required=True, help="a tokenizer.json")
    args = parser.parse_args()
    sentences = [line for seed in range(args.stories) for line in sample_story(seed).sentences]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    train_tokenizer(sentences, args.vocab).save(str(args.out))


if __name__ == "__main__":
    main()
