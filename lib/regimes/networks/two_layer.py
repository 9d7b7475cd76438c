"""Networks with one hidden layer."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regimes.arguments import run_shape, whole
from regimes.losses import Loss
from regimes.network import Network
from regimes.networks.activations import ActivationLike, get_activation
from regimes.networks.init import per_run_std, placed, seeded_normal
from regimes.networks.two_layer_derivatives import TwoLayerHessian, TwoLayerJacobian

__all__ = ["SCALINGS", "TwoLayer"]

# How the sum over hidden units is scaled, and the time scale that keeps the output's speed of order one.
SCALINGS = {
    "mean_field": (lambda m: 1 / m, lambda m: float(m)),
    "ntk": (lambda m: 1 / math.sqrt(m), lambda m: 1.0),
}


class TwoLayer(Network):
    r"""A network with one hidden layer, or a stack of such networks trained side by side.

    .. math:: f(x) = s(m) \sum_{j=1}^m v_j\, \phi(w_j \cdot [x, 1])

    with :math:`s(m) = 1/m` (``scaling="mean_field"``) or :math:`1/\sqrt m` (``scaling="ntk"``).

    Parameters are ``W`` of shape ``(..., m, d + 1)``, whose last column is the bias (``(..., m, d)`` without bias), and
    ``v`` of shape ``(..., m)``. The leading axes ``...`` are runs: ``runs=(3, 5)`` is fifteen networks in one tensor.

    Args:
        inputs: ``d``.
        width: ``m``.
        runs: shape of the run axes; ``()`` for a single network.
        activation: a name in `ACTIVATIONS`, an `Activation`, or an elementwise function such as ``torch.sin`` or ``nn.ELU()``.
        scaling: ``"mean_field"`` or ``"ntk"``.
        bias: whether hidden units have a bias.
        std: standard deviation of the entries of ``W`` at initialisation; a number or a tensor of shape ``runs``.
        output_std: the same for ``v``. Zero (Arbel et al.'s choice) makes the outputs zero at initialisation.
        seed: an integer, which gives the runs the seeds ``seed, seed + 1, ...``; a tensor of one integer per run; or a
            ``torch.Generator``. Run ``i`` of a stack starts from the same numbers as a single network with that run's seed.
            For equal initialisations, pass ``torch.full(runs, seed)``.
        dtype, device: of the parameters; every number the course claims is float64 on the CPU. Without a device it is torch's
            default device; the numbers are the same everywhere, because they are drawn on the CPU.

    Raises:
        ValueError: for an unknown activation or scaling, a size that is no whole number or below one, seeds or standard
            deviations that do not fit the runs, a negative standard deviation, or a device that is not there.

    Source: Arbel et al. 2023 (mean-field scaling, ``v = 0`` at initialisation).
    """

    output_axes = 1

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        runs: tuple[int, ...] = (),
        activation: ActivationLike = "silu",
        scaling: str = "mean_field",
        bias: bool = True,
        std: float | Tensor = 1.0,
        output_std: float | Tensor = 0.0,
        seed: int | Tensor | torch.Generator = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        self.inputs, self.width, self.runs = whole(inputs, "inputs"), whole(width, "width"), run_shape(runs)
        if self.inputs < 1 or self.width < 1:
            raise ValueError(f"a network needs at least one input and one hidden unit; got {inputs=}, {width=}")
        if scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {scaling!r}; choose one of {', '.join(SCALINGS)}")
        self.scaling, self.bias = scaling, bias
        self.activation = get_activation(activation)
        w, v = seeded_normal(seed, self.runs, [(self.width, self.inputs + bias), (self.width,)])
        self.W = nn.Parameter(placed(per_run_std(std, self.runs, "std", 2) * w, device, dtype))
        self.v = nn.Parameter(placed(per_run_std(output_std, self.runs, "output_std", 1) * v, device, dtype))

    @property
    def scale(self) -> float:
        """``s(m)``, the factor in front of the sum over hidden units."""
        return SCALINGS[self.scaling][0](self.width)

    @property
    def time_scale(self) -> float:  # type: ignore[override]  # follows from width and scaling
        """The factor in the flow ``dw/dt = -time_scale * J^T r / n`` that gives outputs a speed of order one at any width.

        ``m`` in mean-field scaling, 1 in NTK scaling. Step sizes and damping then mean the same at every width.
        """
        return SCALINGS[self.scaling][1](self.width)

    def augmented(self, x: Tensor) -> Tensor:
        """The inputs ``(..., n, d)`` with the bias column of ones appended (unchanged for a network without bias).

        Raises:
            ValueError: if ``x`` does not end in ``(n, d)``.
        """
        if x.ndim < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"inputs must have shape (..., n, {self.inputs}); got {tuple(x.shape)}")
        return F.pad(x, (0, 1), value=1.0) if self.bias else x

    def hidden(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``phi(z)`` and slopes ``phi'(z)`` of the hidden units, both ``(..., n, m)``."""
        return self.activation(self.augmented(x) @ self.W.mT)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(..., n)`` for inputs ``(..., n, d)``; ``x`` without run axes is shared by all runs."""
        return self.scale * (self.hidden(x)[0] @ self.v[..., None])[..., 0]

    def jacobian(self, x: Tensor) -> TwoLayerJacobian:
        """The Jacobian of the outputs in closed form: see `regimes.network.Network`."""
        return TwoLayerJacobian(self, x)

    def hessian(self, x: Tensor, y: Tensor, loss: Loss) -> TwoLayerHessian:
        """The Hessian of the mean loss in closed form: see `regimes.network.Network`."""
        return TwoLayerHessian(self, x, y, loss)

    def units(self, index: Tensor) -> "TwoLayer":
        """A network made of copies of some hidden units, in the scaling of its own width.

        ``index`` of shape ``(m',)`` holds the indices of the units to copy: a permutation reorders them,
        ``torch.arange(m).repeat(2)`` takes each twice, which in mean-field scaling leaves the outputs as they are. With more
        axes in front it makes a stack of runs: ``torch.arange(m).reshape(k, m // k)`` cuts one network into ``k`` pieces.

        Raises:
            IndexError: for a unit that does not exist.
            ValueError: for a single index instead of a list of them.
        """
        if index.ndim < 1:
            raise ValueError(f"units() takes a tensor of unit numbers, for one unit torch.tensor([{index.item()}])")
        W, v = self.W.detach()[..., index, :], self.v.detach()[..., index]
        net = TwoLayer(
            self.inputs,
            v.shape[-1],
            runs=v.shape[:-1],
            activation=self.activation,
            scaling=self.scaling,
            bias=self.bias,
            dtype=v.dtype,
            device=v.device,
        )
        with torch.no_grad():
            net.W.copy_(W)
            net.v.copy_(v)
        net.W.requires_grad_(self.W.requires_grad)
        net.v.requires_grad_(self.v.requires_grad)
        return net

    def extra_repr(self) -> str:
        """Shown by ``print(net)``."""
        runs = f", runs={self.runs}" if self.runs else ""
        return f"d={self.inputs}, m={self.width}, {self.activation}, {self.scaling}, bias={self.bias}{runs}"
