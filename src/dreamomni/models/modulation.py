"""Modulation worked out before the loop: the matrices that see only the time leave the device.

Each block of a diffusion transformer scales and shifts its norms by a Linear of an embedding of time,
guidance and pooled text. None of these depends on the picture, so all steps' values are known before the
first step: for FLUX.1, 1.05 million numbers a step stand for 3.2 billion weights, 27% of its blocks (6.5 of
23.7 GB in bf16). Nothing is approximated: a row of a table is what the layer itself answered, adapters on it
included.

It works on diffusers' `FluxTransformer2DModel` and on our `DreamOmniTransformer2DModel`. While the tables are
in, what flows through the network in the place of the embedding are row numbers. A time, a guidance or a
pooled text that was not prepared is refused, never looked up next to it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from dreamomni.errors import ModelError

_FLUX_BLOCK_NORMS = ("norm1", "norm1_context", "norm")


class ModulationTable(nn.Module):
    """Stands where a modulation layer stood: row numbers (...) -> rows (..., out_features)."""

    def __init__(self) -> None:
        super().__init__()
        # A plain attribute: tables belong to one request, not to the model's state.
        self.rows_RO: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        assert self.rows_RO is not None, "a table is filled before it is read"
        return self.rows_RO[rows]


def modulate(layer: nn.Module, time: Tensor) -> Tensor:
    """Scales and shifts for a time: its embedding through SiLU and a Linear, or its row out of a table."""
    out: Tensor = layer(time) if isinstance(layer, ModulationTable) else layer(functional.silu(time))
    return out


class Conditions(NamedTuple):
    """What modulation depends on beside the time, for the B samples of a batch.

    Attributes:
        pooled: Pooled text (B, P) for Flux; None for networks whose modulation sees the time alone.
        guidance: (B,) as the network is given it; None where it has no guidance embedding.
    """

    pooled: Tensor | None = None
    guidance: Tensor | None = None


class _Swap(NamedTuple):
    """One attribute of the network while the tables are in, and while they are not."""

    parent: nn.Module
    attribute: str
    original: Any
    stand_in: Any


class _Site(NamedTuple):
    """One modulation layer, its table, and what changes places for it."""

    layer: nn.Module
    table: ModulationTable
    swaps: tuple[_Swap, ...]


class _FluxRows(nn.Module):
    """Stands where `time_text_embed` stood: (timestep, [guidance,] pooled text) -> a row for each sample."""

    def __init__(self, timesteps_S: Tensor, conditions: Conditions) -> None:
        super().__init__()
        self.timesteps_S, self.conditions = timesteps_S, conditions

    def forward(self, timestep_B: Tensor, *given: Tensor) -> Tensor:
        pooled, guidance = given[-1], given[0] if len(given) == 2 else None
        assert self.conditions.pooled is not None
        same = (pooled[:, None] == self.conditions.pooled.to(pooled)).all(dim=-1)
        if guidance is not None:
            assert self.conditions.guidance is not None
            same &= guidance[:, None] == self.conditions.guidance
        steps = _find(timestep_B, self.timesteps_S, "timestep")
        if not bool(same.any(dim=1).all()):
            raise ModelError(
                "the modulation was prepared for another text or guidance: prepare it for this one"
            )
        # The sample at the same place first: equal rows of one product may differ in their last bit.
        own = torch.arange(len(same), device=same.device) % same.shape[1]
        chosen = torch.where(same.gather(1, own[:, None])[:, 0], own, same.int().argmax(dim=1))
        return steps * same.shape[1] + chosen


class _TabledNormOut(nn.Module):
    """Flux's last norm out of a table; diffusers' own casts its input, which spoils row numbers."""

    def __init__(self, norm: nn.Module, table: ModulationTable) -> None:
        super().__init__()
        self.norm, self.table = norm, table

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        scale, shift = self.table(rows).chunk(2, dim=1)
        out: Tensor = self.norm(x) * (1 + scale)[:, None, :] + shift[:, None, :]
        return out


class PrecomputedModulation:
    """The modulation layers of one transformer, taken out of it, and the tables that stand in for them.

    `prepare` takes the layers out if they are in and follows whatever adapter is on; `restore` them before
    anything looks for them: loading an adapter, saving, training.

    Attributes:
        transformer: The network.
        layer_bytes: Bytes of the layers, which need not be on the device.
        paths: The names that the layers had in the network, in the order of `layers`.
    """

    def __init__(self, transformer: nn.Module) -> None:
        """Find the layers; the network is not touched yet.

        Raises:
            ModelError: It is a network whose modulation is not known here.
        """
        self.transformer: Any = transformer
        self._is_flux = type(transformer).__name__ == "FluxTransformer2DModel"
        self._sites: list[_Site] = []
        self.paths: list[str] = []
        self._embedding: Any = None
        self._key: tuple[Any, ...] | None = None
        self.layer_bytes = sum(
            weight.numel() * weight.element_size()
            for site in _find_sites(transformer)
            for weight in site.layer.parameters()
        )

    @property
    def released(self) -> bool:
        """Whether the layers are out of the network."""
        return bool(self._sites)

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables."""
        tables = [site.table.rows_RO for site in self._sites]
        return sum(rows.numel() * rows.element_size() for rows in tables if rows is not None)

    def release(self, keep_on: torch.device | str | None = None) -> None:
        """Take the layers out. Moving the network afterwards does not move them.

        Args:
            keep_on: Where they wait, such as "cpu"; None leaves them where they are.
        """
        if not self.released:
            names = {id(module): name for name, module in self.transformer.named_modules()}
            self._sites = _find_sites(self.transformer)  # anew, for adapters come and go
            self.paths = [names[id(site.layer)] for site in self._sites]
            for swap in self._swaps():
                setattr(swap.parent, swap.attribute, swap.stand_in)
        if keep_on is not None:
            for site in self._sites:
                site.layer.to(keep_on)

    def restore(self, device: torch.device | str | None = None) -> None:
        """Put the layers back as they were.

        Args:
            device: Move them there; None leaves them where they wait.
        """
        for site in self._sites if device is not None else ():
            site.layer.to(device)
        for swap in self._swaps():
            setattr(swap.parent, swap.attribute, swap.original)
        if self._is_flux and self._embedding is not None:
            self.transformer.time_text_embed = self._embedding
        elif not self._is_flux:
            self.transformer.time_rows = None
        self._sites, self._embedding, self._key = [], None, None

    @property
    def layers(self) -> list[nn.Module]:
        """The layers that are out, in a fixed order."""
        return [site.layer for site in self._sites]

    def _follow_adapters(self) -> None:
        """Switch adapters on layers that are out to what is on in the network."""
        state = _adapter_state(self.transformer)
        for layer in self.layers:
            if isinstance(layer, BaseTunerLayer) and state is not None:
                layer.enable_adapters(not state[0])
                if state[1]:
                    layer.set_adapter([name for name in state[1] if name in layer.lora_A])

    def _swaps(self) -> list[_Swap]:
        return [swap for site in self._sites for swap in site.swaps]

    @torch.no_grad()
    def prepare(
        self,
        timesteps: Sequence[float] | Tensor,
        conditions: Conditions | None = None,
        *,
        batch_size: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        fetch: Callable[[str, nn.Module], AbstractContextManager[None]] | None = None,
    ) -> None:
        """Work out every step's modulation and put the tables in.

        Args:
            timesteps: What the network will be given as `timestep`, one value for each step: 1 = noise, 0 =
                data.
            conditions: For Flux: the pooled text and guidance of the batch, as the network is given them.
            batch_size: Samples of a batch, for networks without such conditions. A matrix product of another
                number of rows may differ in the last bit.
            device: Where the steps run; None means where the network's other weights are. Layers that wait
                elsewhere come over one at a time.
            dtype: Of the network's activations; None means that of its weights.
            fetch: Entered with the path of each layer and the layer while its weights are needed.

        Raises:
            ModelError: Pooled text is missing.
        """
        device = torch.device(device) if device is not None else self.transformer.device
        dtype = dtype or self.transformer.dtype
        steps_S = torch.as_tensor(timesteps, device=device)
        conditions = conditions or Conditions()
        key = (steps_S, *conditions, batch_size, device, dtype, _adapter_state(self.transformer))
        if self._key is not None and _same(key, self._key):
            return
        self.release()
        self._follow_adapters()
        if self._is_flux:
            embeddings = self._embed_flux(steps_S, conditions, device, dtype)
        else:
            embeddings = self._embed_own(steps_S, batch_size, dtype)
        for path, site in zip(self.paths, self._sites, strict=True):
            with fetch(path, site.layer) if fetch is not None else nullcontext():
                site.table.rows_RO = _answers(site.layer, embeddings, device)
        self._key = key

    def _embed_flux(
        self, steps_S: Tensor, conditions: Conditions, device: torch.device, dtype: torch.dtype
    ) -> list[Tensor]:
        """The activated embedding (B, D) of each step, made as `FluxTransformer2DModel.forward` makes it."""
        if conditions.pooled is None:
            raise ModelError("the modulation of a Flux transformer depends on the pooled text: give it")
        pooled = conditions.pooled.to(device)
        scaled_S = steps_S.to(dtype) * 1000
        guidance = None if conditions.guidance is None else conditions.guidance.to(device, dtype) * 1000
        embed = self._embedding or self.transformer.time_text_embed
        given = (pooled,) if guidance is None else (guidance, pooled)
        embeddings = [
            functional.silu(_call(embed, device, step.expand(len(pooled)), *given)) for step in scaled_S
        ]
        self._embedding = embed
        self.transformer.time_text_embed = _FluxRows(scaled_S, Conditions(pooled, guidance))
        return embeddings

    def _embed_own(self, steps_S: Tensor, batch_size: int, dtype: torch.dtype) -> list[Tensor]:
        """The activated embedding (B, D) of each step, and of time zero, which input images see."""
        times_S = torch.cat([steps_S.float(), steps_S.new_zeros(1, dtype=torch.float32)])
        self.transformer.time_rows = None
        embeddings = [
            functional.silu(self.transformer._embed_time(time.expand(batch_size), dtype)) for time in times_S
        ]
        self.transformer.time_rows = _own_rows(times_S, batch_size)
        return embeddings


def _adapter_state(transformer: nn.Module) -> tuple[bool, tuple[str, ...]] | None:
    """Whether adapters are off, and which are on, at the first layer that has any; None where none has."""
    for module in transformer.modules():
        if isinstance(module, BaseTunerLayer):
            return bool(module.disable_adapters), tuple(module.active_adapters)
    return None


def _own_rows(times_S: Tensor, batch_size: int) -> Callable[[Tensor], Tensor]:
    def rows(sigma_B: Tensor) -> Tensor:
        places = torch.arange(len(sigma_B), device=sigma_B.device) % batch_size
        return _find(sigma_B.float(), times_S, "sigma") * batch_size + places

    return rows


def _find(values_B: Tensor, known_S: Tensor, name: str) -> Tensor:
    """The place of each value among the known ones."""
    same = values_B[:, None] == known_S
    if not bool(same.any(dim=1).all()):
        strange = values_B[~same.any(dim=1)][0].item()
        raise ModelError(
            f"the modulation of {name} {strange:g} was not prepared: prepare every step of the run"
        )
    return same.int().argmax(dim=1)


def _answers(layer: nn.Module, embeddings: list[Tensor], device: torch.device) -> Tensor:
    """What a layer answers to each embedding (B, D), as rows (S * B, out_features)."""
    weights = {name: tensor.to(device) for name, tensor in layer.state_dict(keep_vars=True).items()}
    return torch.cat([functional_call(layer, weights, (embedding,)) for embedding in embeddings])


def _call(module: nn.Module, device: torch.device, *inputs: Tensor) -> Tensor:
    weights = {name: tensor.to(device) for name, tensor in module.state_dict(keep_vars=True).items()}
    out: Tensor = functional_call(module, weights, inputs)
    return out


def _same(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    return all(
        torch.equal(a, b)
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else type(a) is type(b) and a == b
        for a, b in zip(left, right, strict=True)
    )


def _find_sites(transformer: Any) -> list[_Site]:
    sites = []

    def add(layer: nn.Module, *swaps: tuple[nn.Module, str, Callable[[ModulationTable], nn.Module]]) -> None:
        table = ModulationTable()
        changes = (_Swap(parent, name, getattr(parent, name), make(table)) for parent, name, make in swaps)
        sites.append(_Site(layer, table, tuple(changes)))

    if type(transformer).__name__ == "FluxTransformer2DModel":
        for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
            for name in _FLUX_BLOCK_NORMS:
                if (norm := getattr(block, name, None)) is not None:
                    # Row numbers must not pass the SiLU.
                    add(norm.linear, (norm, "linear", _itself), (norm, "silu", lambda _: nn.Identity()))
        last = transformer.norm_out
        add(last.linear, (transformer, "norm_out", lambda table: _TabledNormOut(last.norm, table)))
    elif type(transformer).__name__ == "DreamOmniTransformer2DModel":
        for place in transformer.modules():
            if hasattr(place, "modulation"):
                add(place.modulation, (place, "modulation", _itself))
        add(transformer.modulation_out, (transformer, "modulation_out", _itself))
    else:
        raise ModelError(f"the modulation of a {type(transformer).__name__} cannot be worked out beforehand")
    return sites


def _itself(table: ModulationTable) -> nn.Module:
    return table


def find_modulation_layers(network: nn.Module) -> list[nn.Module]:
    """The modulation layers that are in a network; none where its modulation is not known here."""
    if type(network).__name__ not in ("FluxTransformer2DModel", "DreamOmniTransformer2DModel"):
        return []
    return [site.layer for site in _find_sites(network)]
