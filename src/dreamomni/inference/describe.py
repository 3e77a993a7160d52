"""What a model is, told without running it: parameter counts from the meta device or from file headers."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from dreamomni.errors import ModelError
from dreamomni.inference.loading import hash_model, packaged_models, resolve_model, weight_files
from dreamomni.models.folder import ModelCard, read_card
from dreamomni.models.kontext.files import NEEDED, find_kontext, is_kontext
from dreamomni.models.presets import TRANSFORMER_PRESETS, count_parameters, transformer_config


def describe_model(name: str) -> dict[str, Any]:
    """Return the facts about a preset, a packaged model, a model folder or a hub id.

    Returns:
        Always `name`, `parameters` (of the transformer) and `parts` (counts that add up to `parameters` for a
        preset, and per component for a folder). A preset adds `config`; a model with weights adds `folder`,
        `components`, `dtypes`, `total_parameters`, `model_hash` and `card`.

    Raises:
        ModelError: There is no such preset or model, or its files are damaged.
    """
    if name in TRANSFORMER_PRESETS:
        counts = count_parameters(name)
        total = counts.pop("total")
        facts = {"name": name, "parameters": total, "parts": counts, "config": transformer_config(name)}
        weights = describe_folder(packaged_models()[name]) if name in packaged_models() else {}
        return facts | {key: value for key, value in weights.items() if key not in facts}
    return describe_kontext(name) if is_kontext(name) else describe_folder(resolve_model(name))


def describe_folder(folder: Path) -> dict[str, Any]:
    """Return the facts about a model folder, read from the headers of its weight files."""
    card = read_card(folder)
    return _facts(card, folder, hash_model(folder), weight_files(folder))


def describe_kontext(name: str) -> dict[str, Any]:
    """Return the facts about DreamOmni2's published weights, or a folder of FLUX.1-Kontext."""
    from dreamomni.inference.kontext.plan import kontext_card
    from dreamomni.inference.kontext.weights import fingerprint_weights

    files = find_kontext(name)
    paths = [path for part in (*NEEDED, *files.adapters, "vlm") for path in files.weights(part)]
    return _facts(kontext_card(), files.base, fingerprint_weights(files), paths)


def _facts(card: ModelCard, folder: Path, model_hash: str, paths: Iterable[Path]) -> dict[str, Any]:
    components: dict[str, int] = {}
    dtypes: dict[str, str] = {}
    for path in paths:
        component = path.parent.name
        try:
            with safe_open(path, framework="pt") as file:
                slices = [file.get_slice(key) for key in file.keys()]  # noqa: SIM118 - safe_open has no iterator
                count = sum(math.prod(part.get_shape()) for part in slices)
                kinds = sorted({str(part.get_dtype()) for part in slices})
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged or no safetensors file: {error}") from None
        components[component] = components.get(component, 0) + count
        dtypes[component] = ", ".join(kinds)
    return {
        "name": card.name,
        "parameters": components["transformer"],
        "parts": components,
        "components": components,
        "dtypes": dtypes,
        "total_parameters": sum(components.values()),
        "folder": str(folder),
        "model_hash": model_hash,
        "card": card.model_dump(mode="json"),
    }
