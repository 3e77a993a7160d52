"""Train the DreamOmni network: rectified flow on cached latents, conditioned on the VLM (section 3.3).

The autoencoder stays frozen. The VLM is frozen as in the paper, or its language layers learn along
(`text_encoder_mode: joint`), which a VLM of two million parameters needs. Guidance is prepared for by
dropping words, and now and then the input images.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dreamomni import runtime, storage
from dreamomni.config import load_recipe, recipe_hash
from dreamomni.data.collage.engine import CollageEngine
from dreamomni.data.collage.recipe import EDIT_KINDS, CollageRecipe
from dreamomni.data.order import batch_indices, group_of_step
from dreamomni.errors import ConfigError
from dreamomni.flow.guidance import guide
from dreamomni.flow.noise import draw_noise
from dreamomni.flow.path import interpolate, velocity_target
from dreamomni.flow.schedule import make_sigmas
from dreamomni.flow.solvers import sample_euler
from dreamomni.flow.timesteps import draw_sigmas
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.folder import ModelCard, save_model_folder
from dreamomni.models.layers import DiTBlock, ResidualConvBlock
from dreamomni.models.presets import build_transformer, load_transformer
from dreamomni.models.vlm import VLMEncoder
from dreamomni.seeding import derive_seed, generator
from dreamomni.tasks.sample import TrainingSample
from dreamomni.training.config import DitTaskConfig, TrainingConfig
from dreamomni.training.kinds import check_kinds
from dreamomni.training.latent_cache import SampleGroup, load_or_build
from dreamomni.training.pictures import tile, to_uint8
from dreamomni.training.task import WHOLE, Part, StepOutput

_SIGMA_BANDS = (0.0, 1 / 3, 2 / 3, 1.0)
_GRID_COLUMNS = 8


class DitBatch(NamedTuple):
    """One step's samples, all with equally many input images.

    Attributes:
        inputs: What the VLM reads.
        target_moments: (B, 2C, h, w) raw moments of the targets.
        image_moments: (B, number of images, 2C, h, w).
        kind: "text_to_image" or "edit", for the log.
        keys: Keys of the samples.
        part: Which part of the step's batch this is.
    """

    inputs: dict[str, Tensor]
    target_moments: Tensor
    image_moments: Tensor
    kind: str
    keys: list[str]
    part: Part = WHOLE


class DitTask:
    """Velocity matching over a latent cache; exports a complete model folder."""

    def __init__(self, config: DitTaskConfig, training: TrainingConfig) -> None:
        self.config, self.training = config, training
        self.data = load_recipe(config.data, CollageRecipe)
        check_kinds(config.data, self.data)
        if len(self.data.size) > 1:
            raise ConfigError(
                f"data recipe {config.data!r} has {len(self.data.size)} canvas sizes, but a latent "
                "cache holds one; "
                "give it a recipe with one size"
            )
        self.engine = CollageEngine(self.data, split="train")
        self.groups: list[SampleGroup] = []

    def prepare(self, run_dir: Path) -> None:
        """Load the frozen parts, build the network, and compute the latents that are missing."""
        config, device = self.config, runtime.pick_device(self.training.device)
        self.autoencoder = Autoencoder.from_pretrained(config.autoencoder)
        self.autoencoder.model.requires_grad_(False).to(device)
        self.encoder = VLMEncoder.from_pretrained(config.text_encoder)
        self.encoder.model.requires_grad_(False).to(device)
        if config.text_encoder_mode == "joint":
            # The last layer, the final norm and the head come after the penultimate features.
            language = self.encoder.model.model.language_model
            language.embed_tokens.requires_grad_(True)
            for layer in language.layers[:-1]:
                layer.requires_grad_(True)
        if config.init_from is not None:
            self.transformer = load_transformer(config.init_from)
        else:
            self.transformer = build_transformer(config.preset, text_width=self.encoder.width)
        self.transformer.to(device)
        weights = next(Path(config.autoencoder).glob("*.safetensors"), None)
        identity = {
            "data": recipe_hash(self.data),
            "autoencoder": storage.sha256_file(weights) if weights else config.autoencoder,
        }
        self.groups = load_or_build(
            run_dir / "latents",
            self.engine,
            self.autoencoder,
            seed=derive_seed(self.training.seed, "data"),
            num_samples=config.num_cached_samples,
            identity=identity,
            num_workers=self.training.num_workers,
        )

    def modules(self) -> dict[str, nn.Module]:
        """The network, and the VLM when it learns along."""
        trained: dict[str, nn.Module] = {"transformer": self.transformer}
        if self.config.text_encoder_mode == "joint":
            trained["text_encoder"] = self.encoder.model
        return trained

    def blocks(self) -> list[nn.Module]:
        """Convolution blocks and DiT blocks, and the layers of the VLM that learn along."""
        kinds = (DiTBlock, ResidualConvBlock)
        language = self.encoder.model.model.language_model
        found = list(language.layers[:-1]) if self.config.text_encoder_mode == "joint" else []
        return [*found, *(module for module in self.transformer.modules() if isinstance(module, kinds))]

    def batch(self, step: int, part: Part = WHOLE) -> DitBatch:
        """Samples of one group, with words and images dropped for guidance."""
        config, seed = self.config, self.training.seed
        number, nth = group_of_step(step, [len(group) for group in self.groups], derive_seed(seed, "groups"))
        group = self.groups[number]
        order_seed = derive_seed(seed, "order", number)
        chosen = batch_indices(len(group), self.training.batch_size, nth, order_seed, group.lengths)
        draws = generator(seed, "dropout", step)
        dropped = draws.random(len(chosen)) < config.prompt_dropout
        without_images = group.num_images and draws.random() < config.image_dropout
        rows = part.rows(len(chosen))
        chosen, dropped = chosen[rows.start : rows.stop], dropped[rows.start : rows.stop]
        prompts = ["" if drop else group.prompts[index] for index, drop in zip(chosen, dropped, strict=True)]
        at = torch.from_numpy(chosen)
        image_moments = group.image_moments[at]
        if without_images:
            image_moments = image_moments[:, :0]
        if image_moments.shape[1]:
            pixels = group.image_pixels[at]
            counts = [group.num_images] * len(chosen)
            inputs = self.encoder.tokenize_pixels(prompts, pixels.flatten(0, 1), counts)
        else:
            inputs = self.encoder.token_ids(prompts)
        kind = "edit" if group.num_images else "text_to_image"
        keys = [group.keys[i] for i in chosen]
        return DitBatch(inputs, group.target_moments[at], image_moments, kind, keys, part)

    def loss(self, batch: DitBatch, generator: torch.Generator) -> StepOutput:
        """Mean squared error of the velocity; logged by task and by band of sigma."""
        device = self.transformer.device
        moments, part = batch.target_moments.float(), batch.part
        shape = (len(moments), moments.shape[1] // 2, *moments.shape[2:])
        latents = self.autoencoder.latents_from_moments(moments, noise=part.randn(shape, generator))
        noise = part.randn(shape, generator).to(device)
        num_tokens = shape[-2] * shape[-1] // 4
        size = len(moments) * part.count
        rows = part.rows(size)
        sigma = draw_sigmas(self.config.timesteps, size, generator, num_tokens).to(device)
        sigma = sigma[rows.start : rows.stop]
        features = self.encoder.encode(batch.inputs)
        velocity = self.transformer(
            interpolate(latents, noise, sigma),
            sigma,
            features.hidden_states,
            features.attention_mask,
            self._image_latents(batch.image_moments),
        ).sample
        errors = (velocity.float() - velocity_target(latents, noise)).square().flatten(1).mean(1)
        loss = errors.mean()
        metrics = {f"loss_{batch.kind}": loss.detach()}
        detached = errors.detach()
        for low, high in pairwise(_SIGMA_BANDS):
            inside = (sigma >= low) & (sigma < high)
            if inside.any():
                metrics[f"loss_sigma_{low:.1f}_{high:.1f}"] = detached[inside].mean()
        return StepOutput(loss, metrics, batch.keys)

    def _image_latents(self, moments: Tensor) -> list[Tensor]:
        return [self.autoencoder.latents_from_moments(part.float()) for part in moments.unbind(1)]

    def sample_grid(self, step: int) -> Image.Image:
        """Made pictures above their truth; for edits the source above both.

        Held-out samples when there are any.
        """
        held_out = self.data.held_out.fraction > 0
        engine = CollageEngine(self.data, split="held_out" if held_out else "train")
        seed = derive_seed(self.training.seed, "grid")
        kinds = [kind for kind, weight in self.data.mixture.items() if weight > 0]
        plain = [kind for kind in kinds if kind not in EDIT_KINDS]
        edits = [kind for kind in kinds if kind in EDIT_KINDS]
        rows: list[np.ndarray] = []
        for some in (plain, edits):
            if not some:
                continue
            samples = [engine.sample(seed, index, some[index % len(some)]) for index in range(_GRID_COLUMNS)]
            if samples[0].images:
                rows.append(np.stack([sample.images[0] for sample in samples]))
            rows.append(self.generate(samples))
            rows.append(np.stack([sample.target for sample in samples]))
        return tile(rows)

    @torch.no_grad()
    def generate(self, samples: Sequence[TrainingSample]) -> np.ndarray:
        """Make the pictures that samples of one shape ask for; uint8 (N, H, W, 3)."""
        config, device = self.config, self.transformer.device
        pictures = [[Image.fromarray(image) for image in sample.images] for sample in samples]
        given = pictures if pictures[0] else None
        cond = self.encoder([sample.instruction for sample in samples], given)
        uncond = self.encoder([""] * len(samples), given)
        images = []
        if given is not None:
            pixels = torch.from_numpy(np.stack([sample.images[0] for sample in samples])).permute(0, 3, 1, 2)
            images = [self.autoencoder.encode(pixels.float().div(127.5).sub(1).to(device))]
        height, width = samples[0].target.shape[:2]
        factor = self.autoencoder.spatial_factor
        shape = (self.autoencoder.channels, height // factor, width // factor)
        noise = draw_noise(shape, [sample.index for sample in samples]).to(device)

        def velocity(latents: Tensor, sigma: float) -> Tensor:
            sigmas = torch.full((len(latents),), sigma, device=device)
            both = [
                self.transformer(
                    latents, sigmas, part.hidden_states, part.attention_mask, images
                ).sample.float()
                for part in (cond, uncond)
            ]
            return guide(both[0], both[1], config.sample_guidance_scale)

        latents = sample_euler(velocity, noise, make_sigmas(config.sample_steps))
        return to_uint8(self.autoencoder.decode(latents))

    def export(self, folder: Path) -> None:
        """Write the model folder: bf16 weights, processor, scheduler, card."""
        training = {
            "num_steps": self.training.max_steps,
            "num_samples": self.training.max_steps * self.training.batch_size,
            "text_encoder": self.config.text_encoder_mode,
        }
        autoencoder = self.autoencoder
        if self.config.export_autoencoder is not None:
            autoencoder = Autoencoder.from_pretrained(self.config.export_autoencoder)
            if (autoencoder.shift, autoencoder.scale) != (self.autoencoder.shift, self.autoencoder.scale):
                raise ConfigError(
                    f"{self.config.export_autoencoder} has not the latents of {self.config.autoencoder} "
                    f"(shift {autoencoder.shift:.4f}, scale {autoencoder.scale:.4f}): "
                    "train it with freeze_encoder"
                )
        canvas = self.data.size[0]
        save_model_folder(
            folder,
            transformer=self.transformer,
            vae=autoencoder.model,
            text_encoder=self.encoder.model,
            processor=self.encoder.processor,
            card=ModelCard(
                name=self.config.card_name,
                tasks=tuple(
                    sorted({"edit" if kind in EDIT_KINDS else "text_to_image" for kind in self.data.mixture})
                ),
                base_size=round((canvas.width * canvas.height) ** 0.5),
                world=self.config.data,
                licence="Apache-2.0",
                num_inference_steps=self.config.sample_steps,
                guidance_scale=self.config.sample_guidance_scale,
                max_images=1,
                training=training,
            ),
            dtype=torch.bfloat16,
        )
