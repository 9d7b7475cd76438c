"""Linear functions written with two layers."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from regimes.arguments import run_shape, whole
from regimes.network import Network
from regimes.networks.init import per_run_std, placed, seeded_normal
from regimes.networks.two_layer_linear_jacobian import TwoLayerLinearJacobian

__all__ = ["TwoLayerLinear"]


class TwoLayerLinear(Network):
    r"""A linear function written with one layer too many, or a stack of them: :math:`f(x) = V U^T x`.

    The predictor is :math:`\Theta = U V^T`, ``(..., d, q)``. Parameters are ``U`` of shape ``(..., d, m)`` and ``V`` of shape
    ``(..., q, m)``; the leading axes are runs. There is no scaling and no bias: the width ``m`` matters through the size of
    the initialisation, ``std = m ** -alpha``.

    Args:
        inputs, outputs, width: ``d``, ``q``, ``m``.
        runs: shape of the run axes.
        std: standard deviation of the entries of ``U`` and ``V`` at initialisation; a number or a tensor of shape ``runs``.
        output_std: the same for ``V`` alone; ``std`` if not given.
        seed, dtype, device: as for `TwoLayer`.

    Raises:
        ValueError: for a size below one, or a negative standard deviation.

    Source: Min et al. 2021, section 2 (their ``D, h, m`` are our ``d, m, q``).
    """

    output_axes = 2

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        *,
        runs: tuple[int, ...] = (),
        std: float | Tensor = 1.0,
        output_std: float | Tensor | None = None,
        seed: int | Tensor | torch.Generator = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "width": width}
        inputs, outputs, width = (whole(value, name) for name, value in sizes.items())
        if min(inputs, outputs, width) < 1:
            raise ValueError(f"a network needs at least one of each; got {inputs=}, {outputs=}, {width=}")
        self.inputs, self.outputs, self.width, self.runs = inputs, outputs, width, run_shape(runs)
        u, v = seeded_normal(seed, self.runs, [(inputs, width), (outputs, width)])
        output_std = std if output_std is None else output_std
        self.U = nn.Parameter(placed(per_run_std(std, self.runs, "std", 2) * u, device, dtype))
        self.V = nn.Parameter(placed(per_run_std(output_std, self.runs, "output_std", 2) * v, device, dtype))

    @classmethod
    def stack(cls, starts: Iterable[tuple[Tensor, Tensor]]) -> "TwoLayerLinear":
        """A stack of networks, one run after another, that start at copies of ``U`` (..., d, m) and ``V`` (..., q, m).

        Raises:
            ValueError: if the shapes do not fit together.
        """
        starts = list(starts)
        fit = all(U.shape[:-2] == V.shape[:-2] and U.shape[-1] == V.shape[-1] for U, V in starts)
        sizes = {(U.shape[-2], V.shape[-2], U.shape[-1]) for U, V in starts}
        if not fit or len(sizes) != 1:
            each = ", ".join(f"{tuple(U.shape)} with {tuple(V.shape)}" for U, V in starts)
            raise ValueError(
                f"pairs of U (..., d, m) and V (..., q, m) are needed, of the same d, q and m; got {each or 'none'}"
            )
        U, V = (torch.cat([t.detach().reshape(-1, *t.shape[-2:]) for t in layer]) for layer in zip(*starts, strict=True))
        net = cls(*sizes.pop(), runs=(len(U),), std=0.0, dtype=U.dtype, device=U.device)
        with torch.no_grad():
            net.U.copy_(U)
            net.V.copy_(V)
        return net

    @property
    def predictor(self) -> Tensor:
        """``U V^T``, ``(..., d, q)``, detached."""
        return (self.U @ self.V.mT).detach()

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(..., n, q)`` for inputs ``(..., n, d)``.

        Raises:
            ValueError: if ``x`` does not end in ``(n, d)``.
        """
        if x.ndim < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"inputs must have shape (..., n, {self.inputs}); got {tuple(x.shape)}")
        return x @ self.U @ self.V.mT

    def jacobian(self, x: Tensor) -> TwoLayerLinearJacobian:
        """The Jacobian of the outputs in closed form: see `regimes.network.Network`."""
        return TwoLayerLinearJacobian(self, x)

    def extra_repr(self) -> str:
        """Shown by ``print(net)``."""
        runs = f", runs={self.runs}" if self.runs else ""
        return f"d={self.inputs}, m={self.width}, q={self.outputs}{runs}"
