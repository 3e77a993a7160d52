"""`DreamOmniPipeline`: one request -> one result. The table of contents; each stage is in `stages`."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor
from transformers import Qwen2VLForConditionalGeneration

from dreamomni.errors import RequestError
from dreamomni.flow.schedule import make_sigmas
from dreamomni.flow.solvers import sample_euler
from dreamomni.inference import stages
from dreamomni.inference.adapters import adapter_states, load_adapters, save_adapters
from dreamomni.inference.call import check_output_type, requests_of, sampling_options
from dreamomni.inference.components import load_components, open_rewriter
from dreamomni.inference.loading import hash_model, resolve_model
from dreamomni.inference.memory.managed import ManagedMemory
from dreamomni.inference.plan import Plan, doubts, make_plan
from dreamomni.inference.reading import read_marks
from dreamomni.inference.rewriting.plans import rewrite_plans
from dreamomni.models import adapters
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.folder import CARD_NAME, REWRITER_FOLDER, ModelCard, read_card
from dreamomni.models.processor import ImageOnlyQwenVLProcessor
from dreamomni.models.transformer import DOWNSAMPLING, DreamOmniTransformer2DModel
from dreamomni.models.vlm import VLMEncoder
from dreamomni.runtime import versions
from dreamomni.storage import write_json
from dreamomni.tasks.request import REQUESTS, ImageInput, Request
from dreamomni.tasks.result import ImageResult, Marks, Provenance

logger = logging.getLogger(__name__)

MAX_BATCH_IMAGES = 64
MAX_BATCH_PIXELS = 2**22
"""Together they bound the memory of one pass: more images are made in several."""

StepCallback = Callable[["DreamOmniPipeline", int, float, dict[str, Tensor]], Any]


@dataclass
class DreamOmniPipelineOutput(BaseOutput):
    """What a call returns.

    Attributes:
        images: PIL images, or for other output types one array or tensor: "np" float32 (B, H, W, 3) in [0,
            1], "pt" float32 (B, 3, H, W) in [0, 1], "latent" normalised latents (B, C, h, w).
        provenance: How each image was made, in the order of the images.
    """

    images: list[Image.Image] | np.ndarray | Tensor
    provenance: list[Provenance]


class DreamOmniPipeline(ManagedMemory, DiffusionPipeline):
    """Image generation and editing with one DreamOmni model.

    Args:
        transformer: The velocity network.
        vae: The image codec.
        text_encoder: The Qwen2-VL whose penultimate layer reads words and images.
        processor: Its tokenizer and image processor.
        scheduler: Holds the shift of the sampling schedule, as in other diffusers folders.
        card: What the model learned; None suits a model that is being trained and accepts every task.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"

    def __init__(
        self,
        transformer: DreamOmniTransformer2DModel,
        vae: AutoencoderKL,
        text_encoder: Qwen2VLForConditionalGeneration,
        processor: ImageOnlyQwenVLProcessor,
        scheduler: FlowMatchEulerDiscreteScheduler,
        card: ModelCard | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            transformer=transformer,
            vae=vae,
            text_encoder=text_encoder,
            processor=processor,
            scheduler=scheduler,
        )
        self.card = card or ModelCard(name="unsaved", tasks=tuple(REQUESTS), base_size=64)
        self.model_hash = ""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a model.

        Args:
            pretrained_model_name_or_path: A packaged model ("mini"), a local folder, or a hub id.
            **kwargs: `torch_dtype` (float32 if it is not given, whatever the files hold), `rewriter` (False
                leaves it out, where the model has one), and components to use in place of the stored ones,
                by name.

        Raises:
            ModelError: There is no such model, or its folder is incomplete or damaged.
        """
        folder = resolve_model(os.fspath(pretrained_model_name_or_path))
        dtype = kwargs.pop("torch_dtype", None) or torch.float32
        wants_rewriter = kwargs.pop("rewriter", True)
        pipe = cls(**(load_components(folder, dtype, skip=kwargs) | kwargs), card=read_card(folder))
        if wants_rewriter:
            pipe.rewriter = open_rewriter(folder, dtype)
        if "transformer" not in kwargs:
            load_adapters(pipe.transformer, folder)
        pipe.register_to_config(_name_or_path=str(folder))
        pipe.model_hash = hash_model(folder)
        return pipe

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write a folder that `from_pretrained` loads: diffusers' layout, LoRAs, rewriter and card."""
        with adapters.detached(self.transformer):
            super().save_pretrained(save_directory, **kwargs)
        save_adapters(self.transformer, Path(save_directory))
        if self.rewriter is not None:
            self.rewriter.save(Path(save_directory) / REWRITER_FOLDER)
        write_json(Path(save_directory) / CARD_NAME, self.card.model_dump(mode="json"))

    @property
    def adapters(self) -> Mapping[str, bool]:
        """Every LoRA that the model can have -> whether it is loaded."""
        return adapter_states(self.transformer)

    @property
    def grid_px(self) -> int:
        """Sides inside the network are multiples of this many pixels."""
        per_token = DOWNSAMPLING if self.transformer.config.variant == "v3" else 2 * DOWNSAMPLING
        return Autoencoder(self.vae).spatial_factor * per_token

    def plan(self, request: Request) -> Plan:
        """Decide every open option of a request.

        Raises:
            RequestError: The request cannot be served; the message says why and what would do.
        """
        return make_plan(request, self.card, self.grid_px, adapters.loaded(self.transformer))

    def run(self, request: Request, *, callback_on_step_end: StepCallback | None = None) -> ImageResult:
        """Serve one request.

        Raises:
            RequestError: The request cannot be served; the message says why and what would do.
        """
        return self.run_batch([request], callback_on_step_end=callback_on_step_end)[0]

    def run_batch(
        self, requests: Sequence[Request], *, callback_on_step_end: StepCallback | None = None
    ) -> list[ImageResult]:
        """Serve many requests, those of one shape together. Noise depends on each request's own seed alone.

        Returns:
            The results in the order of the requests.

        Raises:
            RequestError: One of the requests cannot be served; none is.
        """
        plans = self._plans(requests)
        images: list[list[Image.Image]] = [[] for _ in plans]
        marks: list[list[Marks]] = [[] for _ in plans]
        sentences = [doubt for plan in plans for doubt in (*doubts(plan, self.card), *plan.warnings)]
        for sentence in dict.fromkeys(sentences):
            logger.warning(sentence)
        for members, latents in self._sample(plans, callback_on_step_end):
            pixels = self._decode(latents, [plans[number] for number in members])
            for number, array in zip(members, stages.to_uint8(pixels).numpy(), strict=True):
                images[number].append(Image.fromarray(array))
                read = read_marks(plans[number], array)
                marks[number] += [] if read is None else [read]
        self.maybe_free_model_hooks()
        return [
            ImageResult(images=tuple(own), provenance=self._provenance(plan), marks=tuple(read))
            for plan, own, read in zip(plans, images, marks, strict=True)
        ]

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] = "",
        image: ImageInput | Sequence[Any] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        image_guidance_scale: float | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        num_images_per_prompt: int = 1,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        return_dict: bool = True,
        *,
        task: str | None = None,
        mask_image: ImageInput | Sequence[ImageInput] | None = None,
        drags: Sequence[Any] | None = None,
        margins: Sequence[Any] | None = None,
        control: str | Sequence[str] | None = None,
        colour: str | Sequence[str] | None = None,
        keep_outside: bool | None = None,
        adapter: str = "auto",
    ) -> DreamOmniPipelineOutput | tuple[Any]:
        """Make or edit images, with diffusers' names. `run` takes the same as a typed request.

        Args:
            prompt: A description (without `image`) or an instruction (with it); a list makes one batch.
            image: One image or, for one prompt, a list of them (the first is edited, the others are
                references). For a list of prompts: a list with an entry of that form for each.
            height: Height of the result in pixels; needs `width`. Left out: the size of image 1, or the
                model's own.
            width: Width of the result in pixels.
            num_inference_steps: Denoising steps.
            guidance_scale: Weight of the words; 1 switches guidance off.
            image_guidance_scale: Weight of the input images; 1 adds no weight.
            seed: The first image of a prompt is drawn from this seed, the next from the one after. None means
                0.
            generator: Draws the seed instead.
            num_images_per_prompt: Images for every prompt.
            output_type: "pil", "np", "pt" or "latent".
            callback_on_step_end: Called as (pipeline, step, sigma, {"latents": latents}) after each step.
            return_dict: False returns `(images,)`.
            task: What is asked (see `tasks.request`), where the other arguments do not tell: "edit" with a
                mask, "subject", "segment", "detect".
            mask_image: White where image 1 is painted anew, of its size; makes it an inpainting.
            drags: (x, y, dx, dy) for each point to move, as fractions of width and height.
            margins: Pixels to continue image 1 by: left, top, right, bottom.
            control: What kind of map image 1 is: "canny", "depth", ...
            colour: What to segment or detect in.
            keep_outside: False leaves the model's pixels where a mask or margin says that nothing changes.
            adapter: Which LoRA is on: "edit", "generate" or "none"; "auto" goes by the request.

        Raises:
            RequestError: The arguments cannot be served; the message says why and what would do.
        """
        check_output_type(output_type)
        options = sampling_options(
            height, width, seed, generator, num_inference_steps, guidance_scale, num_images_per_prompt
        ) | {"adapter": adapter}
        structure = {
            "mask_image": mask_image,
            "margins": margins,
            "drags": drags,
            "control": control,
            "colour": colour,
            "keep_outside": keep_outside,
        }
        requests = requests_of(prompt, image, task, structure, options, image_guidance_scale)
        if output_type == "pil":
            results = self.run_batch(requests, callback_on_step_end=callback_on_step_end)
            made: Any = [image for result in results for image in result.images]
            provenance = [result.provenance for result in results for _ in result.images]
        else:
            plans = self._plans(requests)
            provenance = [self._provenance(plan) for plan in plans for _ in plan.seeds]
            made = self._raw(plans, output_type, callback_on_step_end)
        return DreamOmniPipelineOutput(images=made, provenance=provenance) if return_dict else (made,)

    def _plans(self, requests: Sequence[Request]) -> list[Plan]:
        """The plans of all requests, in the words of the rewriter where they have references."""
        return rewrite_plans(self, [self.plan(request) for request in requests])

    @torch.no_grad()
    def _sample(
        self, plans: Sequence[Plan], callback: StepCallback | None
    ) -> "list[tuple[list[int], Tensor]]":
        """Denoise all images of all plans.

        Returns:
            For each batch, the number of the plan of every image, and the latents (B, C, h, w). A plan's
            images come in the order of its seeds.
        """
        by_shape: dict[Any, list[tuple[int, int]]] = {}
        for number, plan in enumerate(plans):
            by_shape.setdefault(plan.shape, []).extend((number, seed) for seed in plan.seeds)
        batches = []
        for jobs in by_shape.values():
            count = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // plans[jobs[0][0]].num_pixels))
            waiting = iter(jobs)
            while batch := list(islice(waiting, count)):
                members = [number for number, _ in batch]
                seeds = [seed for _, seed in batch]
                batches.append(
                    (members, self._denoise([plans[number] for number in members], seeds, callback))
                )
        return batches

    def _denoise(self, plans: Sequence[Plan], seeds: Sequence[int], callback: StepCallback | None) -> Tensor:
        """One image for each (plan, seed); the plans have one shape. A plan may come several times."""
        first = plans[0]
        vlm, autoencoder = VLMEncoder(self.text_encoder, self.processor), Autoencoder(self.vae)
        device = self.execution_device
        words, images = [plan.words for plan in plans], [plan.images for plan in plans]
        empty = [""] * len(plans)
        with self._using("vae") if any(images) else nullcontext():
            image_latents = stages.encode_images(autoencoder, images, self.grid_px, device)
        guided_by_images = bool(image_latents) and first.image_guidance_scale != 1
        # Without words there is nothing to be guided by, and half the work.
        guided = (first.guidance_scale != 1 and any(words)) or guided_by_images

        def conditions(texts: list[str], own: Sequence[Sequence[Image.Image]]) -> stages.Conditions:
            latents = image_latents if any(own) else ()
            return stages.Conditions(stages.encode_text(vlm, texts, own), latents)

        with self._using("text_encoder"):
            full = conditions(words, images)
            without_text = conditions(empty, images) if guided else None
            without_images = conditions(empty, [()] * len(plans)) if guided_by_images else None
        noise = stages.start_noise(autoencoder, first.size, seeds, self.grid_px).to(device)
        sigmas = make_sigmas(first.num_inference_steps, shift=self.scheduler.config.shift)
        with (
            self._using("transformer"),
            adapters.using(self.transformer, first.adapter),
            self.progress_bar(total=first.num_inference_steps) as bar,
        ):
            self._prepare_modulation(sigmas[:-1])
            velocity = stages.guided_velocity(
                self.transformer,
                full,
                without_text=without_text,
                without_images=without_images,
                guidance_scale=first.guidance_scale,
                image_guidance_scale=first.image_guidance_scale,
            )

            def on_step(step: int, latents: Tensor) -> None:
                bar.update()
                if callback is not None:
                    callback(self, step, sigmas[step], {"latents": latents})

            return sample_euler(velocity, noise, sigmas, on_step=on_step)

    @torch.no_grad()
    def _decode(self, latents: Tensor, plans: Sequence[Plan]) -> Tensor:
        with self._using("vae"):
            pixels = stages.decode(Autoencoder(self.vae), latents, plans[0].size)
        return stages.put_back(pixels, [plan.kept for plan in plans])

    def _raw(self, plans: Sequence[Plan], output_type: str, callback: StepCallback | None) -> Any:
        if len({plan.shape for plan in plans}) != 1:
            raise RequestError(
                f"output_type {output_type!r} needs results of one size: use pil for mixed sizes"
            )
        batches = self._sample(plans, callback)
        if output_type == "latent":
            self.maybe_free_model_hooks()
            return torch.cat([latents for _, latents in batches])
        pixels = torch.cat(
            [self._decode(latents, [plans[number] for number in members]) for members, latents in batches]
        )
        self.maybe_free_model_hooks()
        pixels = pixels.clamp(-1, 1) / 2 + 0.5
        return pixels if output_type == "pt" else pixels.permute(0, 2, 3, 1).cpu().numpy()

    def _provenance(self, plan: Plan) -> Provenance:
        return Provenance(
            model=self.card.name,
            model_hash=self.model_hash,
            task=plan.task,
            prompt=plan.prompt,
            words=None if plan.words in (plan.prompt, plan.revised_prompt) else plan.words,
            structure=dict(plan.structure),
            images=plan.sources,
            seed=plan.seeds[0],
            size=plan.size,
            num_images=len(plan.seeds),
            num_inference_steps=plan.num_inference_steps,
            guidance_scale=plan.guidance_scale,
            image_guidance_scale=plan.image_guidance_scale if plan.images else None,
            adapter=plan.adapter,
            revised_prompt=plan.revised_prompt,
            warnings=plan.warnings,
            versions=versions(),
            licence=self.card.licence,
        )
