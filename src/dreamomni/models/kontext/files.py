"""Where the parts of DreamOmni2 are: names of the hub, and folders in the published layout.

The published layout is `vlm-model/`, `edit_lora/` and `gen_lora/`; the base, a folder of FLUX.1-Kontext-dev,
is named apart, or is a folder `base/` beside them. Nothing is loaded here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamomni.errors import ModelError
from dreamomni.models.folder import ADAPTER_FOLDERS
from dreamomni.models.hub import download_snapshot

KONTEXT = "kontext"
"""The name under which the published model is known here."""
BASE_HUB_NAME = "black-forest-labs/FLUX.1-Kontext-dev"
EXTRAS_HUB_NAME = "xiabs/DreamOmni2"
BASE_CLASS = "FluxKontextPipeline"
BASE_FOLDER = "base"
VLM_FOLDER = "vlm-model"
ADAPTER_FILE = "pytorch_lora_weights.safetensors"
LICENCE = "FLUX.1 [dev] Non-Commercial License"
LICENCE_NOTICE = (
    "the base FLUX.1-Kontext-dev is under the FLUX.1 [dev] Non-Commercial License of Black Forest Labs: its "
    "weights are not for commercial use, and the licence says what its outputs may be used for"
)

_INDEX = "model_index.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "transformer": (("config.json",), ("*.safetensors",)),
    "vae": (("config.json",), ("*.safetensors",)),
    "text_encoder": (("config.json",), ("*.safetensors",)),
    "text_encoder_2": (("config.json",), ("*.safetensors",)),
    "tokenizer": (("tokenizer_config.json",), ("vocab.json", "tokenizer.json")),
    "tokenizer_2": (("tokenizer_config.json",), ("tokenizer.json", "spiece.model")),
    "scheduler": (("scheduler_config.json",),),
}
"""Part of the base -> the files it needs, each as the patterns of which one must be there."""


@dataclass(frozen=True, slots=True)
class KontextFiles:
    """The folders of one model.

    Attributes:
        name: As it was asked for.
        base: A complete folder of FLUX.1-Kontext.
        adapters: "edit" and "generate", as far as they are there, to their folders.
        vlm: Folder of the rewriter's network; None where there is none or it is not wanted.
    """

    name: str
    base: Path
    adapters: Mapping[str, Path]
    vlm: Path | None = None

    def weights(self, part: str) -> list[Path]:
        """The weight files of a part of the base, of an adapter ("edit", "generate") or of "vlm"."""
        folder = self.vlm if part == "vlm" else self.adapters.get(part, self.base / part)
        return [] if folder is None else sorted(folder.glob("*.safetensors"))


def is_base(folder: Path) -> bool:
    """Whether a folder is one of FLUX.1-Kontext, by its index."""
    return read_index(folder).get("_class_name") == BASE_CLASS


def is_published_layout(folder: Path) -> bool:
    """Whether a folder holds parts of DreamOmni2 as they are published."""
    if read_index(folder).get("_class_name") not in (None, BASE_CLASS):
        return False  # a model of ours may have adapters of these names
    return any((folder / name).is_dir() for name in (VLM_FOLDER, *ADAPTER_FOLDERS.values()))


def is_kontext(name: str) -> bool:
    """Whether a name or path stands for a model that is loaded from the published layout."""
    if name in (KONTEXT, BASE_HUB_NAME, EXTRAS_HUB_NAME) and not Path(name).is_dir():
        return True
    folder = Path(name).expanduser()
    return bool(name.strip()) and folder.is_dir() and (is_published_layout(folder) or is_base(folder))


def find_kontext(
    name: str, base_model: str | None = None, *, adapters: bool = True, vlm: bool = True
) -> KontextFiles:
    """Return the folders of a model, fetched from the hub where they are not local.

    Args:
        name: "kontext", a hub id of its parts, or a folder in the published layout or of the base alone.
        base_model: Folder or hub id of the base; None takes `base/` in the folder, the folder itself if it is
            one, or else the hub's.
        adapters: Whether the LoRAs are wanted, where the hub has to be asked for them.
        vlm: Whether the rewriter's 16 GB are wanted.

    Raises:
        ModelError: A folder is missing or incomplete, or the hub cannot deliver it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        extras: Path | None = folder
        inside = next((place for place in (folder / BASE_FOLDER, folder) if is_base(place)), None)
        if base_model is None and (folder / BASE_FOLDER).is_dir():
            inside = folder / BASE_FOLDER
        base = _find_base(base_model or (str(inside) if inside else BASE_HUB_NAME))
    else:
        base = _find_base(base_model or BASE_HUB_NAME)
        extras = None if name == BASE_HUB_NAME else _download_extras(adapters, vlm)
    if extras is None:
        return KontextFiles(name, base, {})
    found = {key: extras / place for key, place in ADAPTER_FOLDERS.items() if (extras / place).is_dir()}
    for key, place in found.items():
        if not (place / ADAPTER_FILE).is_file():
            raise ModelError(
                f"{place} lacks {ADAPTER_FILE}: download it again, or remove the folder to do without the "
                f"adapter {key!r}"
            )
    return KontextFiles(
        name, base, found, extras / VLM_FOLDER if vlm and (extras / VLM_FOLDER).is_dir() else None
    )


def check_base(folder: Path) -> None:
    """Refuse a folder that is no complete FLUX.1-Kontext.

    Raises:
        ModelError: The message lists what is missing, or names the other class that the folder holds.
    """
    held = read_index(folder).get("_class_name")
    if held not in (None, BASE_CLASS):
        raise ModelError(
            f"{folder} holds a {held}, but the base must be a {BASE_CLASS}: download {BASE_HUB_NAME}"
        )
    if missing := missing_files(folder):
        raise ModelError(f"{folder} is not a complete FLUX.1-Kontext: it lacks {', '.join(missing)}")


def missing_files(folder: Path) -> list[str]:
    """Return what a folder of FLUX.1-Kontext lacks, as paths inside it."""
    missing = [] if (folder / _INDEX).is_file() else [_INDEX]
    for part, wanted in NEEDED.items():
        for patterns in wanted:
            if not any(True for pattern in patterns for _ in (folder / part).glob(pattern)):
                missing.append(f"{part}/{' or '.join(patterns)}")
    return missing


def _find_base(name: str) -> Path:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not _HUB_ID.fullmatch(name) or name.startswith((".", "~", "/")):
            raise ModelError(
                f"there is no base model {name!r}: give a folder of FLUX.1-Kontext-dev, or a hub id, by "
                "--base-model"
            )
        patterns = [_INDEX, "LICENSE*", *(f"{part}/*" for part in NEEDED)]
        folder = download_snapshot(name, patterns, instead="give a local folder by --base-model")
    check_base(folder)
    return folder


def _download_extras(adapters: bool, vlm: bool) -> Path | None:
    wanted = [*(ADAPTER_FOLDERS.values() if adapters else ()), *([VLM_FOLDER] if vlm else ())]
    if not wanted:
        return None
    patterns = [f"{place}/*" for place in wanted]
    return download_snapshot(EXTRAS_HUB_NAME, patterns, instead="give its local folder by --model")


def read_index(folder: Path, name: str = _INDEX) -> Mapping[str, Any]:
    """Return the index of a pipeline folder, or another file of JSON; empty where it cannot be read."""
    try:
        index = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}
