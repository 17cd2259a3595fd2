"""Forms as OpenAI's client writes them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acdc.engine.server.openai.forms import fields_of, from_text
from acdc.engine.server.openai.refusal import Refusal


def test_lists_and_objects_have_brackets():
    texts = [("prompt", "One."), ("sentences[]", "a"), ("sentences[]", "b"), ("acdc[seed]", "7")]
    texts += [("acdc[top_p]", "0.5"), ("acdc[paste_back]", "false"), ("acdc[sampler]", "ddpm")]
    own = {"seed": "7", "top_p": 0.5, "paste_back": False, "sampler": "ddpm"}
    assert fields_of(texts) == {"prompt": "One.", "sentences": ["a", "b"], "acdc": own}


def test_a_field_in_two_forms_is_refused():
    for texts in ([("a", "1"), ("a[]", "2")], [("a[]", "1"), ("a[b]", "2")]):
        with pytest.raises(Refusal) as caught:
            fields_of(texts)
        assert caught.value.param == "a"


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6))
def test_any_texts_are_read_or_refused(texts):
    with suppress(Refusal):
        assert isinstance(fields_of(texts), dict)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0.5", 0.5), ("true", True), ("x", "x"), ('"x"', '"x"')])
def test_texts_are_numbers_where_they_can_be(text, value):
    assert from_text(text) == value
