"""`check_model`: what is missing or wrong in a model on disk, part by part, with what to do about it.

It knows DreamOmni2's published layout, folders of FLUX.1-Kontext, and our own. No network is built.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from diffusers import AutoencoderKL
from transformers import Qwen2VLForConditionalGeneration

from dreamomni.errors import ModelError
from dreamomni.inference.loading import check_model_folder, packaged_models
from dreamomni.models.adapters import read_adapter
from dreamomni.models.adapters.attach import check_fits
from dreamomni.models.chat import CHAT_MODELS, check_vlm_folder
from dreamomni.models.components import LOADING_ERRORS
from dreamomni.models.folder import ADAPTER_FOLDERS, INDEX_NAME, read_card
from dreamomni.models.inspection import empty_network, inspect_network
from dreamomni.models.kontext.files import (
    BASE_CLASS,
    BASE_FOLDER,
    BASE_HUB_NAME,
    EXTRAS_HUB_NAME,
    NEEDED,
    VLM_FOLDER,
    KontextFiles,
    is_base,
    is_published_layout,
    missing_files,
    read_index,
)
from dreamomni.models.kontext.loading import NETWORKS, check_widths, load_part
from dreamomni.models.processor import ImageOnlyQwenVLProcessor
from dreamomni.models.transformer import DreamOmniTransformer2DModel

REWRITER_FOLDER = "rewriter"
State = Literal["ok", "absent", "wrong"]
_OURS = {
    "transformer": DreamOmniTransformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": Qwen2VLForConditionalGeneration,
}
_FETCH_BASE = f"download it: hf download {BASE_HUB_NAME} (its terms have to be accepted on the hub first)"
_AGAIN = "download this folder again"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one part.

    Attributes:
        part: Its folder, or what is said of several.
        state: "absent" is a part that a model may lack.
        found: What is there, or what is wrong with it.
        remedy: What to do; empty where all is well.
    """

    part: str
    state: State
    found: str
    remedy: str = ""


def check_model(name: str, base_model: str | None = None, *, finite: bool = True) -> list[Finding]:
    """Look at a model without loading it.

    Args:
        name: A folder, or a packaged model.
        base_model: Folder of FLUX.1-Kontext, where it is not in the model's own.
        finite: Whether to read all weights and look for NaN and infinity; else their headers alone.

    Raises:
        ModelError: There is no such folder, or nothing in it is of a model.
    """
    folder = packaged_models().get(name) or Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(f"there is no folder {name!r}: check the path, or download the model first")
    if is_published_layout(folder) or is_base(folder):
        return _check_published(folder, base_model, finite)
    if (folder / INDEX_NAME).is_file() or (folder / "transformer").is_dir():
        held = read_index(folder).get("_class_name")
        if held not in (None, "DreamOmniPipeline"):
            raise ModelError(
                f"{folder} holds a {held}, and known are DreamOmniPipeline and {BASE_CLASS}, which is "
                "DreamOmni2's base"
            )
        return _check_ours(folder, finite)
    raise ModelError(
        f"{folder} holds nothing of a model: no {INDEX_NAME}, and none of {VLM_FOLDER}, "
        f"{', '.join(ADAPTER_FOLDERS.values())}"
    )


def _check_published(folder: Path, base_model: str | None, finite: bool) -> list[Finding]:
    if base_model is not None:
        base = Path(base_model).expanduser()
    else:
        base = folder / BASE_FOLDER if (folder / BASE_FOLDER).is_dir() or not is_base(folder) else folder
    findings = _check_base(base, finite)
    if base == folder and not is_published_layout(folder):
        return findings
    transformer = _empty_transformer(base / "transformer", NETWORKS["transformer"], findings)
    remedy = f"download it: hf download {EXTRAS_HUB_NAME} --include"
    for name, place in ADAPTER_FOLDERS.items():
        findings.append(_check_adapter(folder / place, name, transformer, f'{remedy} "{place}/*"'))
    findings.append(_check_vlm(folder / VLM_FOLDER, f'{remedy} "{VLM_FOLDER}/*"', finite))
    return findings


def _check_base(base: Path, finite: bool) -> list[Finding]:
    if not base.is_dir():
        return [
            Finding(
                BASE_FOLDER,
                "wrong",
                f"there is no FLUX.1-Kontext here ({base})",
                f"give its folder by --base-model, or {_FETCH_BASE}",
            )
        ]
    held = read_index(base).get("_class_name")
    if held != BASE_CLASS:
        said = f"a {held}" if held else f"no {INDEX_NAME} that can be read"
        return [Finding(base.name, "wrong", f"it holds {said}, and not a {BASE_CLASS}", _FETCH_BASE)]
    findings = [Finding(INDEX_NAME, "ok", str(held))]
    missing = missing_files(base)
    for part in NEEDED:
        lacking = [name for name in missing if name.startswith(f"{part}/")]
        if lacking:
            findings.append(Finding(part, "wrong", f"it lacks {', '.join(lacking)}", _AGAIN))
        elif part in NETWORKS:
            findings.append(_check_network(base / part, NETWORKS[part], finite))
        else:
            files = KontextFiles(str(base), base, {})
            findings.append(_check_helper(part, partial(load_part, files, part)))
    if all(finding.state == "ok" for finding in findings):
        findings.append(_check_together(base))
    return findings


def _check_together(base: Path) -> Finding:
    """Whether the parts of a base, each good by itself, belong to one model."""
    configs = {part: _read_config(base / part) for part in NETWORKS}
    try:
        check_widths(
            str(base),
            configs["transformer"],
            latent_channels=configs["vae"]["latent_channels"],
            pooled=configs["text_encoder"]["hidden_size"],
            text=configs["text_encoder_2"]["d_model"],
        )
    except (ModelError, KeyError) as error:
        return Finding("parts together", "wrong", str(error), _FETCH_BASE)
    return Finding("parts together", "ok", "of one model")


def _read_config(folder: Path) -> dict[str, Any]:
    return dict(read_index(folder, "config.json"))


def _check_ours(folder: Path, finite: bool) -> list[Finding]:
    findings = [
        _check_helper(INDEX_NAME, lambda: check_model_folder(folder)),
        _check_helper("card.json", lambda: read_card(folder)),
        *(_check_network(folder / part, cls, finite) for part, cls in _OURS.items()),
        _check_helper("processor", lambda: ImageOnlyQwenVLProcessor.from_pretrained(folder / "processor")),
    ]
    transformer = _empty_transformer(folder / "transformer", DreamOmniTransformer2DModel, findings)
    for name, place in ADAPTER_FOLDERS.items():
        findings.append(_check_adapter(folder / place, name, transformer, "train one, or do without"))
    findings.append(_check_vlm(folder / REWRITER_FOLDER, "train one, or do without", finite))
    return findings


def _check_network(folder: Path, cls: Any, finite: bool) -> Finding:
    found = inspect_network(folder, cls, finite=finite)
    if found.problems:
        return Finding(folder.name, "wrong", "; ".join(found.problems), _AGAIN)
    return Finding(folder.name, "ok", str(found))


def _check_helper(name: str, load: Callable[[], Any]) -> Finding:
    try:
        load()
    except (ModelError, *LOADING_ERRORS) as error:
        return Finding(name, "wrong", " ".join(str(error).split())[:300], _AGAIN)
    return Finding(name, "ok", "readable")


def _check_adapter(folder: Path, name: str, transformer: Any, remedy: str) -> Finding:
    if not folder.is_dir():
        return Finding(folder.name, "absent", f"no LoRA {name!r}", remedy)
    try:
        weights = read_adapter(folder)
        if transformer is not None:
            check_fits(transformer, weights)
    except ModelError as error:
        return Finding(folder.name, "wrong", str(error), f"{remedy}, or remove the folder")
    ranks = ", ".join(map(str, weights.ranks))
    fits = "" if transformer is not None else "; not compared with the transformer, which is wrong itself"
    return Finding(folder.name, "ok", f"LoRA {name!r} of rank {ranks} on {len(weights.layers)} layers{fits}")


def _check_vlm(folder: Path, remedy: str, finite: bool) -> Finding:
    if not folder.is_dir():
        return Finding(folder.name, "absent", "no rewriter: prompts are read as they stand", remedy)
    try:
        kind = check_vlm_folder(folder)
        processor = ImageOnlyQwenVLProcessor.from_pretrained(folder)
    except (ModelError, *LOADING_ERRORS) as error:
        return Finding(folder.name, "wrong", " ".join(str(error).split())[:300], remedy)
    found = inspect_network(folder, CHAT_MODELS[kind], finite=finite)
    problems = list(found.problems)
    image_token = _read_config(folder).get("image_token_id", processor.image_token_id)
    if image_token != processor.image_token_id:
        problems.append(
            f"its image token is {image_token}, and that of its processor {processor.image_token_id}"
        )
    if problems:
        return Finding(folder.name, "wrong", "; ".join(problems), remedy)
    return Finding(folder.name, "ok", f"{kind}, {found}")


def _empty_transformer(folder: Path, cls: Any, findings: Sequence[Finding]) -> Any:
    """The network that a LoRA must fit, without weights; None where it is not known to be right itself."""
    if not any(finding.part == folder.name and finding.state == "ok" for finding in findings):
        return None
    return empty_network(folder, cls)
