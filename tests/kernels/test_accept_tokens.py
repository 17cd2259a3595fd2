"""Tokens that a pass settles: the kernel, interpreted, and its reference against a plain restatement."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acdc.kernels import accept_tokens as module
from acdc.kernels.accept_tokens import accept_tokens, accept_tokens_reference
from acdc.kernels.jit import on_triton


def restated(codes, accepted, computed, num_codes):
    """One story, one token after another."""
    after, count = list(codes), accepted
    for place, token in enumerate(computed):
        after[accepted + place] = token
    for place, token in enumerate(computed):
        if count == num_codes:
            break
        count += 1  # computed from right guesses only
        if place == len(computed) - 1 or codes[accepted + place] != token:
            break
    return after, count


@given(
    num_codes=st.integers(1, 70),
    width=st.integers(1, 20),
    extra=st.integers(0, 3),
    stories=st.integers(1, 3),
    vocab=st.sampled_from([1, 2, 8192]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_kernel_and_reference_equal_the_restatement(num_codes, width, extra, stories, vocab, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(vocab, (stories, num_codes + width + extra), generator=generator)
    accepted = torch.randint(1, num_codes + 1, (stories,), generator=generator)
    slots = accepted[:, None] + torch.arange(width)
    right = torch.rand(stories, width, generator=generator) < 0.8
    computed = torch.where(right, codes.gather(1, slots), torch.randint(vocab, slots.shape, generator=generator))
    assert on_triton(codes), "otherwise the reference would be compared with itself"
    before = codes.clone()
    for run in (accept_tokens, accept_tokens_reference):
        after, counts = run(codes, accepted, computed, num_codes)
        for story in range(stories):
            rows = codes[story].tolist(), int(accepted[story]), computed[story].tolist()
            assert (after[story].tolist(), int(counts[story])) == restated(*rows, num_codes)
    assert torch.equal(codes, before), "nothing is written in place"


def test_the_modules_example_by_hand():
    codes = torch.tensor([[0, 1, 2, 23, 24, 25, 0, 0, 0, 0]])
    computed = torch.tensor([[2, 3, 4, 5]])
    after, accepted = accept_tokens(codes, torch.tensor([2]), computed, 6)
    assert after.tolist() == [[0, 1, 2, 3, 4, 5, 0, 0, 0, 0]]
    assert accepted.tolist() == [4]


def test_long_rows_strided_inputs_and_no_stories(monkeypatch):
    codes = torch.arange(2 * 2500).view(2500, 2).T
    accepted, computed = torch.tensor([[1030, 0], [5, 0]])[:, 0], torch.arange(6).view(3, 2).T
    assert not codes.is_contiguous()
    wanted = accept_tokens_reference(codes, accepted, computed, 2400)
    monkeypatch.setattr(module.torch, "empty_like", lambda value: torch.full_like(value, -7))  # poisoned
    found = accept_tokens(codes, accepted, computed, 2400)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, wanted, strict=True))
    none = accept_tokens(codes[:0], accepted[:0], computed[:0], 2400)
    assert [value.shape for value in none] == [(0, 2500), (0,)]


def test_shapes_are_known_without_running():
    with torch.device("meta"):
        codes, accepted, computed = (torch.empty(size, dtype=torch.int64) for size in ((2, 20), (2,), (2, 4)))
        found = accept_tokens(codes, accepted, computed, 16)
    assert [value.shape for value in found] == [(2, 20), (2,)]
