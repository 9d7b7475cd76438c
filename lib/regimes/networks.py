"""Two-layer networks, one or many at once.

Symbols follow ``docs/NOTATION.md``: ``n`` samples, ``d`` inputs, ``m`` hidden units, ``...`` runs.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "SCALINGS", "Activation", "TwoLayer", "TwoLayerLinear", "get_activation"]


class Activation:
    """A scalar nonlinearity and its derivative.

    Calling it with pre-activations returns ``(phi(z), phi'(z))``, both of the shape of ``z``; the pair is computed together
    because the two share most of their work (SiLU: one sigmoid serves both).
    """

    def __init__(self, name: str, pair: Callable[[Tensor], tuple[Tensor, Tensor]]):
        self.name, self._pair = name, pair

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``phi(z)`` and ``phi'(z)``."""
        return self._pair(z)

    def __repr__(self) -> str:
        return self.name


def _silu(z):
    s = torch.sigmoid(z)
    phi = z * s
    return phi, s + phi * (1 - s)


def _tanh(z):
    phi = torch.tanh(z)
    return phi, 1 - phi**2


def _erf(z):  # the convention of Saad and Solla: phi(z) = erf(z / sqrt 2)
    return torch.erf(z / math.sqrt(2)), math.sqrt(2 / math.pi) * torch.exp(-(z**2) / 2)


def _leaky_relu(slope):
    def pair(z):
        dphi = slope + (1 - slope) * (z > 0).to(z.dtype)
        return dphi * z, dphi

    return pair


def _gelu(z):
    cdf = (1 + torch.erf(z / math.sqrt(2))) / 2
    return z * cdf, cdf + z * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _softplus(z):
    return F.softplus(z), torch.sigmoid(z)


def _leaky(pair, slope):
    """``slope * z + (1 - slope) * phi(z)``: an activation whose slope stays away from zero."""

    def leaky(z):
        phi, dphi = pair(z)
        return slope * z + (1 - slope) * phi, slope + (1 - slope) * dphi

    return leaky


LEAK = 0.1
_PAIRS = {
    "silu": _silu,
    "tanh": _tanh,
    "erf": _erf,
    "relu": _leaky_relu(0.0),
    "gelu": _gelu,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu(LEAK),
    "leaky_silu": _leaky(_silu, LEAK),
    "leaky_tanh": _leaky(_tanh, LEAK),
    "leaky_gelu": _leaky(_gelu, LEAK),
    "leaky_softplus": _leaky(_softplus, LEAK),
}
ACTIVATIONS = {name: Activation(name, pair) for name, pair in _PAIRS.items()}

# How the sum over hidden units is scaled, and the time scale that keeps the output's speed of order one.
SCALINGS = {
    "mean_field": (lambda m: 1 / m, lambda m: float(m)),
    "ntk": (lambda m: 1 / math.sqrt(m), lambda m: 1.0),
}


def get_activation(name: "str | Activation") -> Activation:
    """Look an activation up by name; an `Activation` of your own passes through.

    Raises:
        ValueError: for an unknown name, listing those there are.
    """
    if isinstance(name, Activation):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(
            f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}, or pass your own "
            "Activation(name, function) whose function returns (phi(z), phi'(z))"
        )
    return ACTIVATIONS[name]


class TwoLayer(nn.Module):
    r"""A network with one hidden layer, or a stack of such networks that are trained side by side.

    .. math:: f(x) = s(m) \sum_{j=1}^m v_j\, \phi(w_j \cdot [x, 1])

    with :math:`s(m) = 1/m` (``scaling="mean_field"``) or :math:`1/\sqrt m` (``scaling="ntk"``).

    Parameters are ``W`` of shape ``(..., m, d + 1)``, whose last column is the bias (``(..., m, d)`` without bias), and
    ``v`` of shape ``(..., m)``. The leading axes ``...`` are runs: ``runs=(3, 5)`` is fifteen networks in one tensor.

    Args:
        inputs: ``d``.
        width: ``m``.
        runs: shape of the run axes; ``()`` for a single network.
        activation: a name in `ACTIVATIONS`, or an `Activation`.
        scaling: ``"mean_field"`` or ``"ntk"``.
        bias: whether hidden units have a bias.
        std: standard deviation of the entries of ``W`` at the start; a number or a tensor of shape ``runs``.
        output_std: the same for ``v``. Zero (Arbel et al.'s choice) makes the network output zero at the start.
        seed: an integer, one integer a run (a tensor of shape ``runs``), or a ``torch.Generator``. Run ``i`` of a stack
            starts from the same numbers as a single network with that run's seed.
        dtype, device: of the parameters; every number the course claims is float64 on the CPU.

    Raises:
        ValueError: for an unknown activation or scaling, a size below one, or a negative standard deviation.

    Source: Arbel et al. 2023 (mean-field scaling, ``v = 0`` at the start).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        runs: tuple[int, ...] = (),
        activation: str | Activation = "silu",
        scaling: str = "mean_field",
        bias: bool = True,
        std: float | Tensor = 1.0,
        output_std: float | Tensor = 0.0,
        seed: int | Tensor | torch.Generator = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        if inputs < 1 or width < 1:
            raise ValueError(f"a network needs at least one input and one hidden unit; got {inputs=}, {width=}")
        if scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {scaling!r}; choose one of {', '.join(SCALINGS)}")
        self.inputs, self.width, self.runs = inputs, width, tuple(runs)
        self.scaling, self.bias = scaling, bias
        self.activation = get_activation(activation)
        w, v = _normal(seed, self.runs, [(width, inputs + bias), (width,)])
        self.W = nn.Parameter((_std(std, self.runs, "std", 2) * w).to(device, dtype))
        self.v = nn.Parameter((_std(output_std, self.runs, "output_std", 1) * v).to(device, dtype))

    @property
    def scale(self) -> float:
        """``s(m)``, the factor in front of the sum over hidden units."""
        return SCALINGS[self.scaling][0](self.width)

    @property
    def time_scale(self) -> float:
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

    def units(self, index: Tensor) -> "TwoLayer":
        """A network made of copies of some hidden units, in the scaling of its own width.

        ``index`` of shape ``(m',)`` holds the numbers of the units to take: a permutation reorders them,
        ``torch.arange(m).repeat(2)`` takes each twice, which in mean-field scaling leaves the outputs as they are. With further
        axes in front it makes a stack of runs: ``torch.arange(m).reshape(k, m // k)`` cuts one network into ``k`` pieces.

        Raises:
            IndexError: for a unit that does not exist.
            ValueError: for a single number instead of a list of units.
        """
        if index.ndim < 1:
            raise ValueError(f"units() takes a tensor of unit numbers, for one unit torch.tensor([{index.item()}])")
        W, v = self.W.detach()[..., index, :], self.v.detach()[..., index]
        options = {"activation": self.activation, "scaling": self.scaling, "bias": self.bias}
        net = TwoLayer(self.inputs, v.shape[-1], runs=v.shape[:-1], dtype=v.dtype, device=v.device, **options)
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


class TwoLayerLinear(nn.Module):
    r"""A linear function written with one layer too many, or a stack of them: :math:`f(x) = V U^T x`.

    The predictor is :math:`\Theta = U V^T`, ``(..., d, q)``. Parameters are ``U`` of shape ``(..., d, m)`` and ``V`` of shape
    ``(..., q, m)``; the leading axes are runs. There is no scaling and no bias: what makes the width ``m`` matter is the size
    of the start, ``std = m ** -alpha``.

    Args:
        inputs, outputs, width: ``d``, ``q``, ``m``.
        runs: shape of the run axes.
        std: standard deviation of the entries of ``U`` and ``V`` at the start; a number or a tensor of shape ``runs``.
        output_std: the same for ``V`` alone; as ``std`` if not given.
        seed, dtype, device: as for `TwoLayer`.

    Raises:
        ValueError: for a size below one, or a negative standard deviation.

    Source: Min et al. 2021, section 2 (their ``D, h, m`` are our ``d, m, q``).
    """

    time_scale = 1.0

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
        if min(inputs, outputs, width) < 1:
            raise ValueError(f"a network needs at least one of each; got {inputs=}, {outputs=}, {width=}")
        self.inputs, self.outputs, self.width, self.runs = inputs, outputs, width, tuple(runs)
        u, v = _normal(seed, self.runs, [(inputs, width), (outputs, width)])
        output_std = std if output_std is None else output_std
        self.U = nn.Parameter((_std(std, self.runs, "std", 2) * u).to(device, dtype))
        self.V = nn.Parameter((_std(output_std, self.runs, "output_std", 2) * v).to(device, dtype))

    @classmethod
    def stack(cls, starts: Iterable[tuple[Tensor, Tensor]]) -> "TwoLayerLinear":
        """A stack of networks, one run after the other, that start at copies of ``U`` (..., d, m) and ``V`` (..., q, m).

        Raises:
            ValueError: if the shapes do not belong together.
        """
        starts = list(starts)
        shapes = {(U.shape[:-2] == V.shape[:-2], U.shape[-2], V.shape[-2], U.shape[-1], V.shape[-1]) for U, V in starts}
        agree, d, q, m, m_v = shapes.pop() if len(shapes) == 1 else (False,) * 5
        if not agree or m != m_v:
            each = ", ".join(f"{tuple(U.shape)} with {tuple(V.shape)}" for U, V in starts)
            raise ValueError(
                f"pairs of U (..., d, m) and V (..., q, m) are needed, of the same d, q and m; got {each or 'none'}"
            )
        U, V = (torch.cat([t.detach().reshape(-1, *t.shape[-2:]) for t in layer]) for layer in zip(*starts, strict=True))
        net = cls(d, q, m, runs=(len(U),), std=0.0, dtype=U.dtype, device=U.device)
        with torch.no_grad():
            net.U.copy_(U)
            net.V.copy_(V)
        return net

    @property
    def predictor(self) -> Tensor:
        """``U V^T``, ``(..., d, q)``, without its history."""
        return (self.U @ self.V.mT).detach()

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``(..., n, q)`` for inputs ``(..., n, d)``.

        Raises:
            ValueError: if ``x`` does not end in ``(n, d)``.
        """
        if x.ndim < 2 or x.shape[-1] != self.inputs:
            raise ValueError(f"inputs must have shape (..., n, {self.inputs}); got {tuple(x.shape)}")
        return x @ self.U @ self.V.mT

    def extra_repr(self) -> str:
        """Shown by ``print(net)``."""
        runs = f", runs={self.runs}" if self.runs else ""
        return f"d={self.inputs}, m={self.width}, q={self.outputs}{runs}"


def _std(std, runs, name, axes):
    """``std`` broadcast to the runs, with ``axes`` trailing axes of length one."""
    std = torch.as_tensor(std, dtype=torch.float64)
    if (std < 0).any() or not torch.isfinite(std).all():
        raise ValueError(f"{name} must be a finite number >= 0; got {std.tolist()}")
    return std.expand(runs)[(...,) + (None,) * axes]


def _normal(seed, runs, shapes):
    """Standard normal float64 tensors of the given shapes behind the run axes, drawn on the CPU run by run."""
    if isinstance(seed, torch.Generator):
        return [torch.randn(*runs, *shape, generator=seed, dtype=torch.float64) for shape in shapes]
    seeds = torch.as_tensor(seed).expand(runs).flatten().tolist()
    draws = []
    for s in seeds:
        g = torch.Generator().manual_seed(s)
        draws.append([torch.randn(shape, generator=g, dtype=torch.float64) for shape in shapes])
    return [torch.stack(t).reshape(*runs, *shape) for t, shape in zip(zip(*draws, strict=True), shapes, strict=True)]
