"""What a model is known by in the provenance: a hash of its weights that does not read 33 GB of them."""

import hashlib
import struct
from pathlib import Path

from dreamomni.models.kontext.files import NEEDED, KontextFiles
from dreamomni.storage import sha256_file

_WHOLE_BYTES = 64 * 2**20
"""Files up to this size are hashed whole."""
_NUM_SAMPLES = 256
_SAMPLE_BYTES = 4096


def fingerprint_weights(files: KontextFiles) -> str:
    """Return a sha256 (hex) over the weights of the base and the LoRAs.

    Large files count by their size, their header (names, shapes, places) and 256 samples of 4 KiB, evenly
    spaced. Weights that were trained further differ in nearly every sample; a single changed number may go
    unnoticed.
    """
    digest = hashlib.sha256()
    for part in (*NEEDED, *files.adapters):
        for path in files.weights(part):
            digest.update(f"{part} {path.name} {_fingerprint_file(path)}\n".encode())
    return digest.hexdigest()


def _fingerprint_file(path: Path) -> str:
    size = path.stat().st_size
    if size <= _WHOLE_BYTES:
        return sha256_file(path)
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        start = file.read(8)
        header = min(struct.unpack("<Q", start)[0], size)
        digest.update(start + file.read(header))
        for number in range(_NUM_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * number // (_NUM_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
