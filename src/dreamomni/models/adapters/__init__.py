"""LoRAs: read and write their files, and put them on a network.

`reading` and `writing` know the formats, `names` and `fusing` how FLUX.1 is called and cut elsewhere,
`attach` the live network.
"""

from dreamomni.models.adapters.attach import (
    activate,
    active,
    add_adapter,
    attach,
    detached,
    load_adapter,
    loaded,
    unload,
    using,
    weights_of,
)
from dreamomni.models.adapters.reading import WEIGHTS_NAME, read_adapter
from dreamomni.models.adapters.weights import AdapterWeights, LowRank
from dreamomni.models.adapters.writing import FORMATS, Format, write_adapter

__all__ = [
    "FORMATS",
    "WEIGHTS_NAME",
    "AdapterWeights",
    "Format",
    "LowRank",
    "activate",
    "active",
    "add_adapter",
    "attach",
    "detached",
    "load_adapter",
    "loaded",
    "read_adapter",
    "unload",
    "using",
    "weights_of",
    "write_adapter",
]
