"""`KontextPipeline`: requests with any number of images -> results. The table of contents of DreamOmni2.

A call runs stage by stage over all its requests (words, text, images, denoising, decoding), so that each
network is needed once and may be elsewhere for the rest of the time.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Self

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
)
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5TokenizerFast

from dreamomni.errors import RequestError
from dreamomni.flow.solvers import sample_euler
from dreamomni.inference.adapters import adapter_states
from dreamomni.inference.call import check_output_type, requests_of, sampling_options
from dreamomni.inference.kontext import stages
from dreamomni.inference.kontext.plan import KontextPlan, kontext_card, make_kontext_plan, record
from dreamomni.inference.kontext.weights import fingerprint_weights
from dreamomni.inference.memory.managed import ManagedMemory
from dreamomni.inference.pipeline import DreamOmniPipelineOutput, StepCallback
from dreamomni.inference.rewriting.rewriter import Job, Rewriter
from dreamomni.inference.stages import decode, put_back, start_noise, to_uint8
from dreamomni.inference.step_cache import approximation_note, caching_steps
from dreamomni.inference.structure import fingerprint
from dreamomni.models.adapters import detached, load_adapter, loaded, using
from dreamomni.models.autoencoder import Autoencoder
from dreamomni.models.folder import ModelCard
from dreamomni.models.kontext.files import KontextFiles, find_kontext
from dreamomni.models.kontext.loading import load_parts
from dreamomni.models.kontext.resolutions import GRID_PX
from dreamomni.models.kontext.text import MAX_T5_TOKENS, num_tokens, pooled_text, sequence_text
from dreamomni.models.packing import pack_latents, unpack_latents
from dreamomni.tasks.request import ImageInput, Request
from dreamomni.tasks.result import ImageResult

MAX_BATCH_TOKENS = 16_384
"""Of all images of one pass, which bounds its memory: 4 of a megapixel from words alone. One always runs."""


class KontextPipeline(ManagedMemory, DiffusionPipeline):
    """Image generation and editing with FLUX.1-Kontext, and with DreamOmni2's LoRAs where they are loaded.

    Args:
        scheduler: Holds the shift of the sampling schedule.
        vae: The image codec.
        text_encoder: CLIP, whose pooled output is read.
        tokenizer: That of CLIP.
        text_encoder_2: T5, whose sequence is read.
        tokenizer_2: That of T5.
        transformer: The velocity network.
        card: What the model can do; None takes that of the published one.
        official: Round sizes and ids as the published DreamOmni2 release does.

    Attributes:
        rewriter: Puts a request with references into the words that the LoRAs were trained on; None for none.
        files: Where the weights came from; None where they came from no folder.
        step_cache: Threshold below which steps are skipped, an approximation; None skips none.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->transformer->vae"

    def __init__(
        self,
        scheduler: FlowMatchEulerDiscreteScheduler,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        text_encoder_2: T5EncoderModel,
        tokenizer_2: T5TokenizerFast,
        transformer: FluxTransformer2DModel,
        card: ModelCard | None = None,
        official: bool = False,
    ) -> None:
        super().__init__()
        self.register_modules(
            scheduler=scheduler,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            transformer=transformer,
        )
        self.card = card or kontext_card()
        self.official = official
        self.rewriter: Rewriter | None = None
        self.step_cache: float | None = None
        self.files: KontextFiles | None = None
        self.model_hash = ""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """Load a model with its LoRAs; see `inference.opening.open_pipeline` for the rewriter and memory.

        Args:
            pretrained_model_name_or_path: "kontext", a folder in the published layout or of the base alone,
                or a hub id.
            **kwargs: `torch_dtype` (float32 if it is not given), `base_model` (folder or hub id), `official`.

        Raises:
            ModelError: A part is missing, damaged, or of another model.
        """
        dtype = kwargs.pop("torch_dtype", None) or torch.float32
        name = os.fspath(pretrained_model_name_or_path)
        files = find_kontext(name, kwargs.pop("base_model", None), vlm=False)
        return cls.from_files(files, dtype, **kwargs)

    @classmethod
    def from_files(cls, files: KontextFiles, dtype: torch.dtype = torch.float32, **kwargs: Any) -> Self:
        """Load the base and its LoRAs on the CPU; no LoRA is on.

        Args:
            files: From `find_kontext`.
            dtype: Of all weights.
            **kwargs: `official`, `card`.

        Raises:
            ModelError: A part is damaged, or of another model.
        """
        pipe = cls(**load_parts(files, dtype), **kwargs)
        for name, folder in files.adapters.items():
            load_adapter(pipe.transformer, folder, name)
        pipe.register_to_config(_name_or_path=str(files.base))
        pipe.files = files
        pipe.model_hash = fingerprint_weights(files)
        return pipe

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write the base as a folder of FLUX.1-Kontext, which diffusers loads as well; LoRAs stay outside."""
        from diffusers import FluxKontextPipeline  # late: it imports image processors that warn

        with detached(self.transformer):
            FluxKontextPipeline(**self.components).save_pretrained(save_directory, **kwargs)

    @property
    def adapters(self) -> Mapping[str, bool]:
        """Name of a LoRA -> whether it is loaded."""
        return adapter_states(self.transformer)

    def run(self, request: Request, *, callback_on_step_end: StepCallback | None = None) -> ImageResult:
        """Serve one request.

        Raises:
            RequestError: The request cannot be served; the message says why and what would do.
        """
        return self.run_batch([request], callback_on_step_end=callback_on_step_end)[0]

    @torch.no_grad()
    def run_batch(
        self, requests: Sequence[Request], *, callback_on_step_end: StepCallback | None = None
    ) -> list[ImageResult]:
        """Serve many requests, those of one shape together. Noise depends on each request's own seed alone.

        Returns:
            The results in the order of the requests.

        Raises:
            RequestError: One of the requests cannot be served; none is.
        """
        plans, batches = self._sample(requests, callback_on_step_end)
        images: list[list[Image.Image]] = [[] for _ in plans]
        for members, latents in batches:
            pixels = to_uint8(self._decode(latents, [plans[number] for number in members]))
            for number, array in zip(members, pixels.numpy(), strict=True):
                images[number].append(Image.fromarray(array))
        self.maybe_free_model_hooks()
        return [
            ImageResult(images=tuple(own), provenance=record(plan, self.card, self.model_hash))
            for plan, own in zip(plans, images, strict=True)
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
        seed: int | None = None,
        generator: torch.Generator | None = None,
        num_images_per_prompt: int = 1,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        return_dict: bool = True,
        *,
        task: str | None = None,
        mask_image: ImageInput | Sequence[ImageInput] | None = None,
        adapter: str = "auto",
        rewrite: bool = True,
    ) -> DreamOmniPipelineOutput | tuple[Any]:
        """Make or edit images, with diffusers' names. `run` takes the same as a typed request.

        Args:
            prompt: A description (without `image`) or an instruction (with it); a list makes one batch.
            image: One image or, for one prompt, a list of them: the first is edited, the others are
                references (`task="subject"` makes all of them references). For a list of prompts: a list with
                an entry of that form for each.
            height: Height of the result in pixels; needs `width`. Left out: the size of image 1, or 1024.
            width: Width of the result in pixels.
            num_inference_steps: Denoising steps.
            guidance_scale: Told to the guidance embedding: how strictly to follow the words.
            seed: The first image of a prompt is drawn from this seed, the next from the one after. None means
                0.
            generator: Draws the seed instead.
            num_images_per_prompt: Images for every prompt.
            output_type: "pil", "np", "pt" or "latent".
            callback_on_step_end: Called as (pipeline, step, sigma, {"latents": latents}) after each step.
            return_dict: False returns `(images,)`.
            task: "text_to_image", "edit" or "subject", where the other arguments do not tell.
            mask_image: White where an edit may change image 1; the rest is put back as it came.
            adapter: "auto", "edit", "generate" or "none": which LoRA is on.
            rewrite: Whether the rewriter may revise the words of a request with references.

        Raises:
            RequestError: The arguments cannot be served; the message says why and what would do.
        """
        check_output_type(output_type)
        options = sampling_options(
            height, width, seed, generator, num_inference_steps, guidance_scale, num_images_per_prompt
        ) | {"adapter": adapter, "rewrite": rewrite}
        task = task or (None if mask_image is None else "edit")
        requests = requests_of(prompt, image, task, {"mask_image": mask_image}, options, None)
        if output_type == "pil":
            results = self.run_batch(requests, callback_on_step_end=callback_on_step_end)
            made: Any = [image for result in results for image in result.images]
            provenance = [result.provenance for result in results for _ in result.images]
        else:
            made, provenance = self._raw(requests, output_type, callback_on_step_end)
        return DreamOmniPipelineOutput(images=made, provenance=provenance) if return_dict else (made,)

    def _sample(
        self, requests: Sequence[Request], callback: StepCallback | None
    ) -> tuple[list[KontextPlan], list[tuple[list[int], Tensor]]]:
        """All stages up to the final latents.

        Returns:
            The plans; and for each batch the number of the plan of every image, and the latents (B, C, h, w).
            A plan's images come in the order of its seeds.
        """
        plans = [
            make_kontext_plan(request, self.card, loaded(self.transformer), official=self.official)
            for request in requests
        ]
        if self.step_cache is not None:
            note = approximation_note(self.step_cache)
            plans = [dataclasses.replace(plan, warnings=(*plan.warnings, note)) for plan in plans]
        plans = self._rewrite(plans)
        texts = self._encode_texts(plans)
        latents = self._encode_images(plans)
        by_shape: dict[Any, list[tuple[int, int]]] = {}
        for number, plan in enumerate(plans):
            by_shape.setdefault(plan.shape, []).extend((number, seed) for seed in plan.seeds)
        batches = []
        for jobs in by_shape.values():
            count = max(1, MAX_BATCH_TOKENS // plans[jobs[0][0]].num_tokens) if self.step_cache is None else 1
            waiting = iter(jobs)
            while batch := list(islice(waiting, count)):
                numbers, seeds = [number for number, _ in batch], [seed for _, seed in batch]
                own = [plans[number] for number in numbers]
                text = stages.TextEmbeds(
                    *(torch.cat(column) for column in zip(*(texts[plan.words] for plan in own), strict=True))
                )
                images = [[latents[fingerprint(image)] for image in plan.images] for plan in own]
                batches.append((numbers, self._denoise(own[0], seeds, text, images, callback)))
        return plans, batches

    def _rewrite(self, plans: Sequence[KontextPlan]) -> list[KontextPlan]:
        """Let the rewriter revise the words of the plans that have references."""
        if self.rewriter is None or not any(plan.rewrite for plan in plans):
            return list(plans)
        jobs = {
            number: Job(plan.prompt, plan.seen, "generate" if plan.task == "subject" else "edit")
            for number, plan in enumerate(plans)
            if plan.rewrite
        }
        with self._using("vlm"):
            found = dict(zip(jobs, self.rewriter.rewrite_all(list(jobs.values())), strict=True))
        return [
            plan.reworded(found[number]) if number in found else plan for number, plan in enumerate(plans)
        ]

    def _encode_texts(self, plans: list[KontextPlan]) -> dict[str, stages.TextEmbeds]:
        """Words -> embeddings of one row, each text once. Plans whose words are cut off get a warning."""
        device = self.execution_device
        for number, plan in enumerate(plans):
            count = num_tokens(self.tokenizer_2, plan.words)
            if count > MAX_T5_TOKENS:
                sentence = f"the words make {count} tokens, and only the first {MAX_T5_TOKENS} were read"
                plans[number] = plan.warned(sentence)
        words = list(dict.fromkeys(plan.words for plan in plans))
        with self._using("text_encoder"):
            pooled = [pooled_text(self.text_encoder, self.tokenizer, [text], device) for text in words]
        with self._using("text_encoder_2"):
            sequences = [
                sequence_text(self.text_encoder_2, self.tokenizer_2, [text], device) for text in words
            ]
        return {
            text: stages.TextEmbeds(*both)
            for text, both in zip(words, zip(pooled, sequences, strict=True), strict=True)
        }

    def _encode_images(self, plans: Sequence[KontextPlan]) -> dict[str, Tensor]:
        """Fingerprint of an image -> its latents (1, C, h, w); each image once."""
        unique = {fingerprint(image): image for plan in plans for image in plan.images}
        if not unique:
            return {}
        with self._using("vae"):
            autoencoder = Autoencoder(self.vae)
            return {
                key: stages.encode_image(autoencoder, image, self.execution_device)
                for key, image in unique.items()
            }

    def _denoise(
        self,
        plan: KontextPlan,
        seeds: Sequence[int],
        text: stages.TextEmbeds,
        images: Sequence[Sequence[Tensor]],
        callback: StepCallback | None,
    ) -> Tensor:
        """Make one image for each seed.

        Args:
            plan: Any of the batch; what it shares with the others is read.
            seeds: One for each image.
            text: A row for each image.
            images: For each image the latents of its input images.
            callback: See `run`.

        Returns:
            Latents (B, C, h, w), float32.
        """
        device, grid = self.execution_device, plan.noise_grid
        noise = start_noise(Autoencoder(self.vae), plan.canvas, seeds, GRID_PX)
        ids = stages.image_ids(grid, plan.image_grids, official=plan.official).to(device)
        schedule = stages.make_schedule(
            self.scheduler, plan.num_inference_steps, grid.num_tokens, text.sequence.dtype, device
        )
        with (
            self._using("transformer"),
            using(self.transformer, plan.adapter),
            caching_steps(self.transformer, self.step_cache),
            self.progress_bar(total=plan.num_inference_steps) as bar,
        ):
            conditions = stages.modulation_conditions(self.transformer, text, plan.guidance_scale)
            self._prepare_modulation(torch.cat(schedule.timesteps), conditions)
            velocity = stages.kontext_velocity(
                self.transformer, text, stages.stack_images(images), ids, schedule, plan.guidance_scale
            )

            def on_step(step: int, tokens: Tensor) -> None:
                bar.update()
                if callback is not None:
                    callback(self, step, schedule.sigmas[step], {"latents": unpack_latents(tokens, grid)})

            tokens = sample_euler(velocity, pack_latents(noise).to(device), schedule.sigmas, on_step=on_step)
        return unpack_latents(tokens, grid)

    def _decode(self, latents: Tensor, plans: Sequence[KontextPlan]) -> Tensor:
        """Pixels (B, 3, H, W) in about [-1, 1] of latents, a plan for each, kept parts put back."""
        with self._using("vae"):
            pixels = decode(Autoencoder(self.vae), latents, plans[0].size)
        return put_back(pixels, [plan.kept for plan in plans])

    def _raw(self, requests: Sequence[Request], output_type: str, callback: StepCallback | None) -> Any:
        """Arrays or tensors of results that all have one size, and their provenance."""
        plans, batches = self._sample(requests, callback)
        if len({plan.size for plan in plans}) != 1:
            raise RequestError(
                f"output_type {output_type!r} needs results of one size: use pil for mixed sizes"
            )
        order = [number for members, _ in batches for number in members]
        made = [
            latents if output_type == "latent" else self._decode(latents, [plans[n] for n in members])
            for members, latents in batches
        ]
        self.maybe_free_model_hooks()
        # Requests of different shapes run in different batches; the caller's order is that of the plans.
        stacked = torch.cat(made)[sorted(range(len(order)), key=lambda place: order[place])]
        provenance = [record(plan, self.card, self.model_hash) for plan in plans for _ in plan.seeds]
        if output_type == "latent":
            return stacked, provenance
        pixels = stacked.float().clamp(-1, 1) / 2 + 0.5
        return pixels if output_type == "pt" else pixels.permute(0, 2, 3, 1).cpu().numpy(), provenance
