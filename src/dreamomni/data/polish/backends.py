"""Where better words come from: an OpenAI-compatible endpoint, or a local transformers model."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dreamomni.errors import ConfigError, DataError, ModelError

PROMPT_VERSION = "1"
SYSTEM_PROMPT = (
    "You rewrite short image descriptions and editing instructions in natural, varied English. Keep every "
    "number, every color, every position, every name of a thing and everything in double quotes exactly as "
    "given, and keep what belongs to what. Add no new facts. Answer with the new text alone on one line."
)
_MAX_TOKENS = 256


class Backend(Protocol):
    """Something that rewrites texts."""

    @property
    def identity(self) -> str:
        """What decides an answer besides the text: kind, model, temperature."""
        ...

    def rewrite(self, text: str) -> str:
        """One answer as it came, unchecked.

        Raises:
            DataError: No answer could be had for this text.
            ConfigError: None can be had for any: wrong address, key or model.
        """
        ...


class EndpointBackend:
    """Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, OpenAI itself.

    Args:
        base_url: Address up to and including `/v1`.
        model: Name of the model there.
        api_key: Key, when the server wants one.
        timeout: Seconds to wait for one answer.
        max_retries: How often a failed request is repeated (with growing pauses; `Retry-After` is kept to).
        temperature: Sampling temperature.

    Raises:
        ConfigError: The address is none, or the `openai` package is missing.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 3,
        temperature: float = 0.7,
    ) -> None:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", base_url):
            raise ConfigError(f"{base_url!r} is no address; write it as http://localhost:8000/v1")
        if not (math.isfinite(timeout) and timeout > 0):
            raise ConfigError(f"a timeout of {timeout} seconds is impossible; it must be above 0")
        try:
            import openai
        except ImportError:
            raise ConfigError(
                "polishing through an endpoint needs the openai package: pip install 'dreamomni[data]'"
            ) from None
        self._openai: Any = openai
        self.base_url, self.model, self.temperature = base_url, model, temperature
        self._client = openai.OpenAI(
            base_url=base_url, api_key=api_key or "none", timeout=timeout, max_retries=max_retries
        )

    @property
    def identity(self) -> str:
        """See `Backend`. The address is no part of it: a model may move."""
        return f"chat/{self.model}/t{self.temperature:g}"

    def rewrite(self, text: str) -> str:
        """See `Backend`."""
        openai = self._openai
        try:
            completion = self._client.chat.completions.create(
                model=self.model,
                messages=[{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}],
                temperature=self.temperature,
                max_tokens=_MAX_TOKENS,
            )
            answer = completion.choices[0].message.content
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise ConfigError(
                f"{self.base_url} refuses the key ({error.status_code}): give --api-key"
            ) from error
        except openai.NotFoundError as error:
            raise ConfigError(
                f"{self.base_url} has no model {self.model!r} or is no chat endpoint (404): check both"
            ) from error
        except openai.APIConnectionError as error:
            raise DataError(f"{self.base_url} gives no answer: {error}") from error
        except openai.APIError as error:
            raise DataError(f"{self.base_url} failed: {error}") from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.base_url} answered with something that is no completion") from error
        if not isinstance(answer, str):
            raise DataError(f"{self.base_url} answered without any text")
        return answer


class LocalBackend:
    """A causal language model in transformers' format, greedy, so that its answers can be repeated.

    Args:
        source: Folder or hub id.
        device: Where it runs.

    Raises:
        ModelError: Nothing is there, or it is no language model with a chat template.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = Path(source)
        if folder.exists() and not (folder / "config.json").is_file():
            raise ModelError(f"{source} is no model folder: it has no config.json")
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source)
            self._model: Any = AutoModelForCausalLM.from_pretrained(source).to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{source} cannot be loaded as a language model: {reason}") from error
        if self._tokenizer.chat_template is None:
            raise ModelError(f"{source} has no chat template: name an instruction-tuned model")
        self.source = source

    @property
    def identity(self) -> str:
        """See `Backend`."""
        return f"local/{self.source}/greedy"

    def rewrite(self, text: str) -> str:
        """See `Backend`."""
        import torch

        messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}]
        inputs = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, max_new_tokens=_MAX_TOKENS, do_sample=False)
        new: Sequence[int] = tokens[0, inputs["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(new, skip_special_tokens=True))
