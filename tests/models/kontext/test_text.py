from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamomni.errors import RequestError
from dreamomni.models.kontext.files import KontextFiles, find_kontext
from dreamomni.models.kontext.loading import load_part
from dreamomni.models.kontext.text import num_tokens, plain, pooled_text, sequence_text


@pytest.fixture(scope="module")
def files(tiny_kontext_dir: Path) -> KontextFiles:
    return find_kontext(str(tiny_kontext_dir))


@torch.no_grad()
def test_both_encoders_read_what_diffusers_gives_them(files: KontextFiles) -> None:
    from diffusers import FluxKontextPipeline

    theirs = FluxKontextPipeline.from_pretrained(str(files.base))
    prompts = ["make the dog red", " ".join(["a green tree on a hill"] * 150)]
    sequence, pooled, _ = theirs.encode_prompt(prompts)
    clip, t5 = load_part(files, "text_encoder"), load_part(files, "text_encoder_2")
    assert torch.equal(pooled_text(clip, load_part(files, "tokenizer"), prompts), pooled)
    assert torch.equal(sequence_text(t5, load_part(files, "tokenizer_2"), prompts), sequence)
    assert sequence.shape[1] == 512


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
def test_control_tokens_in_a_prompt_are_plain_text(name: str, files: KontextFiles) -> None:
    tokenizer = load_part(files, name)
    control = set(tokenizer.all_special_ids)
    for token in tokenizer.all_special_tokens:
        assert control & set(tokenizer(token, add_special_tokens=False).input_ids)
        harmless = tokenizer(plain(tokenizer, f"a cat {token} b"), add_special_tokens=False).input_ids
        assert not control - {tokenizer.unk_token_id} & set(harmless)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_a_prompt_without_control_tokens_is_left_alone(text: str) -> None:
    class Tokenizer:
        all_special_tokens = ("<|endoftext|>", "</s>")

    kept = plain(Tokenizer(), text)
    assert kept == text or "</s>" in text or "<|endoftext|>" in text


def test_tokens_are_counted_before_anything_is_cut_off(files: KontextFiles) -> None:
    tokenizer = load_part(files, "tokenizer_2")
    assert num_tokens(tokenizer, "make the dog") == 4
    assert num_tokens(tokenizer, " ".join(["dog"] * 700)) == 701


def test_half_a_character_is_refused(files: KontextFiles) -> None:
    with pytest.raises(RequestError, match="character 3 is a lone surrogate"):
        plain(load_part(files, "tokenizer"), "ab\udc00")
