"""Names of linear layers: diffusers' and those of the original FLUX.1 code, with and without dots.

kohya's files spell a path with underscores, so a name can only be read back by someone who knows the paths.
Families are lists of templates, in which `{}` stands for the number of a block.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple

Family = Literal["flux", "dreamomni"]


class Slot(NamedTuple):
    """Where a layer of diffusers is in the original FLUX.1 network.

    Attributes:
        name: The original layer, as a template.
        part: Which of the layers that are fused there, from 0; None where it is one layer here too.
        num_parts: How many are fused there.
    """

    name: str
    part: int | None = None
    num_parts: int = 1


def _double(block: str) -> dict[str, Slot]:
    layers: dict[str, Slot] = {}
    for stream, attention, out, feed in (
        ("img", ("to_q", "to_k", "to_v"), "to_out.0", "ff"),
        ("txt", ("add_q_proj", "add_k_proj", "add_v_proj"), "to_add_out", "ff_context"),
    ):
        norm = "norm1" if stream == "img" else "norm1_context"
        layers[f"{block}.{norm}.linear"] = Slot(f"double_blocks.{{}}.{stream}_mod.lin")
        for part, name in enumerate(attention):
            layers[f"{block}.attn.{name}"] = Slot(f"double_blocks.{{}}.{stream}_attn.qkv", part, 3)
        layers[f"{block}.attn.{out}"] = Slot(f"double_blocks.{{}}.{stream}_attn.proj")
        layers[f"{block}.{feed}.net.0.proj"] = Slot(f"double_blocks.{{}}.{stream}_mlp.0")
        layers[f"{block}.{feed}.net.2"] = Slot(f"double_blocks.{{}}.{stream}_mlp.2")
    return layers


def _single(block: str) -> dict[str, Slot]:
    fused = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    return {
        f"{block}.norm.linear": Slot("single_blocks.{}.modulation.lin"),
        **{f"{block}.{name}": Slot("single_blocks.{}.linear1", part, 4) for part, name in enumerate(fused)},
        f"{block}.proj_out": Slot("single_blocks.{}.linear2"),
    }


FLUX: dict[str, Slot] = {
    **_double("transformer_blocks.{}"),
    **_single("single_transformer_blocks.{}"),
    **{
        f"time_text_embed.{ours}.linear_{number}": Slot(f"{theirs}.{layer}")
        for ours, theirs in (
            ("timestep_embedder", "time_in"),
            ("text_embedder", "vector_in"),
            ("guidance_embedder", "guidance_in"),
        )
        for number, layer in ((1, "in_layer"), (2, "out_layer"))
    },
    "x_embedder": Slot("img_in"),
    "context_embedder": Slot("txt_in"),
    "norm_out.linear": Slot("final_layer.adaLN_modulation.1"),
    "proj_out": Slot("final_layer.linear"),
}
"""Every linear layer of diffusers' FLUX.1 transformer -> its place in the original network."""

SWAPPED = "final_layer.adaLN_modulation.1"
"""Shift comes before scale there, and after it in diffusers: the two halves of its outputs change places."""

DREAMOMNI: tuple[str, ...] = (
    "time_embedding.linear_1",
    "time_embedding.linear_2",
    "text_in",
    "patchify",
    "unpatchify",
    "modulation_out",
    "token_merge.linear",
    "token_split.linear",
    *(f"{block}.modulation" for block in ("down_a", "down_b", "up_a", "up_b")),
    "stages.{}.{}.modulation",
    *(f"stages.{{}}.{{}}.attention.{name}" for name in ("to_q", "to_k", "to_v", "to_out")),
    *(
        f"stages.{{}}.{{}}.{feed}.{name}"
        for feed in ("ffn_text", "ffn_image")
        for name in ("linear_in", "linear_out")
    ),
    "fusions.{}.linear_text",
    "fusions.{}.linear_image",
)
"""Every linear layer of the DreamOmni network."""

DEFAULT_TARGETS: dict[Family, tuple[str, ...]] = {
    "flux": (
        *("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
        *("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
        *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    ),
    "dreamomni": (
        *("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out"),
        *("ffn_text.linear_in", "ffn_text.linear_out", "ffn_image.linear_in", "ffn_image.linear_out"),
    ),
}
"""Layers that a LoRA adapts unless told otherwise: attention and FeedForward. For FLUX.1 those of diffusers'
training scripts, which at rank 256 in bf16 give the size of the published DreamOmni2 files."""

_ELSEWHERE: tuple[tuple[str, str], ...] = (
    (
        r"(down|input)_blocks.*(attentions|transformer_blocks|\d_1_)|mid_block|middle_block",
        "Stable Diffusion",
    ),
    (r"joint_blocks|transformer_blocks[._]\d+[._]attn2|norm1_context_linear_2", "Stable Diffusion 3"),
    (r"transformer_blocks[._]\d+[._](img_mlp|txt_mlp|img_mod|txt_mod)", "Qwen-Image"),
    (r"blocks[._]\d+[._](self_attn|cross_attn)", "Wan"),
    (r"model[._]layers[._]\d+[._]self_attn", "a language model"),
    (r"single_transformer_blocks[._]\d+[._]attn[._]to_qkv_mlp_proj|double_stream_modulation", "FLUX.2"),
)


@cache
def _patterns(dotted: bool) -> tuple[tuple[re.Pattern[str], str, Family, bool], ...]:
    """(pattern, template, family, whether the template is of the original code)."""
    found: list[tuple[re.Pattern[str], str, Family, bool]] = []

    def add(template: str, family: Family, original: bool) -> None:
        text = re.escape(template if dotted else template.replace(".", "_"))
        found.append((re.compile(text.replace(r"\{\}", r"(\d+)")), template, family, original))

    for ours, slot in FLUX.items():
        add(ours, "flux", False)
        add(slot.name, "flux", True)
    for template in DREAMOMNI:
        add(template, "dreamomni", False)
    return tuple(dict.fromkeys(found))


class Name(NamedTuple):
    """A layer that was recognised.

    Attributes:
        path: With dots, in diffusers' words, or in those of the original code.
        family: Of the network.
        original: Whether `path` is in the words of the original FLUX.1 code.
    """

    path: str
    family: Family
    original: bool


@cache
def recognise(name: str) -> Name | None:
    """Read the name of a layer, in dots or in underscores, of either code; None for any other."""
    for pattern, template, family, original in _patterns("." in name):
        if match := pattern.fullmatch(name):
            return Name(template.format(*match.groups()), family, original)
    return None


def family_of(paths: Iterable[str]) -> Family | None:
    """The family that most layers are of, or None where none is known."""
    counts = {"flux": 0, "dreamomni": 0}
    for path in paths:
        if (name := recognise(path)) is not None:
            counts[name.family] += 1
    best: Family = "flux" if counts["flux"] >= counts["dreamomni"] else "dreamomni"
    return best if counts[best] else None


def hint_of(names: Iterable[str]) -> str | None:
    """What model names of layers are known from, in words for a message."""
    seen = list(names)
    for pattern, what in _ELSEWHERE:
        if any(re.search(pattern, name) for name in seen):
            return what
    known = family_of(seen)
    return None if known is None else {"flux": "FLUX.1", "dreamomni": "DreamOmni"}[known]


def slot_of(path: str) -> tuple[str, Slot] | None:
    """The original layer (with its numbers) and the place in it of a layer of diffusers' FLUX.1."""
    for template, slot in FLUX.items():
        pattern = re.escape(template).replace(r"\{\}", r"(\d+)")
        if match := re.fullmatch(pattern, path):
            return slot.name.format(*match.groups()), slot
    return None


def parts_of(original: str) -> tuple[str, ...]:
    """The layers of diffusers that are fused in an original layer, in the order of its outputs."""
    found: dict[int, str] = {}
    for template, slot in FLUX.items():
        pattern = re.escape(slot.name).replace(r"\{\}", r"(\d+)")
        if match := re.fullmatch(pattern, original):
            found[slot.part or 0] = template.format(*match.groups())
    return tuple(found[part] for part in sorted(found))
