"""The one door from the name of a model to a pipeline, whichever family the model is of.

Our own models (packaged, folders, hub ids) become a `DreamOmniPipeline`; "kontext", folders in the published
layout of DreamOmni2 and folders of FLUX.1-Kontext become a `KontextPipeline`. Both serve the same requests.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

import torch

from dreamomni.errors import ModelError
from dreamomni.inference.adapters import adapter_names
from dreamomni.inference.loading import read_grid, resolve_model
from dreamomni.inference.memory.opening import MemoryOptions, keep_plan, plan_model
from dreamomni.inference.pipeline import DreamOmniPipeline
from dreamomni.inference.plan import make_plan
from dreamomni.inference.step_cache import check_step_cache
from dreamomni.models.folder import ADAPTER_FOLDERS, read_card
from dreamomni.models.kontext.files import BASE_HUB_NAME, LICENCE_NOTICE, find_kontext, is_kontext
from dreamomni.models.transformer import DreamOmniTransformer2DModel
from dreamomni.tasks.request import Request

logger = logging.getLogger(__name__)

# The networks of one family are imported only where they are used: it takes seconds.
if TYPE_CHECKING:
    from dreamomni.inference.kontext.pipeline import KontextPipeline

Pipeline: TypeAlias = Union[DreamOmniPipeline, "KontextPipeline"]


def open_pipeline(
    name: str = "mini",
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    base_model: str | None = None,
    official: bool = False,
    rewriter: bool = True,
    memory: MemoryOptions | str = "auto",
    step_cache: float | None = None,
) -> Pipeline:
    """Load a model, ready to serve requests.

    Args:
        name: A packaged model ("mini"), "kontext", a folder, or a hub id.
        device: Where it computes.
        dtype: Of its weights.
        base_model: For DreamOmni2: folder or hub id of FLUX.1-Kontext. None takes `base/` in the folder, or
            the hub's.
        official: For DreamOmni2: round sizes and ids as the published release does.
        rewriter: Whether the VLM that revises prompts with references is wanted, where the model has one. It
            is loaded when it is first needed.
        memory: "auto", "full", "sequential", "offload" or "quantized", or more in a `MemoryOptions`. The plan
            is told before anything is loaded.
        step_cache: For Kontext: threshold of `inference.step_cache`, an approximation; None skips no step.

    Raises:
        ModelError: There is no such model, a part is missing or damaged, an option is for other models, or
            the memory does not suffice.
    """
    device = torch.device(device)
    options = memory if isinstance(memory, MemoryOptions) else MemoryOptions(memory)
    if not is_kontext(name):
        _refuse_foreign(name, base_model, official)
        check_step_cache(DreamOmniTransformer2DModel, step_cache)
        folder = resolve_model(name)
        plan = plan_model(folder, options, device=device, dtype=dtype)
        pipe: Pipeline = DreamOmniPipeline.from_pretrained(name, torch_dtype=dtype, rewriter=rewriter)
        keep_plan(pipe, plan, folder, device=device, dtype=dtype)
        return pipe
    from dreamomni.inference.kontext.pipeline import KontextPipeline
    from dreamomni.inference.rewriting.rewriter import Rewriter

    files = find_kontext(name, base_model, vlm=rewriter)
    logger.info(LICENCE_NOTICE)
    plan = plan_model(files, options, device=device, dtype=dtype)
    pipe = KontextPipeline.from_files(files, dtype, official=official)
    if files.vlm is not None:
        # The published VLM was trained on images at the official sizes, whatever the DiT is shown.
        pipe.rewriter = Rewriter.open(files.vlm, device=device, dtype=dtype, official=True)
    keep_plan(pipe, plan, files, device=device, dtype=dtype)
    check_step_cache(pipe.transformer, step_cache)
    pipe.step_cache = step_cache
    return pipe


def check_servable(
    request: Request, name: str, *, base_model: str | None = None, official: bool = False
) -> None:
    """Refuse what a model cannot serve, before its weights are loaded or fetched.

    Args:
        request: What the user asks for.
        name: See `open_pipeline`.
        base_model: See `open_pipeline`.
        official: See `open_pipeline`.

    Raises:
        RequestError: The request cannot be served; the message says why and what would do.
        ModelError: There is no such model, its folder is incomplete, or an option is for other models.
    """
    if not is_kontext(name):
        _refuse_foreign(name, base_model, official)
        folder = resolve_model(name)
        make_plan(request, read_card(folder), read_grid(folder), adapter_names(folder))
        return
    from dreamomni.inference.kontext.plan import kontext_card, make_kontext_plan

    folder = Path(name).expanduser()
    if folder.is_dir():
        names = tuple(adapter_names(folder))
    else:
        names = () if name == BASE_HUB_NAME else tuple(ADAPTER_FOLDERS)
    make_kontext_plan(request, kontext_card(), names, official=official)


def _refuse_foreign(name: str, base_model: str | None, official: bool) -> None:
    for option, given in (("--base-model", base_model is not None), ("--official", official)):
        if given:
            raise ModelError(
                f"{option} is for DreamOmni2's published weights, and {name!r} is not such a model: leave it "
                "out, or say --model kontext or a folder with vlm-model/, edit_lora/ or gen_lora/"
            )
