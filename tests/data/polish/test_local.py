from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dreamomni.data.polish.answers import AnswerCache
from dreamomni.data.polish.backends import LocalBackend
from dreamomni.data.polish.job import PolishJob
from dreamomni.data.polish.polisher import Polisher
from dreamomni.errors import ModelError

WORDS = ["<unk>", "<eos>", "a", "red", "blue", "cup", "car", "and", "two"]


def save_model(folder: Path, *, template: bool = True) -> Path:
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    if template:
        fast.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=1,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_local_model_answers_the_same_twice_and_nonsense_is_refused(tmp_path: Path) -> None:
    backend = LocalBackend(str(save_model(tmp_path / "model")))
    answer = backend.rewrite("a red cup and a car")
    assert answer == backend.rewrite("a red cup and a car")
    assert set(answer.split()) <= set(WORDS)
    with AnswerCache(tmp_path / "answers.db") as cache:
        result = Polisher(backend, cache).polish("a red cup and a car", ("cup", "car"))
    assert result.text == "a red cup and a car"
    assert result.outcome in ("refused", "same")


def test_a_job_opened_for_every_shard_loads_its_model_once(tmp_path: Path) -> None:
    job = PolishJob(str(save_model(tmp_path / "model")), tmp_path / "answers.db")
    with job.open() as first:
        pass
    with job.open() as second:
        pass
    assert isinstance(first._backend, LocalBackend)
    assert first._backend is second._backend


def test_what_is_no_language_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        LocalBackend(str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no chat template"):
        LocalBackend(str(save_model(tmp_path / "plain", template=False)))
