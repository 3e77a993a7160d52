"""Which LoRA a request is served with, and the LoRAs of a model folder (DreamOmni2 section 3.2).

Editing and generation with references have a LoRA each. A request with one image to edit, or with words
alone, is served by the base model, which so keeps all that it could do before.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import nn

from dreamomni.errors import RequestError
from dreamomni.models.adapters import WEIGHTS_NAME, load_adapter, loaded, weights_of, write_adapter
from dreamomni.models.folder import ADAPTER_FOLDERS
from dreamomni.tasks.request import EditRequest, Request, SubjectRequest

MIN_EDIT_IMAGES = 2
"""An edit with so many images has a reference."""


def choose_adapter(request: Request, names: Collection[str]) -> str | None:
    """Return the LoRA that a request is served with, or None for the base model.

    Args:
        request: With `adapter`: "auto" goes by the task and the number of images, other words are orders.
        names: The LoRAs that the model has.

    Raises:
        RequestError: The LoRA that was asked for is not there.
    """
    if request.adapter == "none":
        return None
    if request.adapter == "auto":
        wanted = wanted_adapter(request)
        return wanted if wanted in names else None
    if request.adapter not in names:
        there = f"it has {', '.join(sorted(names))}" if names else "it has none"
        raise RequestError(
            f"the model has no LoRA {request.adapter!r} ({there}): leave the adapter to auto, or load one"
        )
    return request.adapter


def wanted_adapter(request: Request) -> str | None:
    """Return the LoRA that suits a request, whether or not a model has it."""
    if isinstance(request, SubjectRequest):
        return "generate"
    if isinstance(request, EditRequest) and len(request.images) >= MIN_EDIT_IMAGES:
        return "edit"
    return None


def load_adapters(transformer: nn.Module, folder: str | Path) -> tuple[str, ...]:
    """Load the LoRAs of a model folder that are there, all switched off; returns their names.

    Raises:
        ModelError: One of them cannot be used.
    """
    for name in adapter_names(folder):
        load_adapter(transformer, Path(folder) / ADAPTER_FOLDERS[name], name)
    return loaded(transformer)


def adapter_names(folder: str | Path) -> tuple[str, ...]:
    """Return the names of the LoRAs in a model folder, without reading them."""
    return tuple(name for name, subfolder in ADAPTER_FOLDERS.items() if (Path(folder) / subfolder).is_dir())


def save_adapters(transformer: nn.Module, folder: str | Path) -> None:
    """Write the LoRAs of a network into a model folder; those of other names into `NAME_lora`.

    Raises:
        OutputError: A file cannot be written.
    """
    for name in loaded(transformer):
        subfolder = ADAPTER_FOLDERS.get(name, f"{name}_lora")
        write_adapter(Path(folder) / subfolder / WEIGHTS_NAME, weights_of(transformer, name))


def adapter_states(transformer: nn.Module) -> Mapping[str, bool]:
    """Every LoRA that a model can have, and whether it is loaded; others that were loaded by hand as well."""
    there = loaded(transformer)
    return {
        name: name in there for name in (*ADAPTER_FOLDERS, *(n for n in there if n not in ADAPTER_FOLDERS))
    }
