"""What a recipe says of a LoRA for FLUX.1-Kontext (DreamOmni2 section 3.2). Values only."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from dreamomni.config import StrictConfig
from dreamomni.data.feeds import CollagePart, DataPart
from dreamomni.flow.timesteps import Timesteps, Uniform
from dreamomni.training.lora_config import FeatureCacheConfig, LoraConfig, Words, as_parts


class KontextTaskConfig(StrictConfig):
    """Train a LoRA of FLUX.1-Kontext on samples with one to five input images, at their own sizes."""

    free: ClassVar[frozenset[str]] = frozenset({"sample_steps", "sample_guidance_scale"})

    type: Literal["kontext"] = "kontext"
    data: Annotated[str | tuple[DataPart, ...], BeforeValidator(as_parts)]
    """Name or path of a data recipe, drawn on the fly; or parts, each with a weight."""
    base: str = "black-forest-labs/FLUX.1-Kontext-dev"
    """Folder of the base model, or its hub id."""
    lora: LoraConfig
    words: Words = "standard"
    frozen_precision: Literal["fp32", "bf16"] = "bf16"
    """Weights and arithmetic of all that does not learn, the base network included."""
    feature_cache: FeatureCacheConfig | None = None
    """Keeps moments of pictures. Text is read anew in every step: it would take 4 MB of disk a prompt."""
    timesteps: Timesteps = Uniform()
    """How sigmas are drawn."""
    guidance_scale: float = Field(3.5, ge=0)
    """What the network is told while it trains; it takes guidance as a number."""
    sample_steps: int = Field(28, gt=0)
    """Denoising steps of sample grids."""
    sample_guidance_scale: float = Field(3.5, ge=0)
    """Guidance of sample grids."""

    @property
    def parts(self) -> tuple[DataPart, ...]:
        """The parts of the data, also where one recipe was named."""
        return (CollagePart(recipe=self.data),) if isinstance(self.data, str) else self.data

    @property
    def text_dropout(self) -> float:
        """Share of samples without words: none, for a distilled network takes guidance as a number."""
        return 0.0

    @property
    def image_dropout(self) -> float:
        """Share without input images."""
        return 0.0

    @property
    def both_dropout(self) -> float:
        """Share with neither."""
        return 0.0

    @property
    def caches_text(self) -> bool:
        """Text is never kept."""
        return False

    @property
    def sorts_lengths(self) -> bool:
        """Every prompt takes 512 tokens."""
        return False

    @property
    def text_encoder_mode(self) -> Literal["frozen", "joint"]:
        """Text encoders do not learn."""
        return "frozen"

    @model_validator(mode="after")
    def _fits(self) -> "KontextTaskConfig":
        if not isinstance(self.data, str) and not self.data:
            raise ValueError("data is empty: name a data recipe, or at least one part")
        if self.feature_cache is not None and (self.feature_cache.text or not self.feature_cache.moments):
            raise ValueError(
                "feature_cache of a kontext task keeps moments and no text, which takes 512 tokens for every "
                "prompt: leave text and moments out"
            )
        return self
