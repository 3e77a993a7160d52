"""Fetch a model from the hub, or out of its local cache; every way it can fail becomes one sentence.

Only files of the kinds that are asked for come: no pickle, and no code.
"""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from dreamomni.errors import ModelError

_NEVER = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5", "*.py")


def download_snapshot(name: str, patterns: Sequence[str], *, instead: str) -> Path:
    """Return the local folder of a hub repository, downloading what the cache lacks.

    Args:
        name: "owner/name".
        patterns: Files that are wanted, with wildcards.
        instead: What the user may do without the hub, for the end of a sentence.

    Raises:
        ModelError: There is no such repository, its terms are not accepted, or the hub cannot be reached.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), ignore_patterns=list(_NEVER)))
    except GatedRepoError:
        raise ModelError(
            f"model {name!r} needs its terms accepted on the hub, and a login (hf auth login)"
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"there is no model {name!r}: no such folder here, and no such repository on the hub"
        ) from None
    except HFValidationError:
        raise ModelError(
            f"there is no model {name!r}: no such folder here, and it is not a valid hub id"
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, OSError):
        raise ModelError(
            f"there is no folder {name!r} here, and the model hub cannot be reached: check the network, "
            f"or {instead}"
        ) from None
