"""A complete tiny model in the layout in which DreamOmni2 and FLUX.1-Kontext are published: random weights.

Every file is written by the classes that read the real one. Widths that the networks share by accident in a
small model (text, pooled text, VLM) are all different here, so that a mix-up fails.
"""

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    FluxTransformer2DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dreamomni.models.tokenizer import END_OF_TURN, IMAGE_PAD, VIDEO_PAD, train_tokenizer

WORDS = (
    "make the dog in the first image have the colour of the car in the second image",
    "replace the hat of image 1 with the flower in image 2 , keep everything else",
    "a photo of the cat ( image_1 ) beside the red house ( image_2 ) in the snow",
    "[instruction]: add the tree (image_2) to image_1, [caption]: a green tree on a hill",
)
LORA_RANK = 4
_DOUBLE_TARGETS = (
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn.{name}" for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")),
    *(f"{name}.net.{part}" for name in ("ff", "ff_context") for part in ("0.proj", "2")),
)
_SINGLE_TARGETS = ("attn.to_q", "attn.to_k", "attn.to_v")
# What a stock Qwen2.5-VL renders for turns of images and text.
_CHAT_TEMPLATE = (
    "{% if messages and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\\n' }}"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for part in turn['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_tiny_kontext(folder: Path, *, seed: int = 0) -> Path:
    """Write `base/`, `vlm-model/`, `edit_lora/` and `gen_lora/` below `folder`, in about a second.

    Args:
        folder: Made if it is missing.
        seed: Of all weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = write_tiny_base(folder / "base")
        write_tiny_qwen(folder / "vlm-model")
        for name in ("edit_lora", "gen_lora"):
            write_tiny_lora(folder / name, transformer)
    return folder


def write_tiny_base(folder: Path) -> FluxTransformer2DModel:
    """Write a pipeline folder of FLUX.1-Kontext; its networks are drawn from torch's own generator."""
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=32,
        num_attention_heads=2,
        joint_attention_dim=40,
        pooled_projection_dim=24,
        guidance_embeds=True,
        axes_dims_rope=(8, 12, 12),
    )
    _enliven(transformer)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=1024,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    with torch.no_grad():
        vae.encoder.conv_out.weight.mul_(20.0)  # latents of about unit variance
    pipe = FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0,
            use_dynamic_shifting=True,
            base_shift=0.5,
            max_shift=1.15,
            base_image_seq_len=256,
            max_image_seq_len=4096,
        ),
        vae=vae,
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(clip),
                hidden_size=24,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=77,
                bos_token_id=clip.bos_token_id,
                eos_token_id=clip.eos_token_id,
                pad_token_id=clip.pad_token_id,
            )
        ),
        tokenizer=clip,
        text_encoder_2=T5EncoderModel(
            T5Config(
                vocab_size=len(t5),
                d_model=40,
                d_kv=8,
                d_ff=64,
                num_layers=2,
                num_heads=4,
                feed_forward_proj="gated-gelu",
                # Random T5 weights at Google's scale nearly vanish at this width.
                initializer_factor=4.0,
                is_encoder_decoder=False,
                use_cache=False,
            )
        ),
        tokenizer_2=t5,
        transformer=transformer,
    )
    for module in (pipe.vae, pipe.text_encoder, pipe.text_encoder_2, transformer):
        module.eval()
    # Small shards, because the published transformer and T5 come in several files and an index.
    pipe.save_pretrained(str(folder), max_shard_size="500KB")
    return transformer


def write_tiny_qwen(folder: Path) -> None:
    """Write a Qwen2.5-VL with its tokenizer, image processor and chat template, as published ones are."""
    tokenizer = train_tokenizer(WORDS, 400)
    control = tokenizer.convert_tokens_to_ids
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 64,
                "intermediate_size": 96,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "max_position_embeddings": 8192,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
                "bos_token_id": control("<|endoftext|>"),
                "eos_token_id": control(END_OF_TURN),
                "pad_token_id": control("<|endoftext|>"),
                "tie_word_embeddings": False,
            },
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "out_hidden_size": 64,
                "intermediate_size": 48,
                "num_heads": 2,
                "patch_size": 14,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "window_size": 112,
                "fullatt_block_indexes": [1],
            },
            image_token_id=control(IMAGE_PAD),
            video_token_id=control(VIDEO_PAD),
            vision_start_token_id=control("<|vision_start|>"),
            vision_end_token_id=control("<|vision_end|>"),
            tie_word_embeddings=False,
        )
    ).eval()
    model.save_pretrained(str(folder), max_shard_size="400KB")
    tokenizer.chat_template = _CHAT_TEMPLATE
    tokenizer.save_pretrained(str(folder))
    processor = Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, min_pixels=56 * 56, max_pixels=112 * 112
    )
    processor.save_pretrained(str(folder))
    # Published folders name the classes that everybody knows, not the Pillow variants of transformers 5.
    settings = folder / "preprocessor_config.json"
    values = json.loads(settings.read_text())
    values |= {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor"}
    settings.write_text(json.dumps(values, indent=2))


def write_tiny_lora(folder: Path, transformer: FluxTransformer2DModel, rank: int = LORA_RANK) -> None:
    """Write a LoRA over the targets of the published ones, strong enough to change every picture."""
    modules = dict(transformer.named_modules())
    layers = {}
    for name in lora_targets(transformer):
        linear = modules[name]
        assert isinstance(linear, nn.Linear)
        layers[f"{name}.lora_A.weight"] = torch.randn(rank, linear.in_features) * linear.in_features**-0.5
        layers[f"{name}.lora_B.weight"] = torch.randn(linear.out_features, rank) * 0.5
    FluxKontextPipeline.save_lora_weights(str(folder), transformer_lora_layers=layers)


def lora_targets(transformer: FluxTransformer2DModel) -> list[str]:
    """The layers that diffusers trains by default for Flux, and the published LoRAs therefore cover."""
    double = range(len(transformer.transformer_blocks))
    single = range(len(transformer.single_transformer_blocks))
    return [f"transformer_blocks.{block}.{name}" for block in double for name in _DOUBLE_TARGETS] + [
        f"single_transformer_blocks.{block}.{name}" for block in single for name in _SINGLE_TARGETS
    ]


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE, trained on `WORDS`."""
    empty = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    learner.normalizer, learner.pre_tokenizer = empty.normalizer, empty.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    learner.train_from_iterator(WORDS, trainer)
    learned = json.loads(learner.to_str())["model"]
    # Bytes come alone and at the end of a word; in CLIP the two control tokens have the highest ids.
    pieces = [*learned["vocab"], *(f"{byte}</w>" for byte in pre_tokenizers.ByteLevel.alphabet())]
    pieces = [*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=[tuple(merge) for merge in learned["merges"]],
        model_max_length=77,
    )


def t5_tokenizer() -> T5TokenizerFast:
    """T5's unigram tokenizer: the words of `WORDS`, and letters for all others."""
    words = sorted({word for line in WORDS for word in line.split()})
    letters = [chr(code) for code in range(33, 127)]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -4.0)]
    vocab += [(f"\u2581{word}", -3.0) for word in words] + [(letter, -8.0) for letter in letters]
    return T5TokenizerFast(vocab=vocab, extra_ids=0, model_max_length=512)


def _enliven(transformer: FluxTransformer2DModel) -> None:
    """Scale the weights up: at torch's own initialisation words and images hardly move the output."""
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(4.0 if name.startswith("x_embedder") else 1.5)
            elif name.endswith("norm_q.weight"):
                parameter.mul_(4.0)  # sharp attention, or 512 padded words drown a few image tokens
