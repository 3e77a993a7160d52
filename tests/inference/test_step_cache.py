"""Skipped steps: opt-in, said in the result, and no request sees the state of another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_kontext import write_tiny_kontext
from torch import Tensor

from dreamomni.errors import ModelError
from dreamomni.inference.opening import open_pipeline

SKIPPING = 0.95


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_kontext(tmp_path_factory.mktemp("kontext")))


def opened(folder: str, threshold: float | None) -> Any:
    pipe = open_pipeline(folder, step_cache=threshold, rewriter=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: Any, prompt: str | list[str], seed: int = 0) -> Tensor:
    options = {"num_inference_steps": 6, "height": 32, "width": 32, "output_type": "latent"}
    latents: Tensor = pipe(prompt, seed=seed, **options).images
    return latents


def test_steps_are_skipped_and_the_result_says_so(folder: str) -> None:
    plain, cached = opened(folder, None), opened(folder, SKIPPING)
    calls: list[int] = []
    cached.transformer.single_transformer_blocks[-1].norm.register_forward_hook(lambda *_: calls.append(1))
    made = run(cached, "a cat")
    assert 0 < len(calls) < 6
    assert not torch.equal(made, run(plain, "a cat"))
    assert not cached.transformer.is_cache_enabled
    note = cached("a cat", num_inference_steps=2, height=32, width=32).provenance[0].warnings
    assert any("approximation" in sentence for sentence in note)
    note = plain("a cat", num_inference_steps=2, height=32, width=32).provenance[0].warnings
    assert not any("approximation" in sentence for sentence in note)


def test_no_request_sees_the_state_of_another(folder: str) -> None:
    fresh = {
        prompt: run(opened(folder, SKIPPING), prompt, seed)
        for seed, prompt in enumerate(("a cat", "a red house"))
    }
    used = opened(folder, SKIPPING)
    for seed, prompt in ((0, "a cat"), (1, "a red house"), (0, "a cat")):
        assert torch.equal(run(used, prompt, seed), fresh[prompt])


def test_no_picture_of_a_batch_sees_another(folder: str) -> None:
    pipe = opened(folder, SKIPPING)
    alone = run(pipe, "a cat", 5)
    together = run(pipe, ["a cat", "a red house in the snow"], 5)
    assert torch.equal(together[:1], alone)


def test_what_has_no_such_cache_is_refused(folder: str, tiny_model_dir: Path) -> None:
    with pytest.raises(ModelError, match="--step-cache is for Kontext"):
        open_pipeline(str(tiny_model_dir), step_cache=0.1)
    with pytest.raises(ModelError, match="between 0 and 1"):
        open_pipeline(folder, step_cache=1.5, rewriter=False)
