"""The arguments of a pipeline call, with diffusers' names, as requests."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dreamomni.errors import RequestError
from dreamomni.tasks.geometry import Size
from dreamomni.tasks.request import Request, parse_request

_TASK_OF = {"mask_image": "inpaint", "margins": "outpaint", "drags": "drag", "control": "control"}
_FIELD_OF = {"mask_image": "mask"}
_DEPTH = {"drags": 2, "margins": 1}
"""How deep a list the value of one prompt is; 0 where it is none."""


def check_output_type(output_type: str) -> None:
    """Refuse an `output_type` that is none.

    Raises:
        RequestError: It is not "pil", "np", "pt" or "latent".
    """
    if output_type not in ("pil", "np", "pt", "latent"):
        raise RequestError(f"output_type {output_type!r} is unknown: say pil, np, pt or latent")


def sampling_options(
    height: int | None,
    width: int | None,
    seed: int | None,
    generator: torch.Generator | None,
    num_inference_steps: int | None,
    guidance_scale: float | None,
    num_images_per_prompt: int,
) -> dict[str, Any]:
    """Return the options of every request of a call, by the names of its fields.

    Raises:
        RequestError: Half a size, or both a seed and a generator, are given.
    """
    if (height is None) != (width is None):
        raise RequestError("height and width go together: give both, or none for the model's own size")
    if seed is not None and generator is not None:
        raise RequestError("give seed or generator, not both")
    if generator is not None:
        seed = int(torch.randint(2**48, (), generator=generator, device=generator.device))
    return {
        "size": None if width is None else Size(width, height or 0),
        "seed": seed or 0,
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "num_images": num_images_per_prompt,
    }


def requests_of(
    prompt: str | Sequence[str],
    image: Any,
    task: str | None,
    structure: Mapping[str, Any],
    options: Mapping[str, Any],
    image_guidance_scale: float | None,
) -> list[Request]:
    """Return a request for every prompt.

    Args:
        prompt: One text or a list.
        image: None, an image, or images; for a list of prompts a list with one of these for each.
        task: A task by name; None tells it from the other arguments.
        structure: `mask_image`, `margins`, `drags`, `control`, `colour`, `keep_outside`; None is not given.
            For a list of prompts each is one value for all, or a list with one for each.
        options: Options of every request, by the names of its fields.
        image_guidance_scale: For requests with images.

    Raises:
        RequestError: The arguments do not go together, or a request cannot be built from them.
    """
    prompts, images = _pair(prompt, image)
    given = {name: value for name, value in structure.items() if value is not None}
    several = None if isinstance(prompt, str) else len(prompts)
    requests = []
    for number, (text, own) in enumerate(zip(prompts, images, strict=True)):
        values = {
            _FIELD_OF.get(name, name): _one_of(name, value, number, several) for name, value in given.items()
        }
        values |= {**options, "task": task or _infer(given, bool(own)), "prompt": text}
        if own:
            values |= {"images": own, "image_guidance_scale": image_guidance_scale}
        requests.append(parse_request(values))
    return requests


def _infer(given: Mapping[str, Any], has_image: bool) -> str:
    telling = [name for name in _TASK_OF if name in given]
    if len(telling) > 1:
        raise RequestError(f"{' and '.join(telling)} together fit several tasks: say which by task=")
    if telling:
        return _TASK_OF[telling[0]]
    return "edit" if has_image else "text_to_image"


def _one_of(name: str, value: Any, number: int, several: int | None) -> Any:
    """The value of one prompt out of a list of prompts."""
    if several is None or _depth(value) <= _DEPTH.get(name, 0):
        return value
    if len(value) != several:
        raise RequestError(f"{several} prompts need a list of {several} for {name}, and {len(value)} came")
    return value[number]


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list | tuple) else 0


def _pair(prompt: str | Sequence[str], image: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Give every prompt its own tuple of images."""
    if isinstance(prompt, str):
        return [prompt], [_as_images(image)]
    prompts = list(prompt)
    if not prompts:
        raise RequestError("the list of prompts is empty")
    if image is None:
        return prompts, [()] * len(prompts)
    if not isinstance(image, list | tuple) or len(image) != len(prompts):
        count = len(image) if isinstance(image, list | tuple) else 1
        raise RequestError(f"{len(prompts)} prompts need a list of {len(prompts)} images, and {count} came")
    return prompts, [_as_images(own) for own in image]


def _as_images(image: Any) -> tuple[Any, ...]:
    if image is None:
        return ()
    return tuple(image) if isinstance(image, list | tuple) else (image,)
