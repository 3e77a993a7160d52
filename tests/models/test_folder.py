"""Model folders: large weights are split, and come back whole."""

from pathlib import Path

import torch

from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.models.folder import read_card, save_model_folder


def test_weights_split_over_several_files_come_back_whole(tiny_model_dir: Path, tmp_path: Path) -> None:
    whole = DreamOmniPipeline.from_pretrained(tiny_model_dir)
    save_model_folder(
        tmp_path,
        transformer=whole.transformer,
        vae=whole.vae,
        text_encoder=whole.text_encoder,
        processor=whole.processor,
        card=read_card(tiny_model_dir),
        max_shard_size="200KB",
    )
    sizes = [path.stat().st_size for path in tmp_path.glob("*/*.safetensors")]
    assert len(list(tmp_path.glob("transformer/*.safetensors"))) > 1
    assert len(sizes) > 3
    parts = DreamOmniPipeline.from_pretrained(tmp_path)
    for name in ("transformer", "vae", "text_encoder"):
        expected = getattr(whole, name).state_dict()
        found = getattr(parts, name).state_dict()
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected)
