"""Muon: momentum made orthogonal by Newton-Schulz steps, for hidden matrices. AdamW keeps everything else.

torch has one too; it always works in bfloat16, which a CPU without bf16 units emulates a hundred times
slower, and matrix by matrix. This one takes the precision of the hardware, and equal shapes in one go.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dreamomni.runtime import native_bf16

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Steep at zero, so few steps do."""
_NUM_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, scaled to the RMS of AdamW's update (0.2), with decoupled decay.

    Args:
        params: 2-D parameters.
        lr: learning rate, of AdamW's size.
        weight_decay: decoupled, multiplied by the rate.
        momentum: weight of the old average.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "closures are not used here"
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(tuple(parameter.shape), []).append(parameter)
            for shape, parameters in by_shape.items():
                updates = orthogonalise(self._directions(parameters, group["momentum"]))
                live: list[Tensor] = list(parameters)
                torch._foreach_mul_(live, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(
                    live, list(updates.unbind()), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5
                )

    def _directions(self, parameters: list[nn.Parameter], momentum: float) -> Tensor:
        directions = []
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
            directions.append(parameter.grad.lerp(state["momentum_buffer"], momentum))
        return torch.stack(directions)


def orthogonalise(matrices_BMN: Tensor) -> Tensor:
    """Bring every singular value of every matrix near 1; float32 out."""
    a, b, c = _QUINTIC
    dtype = torch.bfloat16 if native_bf16(matrices_BMN.device) else torch.float32
    wide = matrices_BMN.size(-2) <= matrices_BMN.size(-1)
    x = (matrices_BMN if wide else matrices_BMN.mT).to(dtype)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(_NUM_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).float()
