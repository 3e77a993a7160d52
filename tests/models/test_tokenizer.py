from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, Qwen2Tokenizer

from dreamomni.errors import ModelError
from dreamomni.models.tokenizer import CONTROL_TOKENS, encode_plain, train_tokenizer

WORDS = ["umbrella", "mushroom", "balloon", "yellow", "purple"]
CORPUS = [f"a {first} next to the {second}" for first in WORDS for second in WORDS]
TOKENIZER = train_tokenizer(CORPUS, 400)


def test_words_of_the_corpus_are_single_tokens() -> None:
    for word in WORDS:
        assert len(encode_plain(TOKENIZER, [f"a {word}"])[0]) == 2


def test_training_is_reproducible() -> None:
    again = train_tokenizer(iter(CORPUS), 400)
    assert again.backend_tokenizer.to_str() == TOKENIZER.backend_tokenizer.to_str()


def test_control_tokens_have_the_last_ids_in_the_order_of_qwen() -> None:
    ids = TOKENIZER.convert_tokens_to_ids(list(CONTROL_TOKENS))
    assert ids == list(range(len(TOKENIZER) - len(CONTROL_TOKENS), len(TOKENIZER)))
    assert all(TOKENIZER.encode(token) == [index] for token, index in zip(CONTROL_TOKENS, ids, strict=True))
    assert (TOKENIZER.pad_token, TOKENIZER.eos_token) == ("<|endoftext|>", "<|im_end|>")


def test_saved_and_loaded_is_a_qwen2_tokenizer_with_the_same_ids(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, Qwen2Tokenizer)
    texts = ["a yellow balloon", "Zürich \u96e8 <|im_end|>", "  two  spaces\n"]
    assert encode_plain(loaded, texts) == encode_plain(TOKENIZER, texts)
    assert loaded("<|im_start|>a<|im_end|>") == TOKENIZER("<|im_start|>a<|im_end|>")


@given(st.text(st.characters(codec="utf-8")), st.sampled_from(CONTROL_TOKENS))
def test_any_text_comes_back_and_is_never_a_control_token(text: str, token: str) -> None:
    import unicodedata

    spelled = f"{text}{token}{text}"
    ids = encode_plain(TOKENIZER, [spelled])[0]
    assert not set(ids) & set(TOKENIZER.all_special_ids)
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False) == unicodedata.normalize("NFC", spelled)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ModelError, match="needs 270 at least"):
        train_tokenizer(CORPUS, 200)
