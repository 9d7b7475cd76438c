"""Scalar nonlinearities and their derivatives."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "Activation", "ActivationLike", "get_activation", "leaky"]


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


ActivationLike = str | Activation | Callable[[Tensor], Tensor]


def _silu(z):
    s = torch.sigmoid(z)
    phi = z * s
    return phi, s.neg().add_(1).mul_(phi).add_(s)  # s + phi (1 - s), in place: one further array of this size, and no more


def _tanh(z):
    phi = torch.tanh(z)
    return phi, 1 - phi**2


def _erf(z):  # the convention of Saad and Solla: phi(z) = erf(z / sqrt 2)
    return torch.erf(z / math.sqrt(2)), math.sqrt(2 / math.pi) * torch.exp(-(z**2) / 2)


def _leaky_relu(slope, z):
    dphi = slope + (1 - slope) * (z > 0).to(z.dtype)
    return dphi * z, dphi


def _gelu(z):
    cdf = (1 + torch.erf(z / math.sqrt(2))) / 2
    return z * cdf, cdf + z * torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _softplus(z):
    return F.softplus(z), torch.sigmoid(z)


def _identity(z):
    return z, torch.ones_like(z)


def _square(z):
    return z * z, 2 * z


def _leaky(pair, slope, z):
    phi, dphi = pair(z)
    return slope * z + (1 - slope) * phi, slope + (1 - slope) * dphi


def _by_autograd(function, z):
    """Of any elementwise function; a copy, because it may write into what it gets."""
    phi, vjp = torch.func.vjp(lambda t: function(t.clone()), z)[:2]
    return phi, vjp(torch.ones_like(phi))[0]


LEAK, HALF = 0.1, 0.5  # Cai et al. need at least a half, and take a half
_PAIRS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "identity": _identity,
    "square": _square,
    "silu": _silu,
    "tanh": _tanh,
    "erf": _erf,
    "relu": partial(_leaky_relu, 0.0),  # not a closure, which could not be pickled
    "gelu": _gelu,
    "softplus": _softplus,
    "leaky_relu": partial(_leaky_relu, LEAK),
    "leaky_silu": partial(_leaky, _silu, LEAK),
    "leaky_tanh": partial(_leaky, _tanh, LEAK),
    "leaky_gelu": partial(_leaky, _gelu, HALF),
    "leaky_softplus": partial(_leaky, _softplus, HALF),
}
ACTIVATIONS = {name: Activation(name, pair) for name, pair in _PAIRS.items()}


def leaky(activation: ActivationLike, slope: float) -> Activation:
    """``slope * z + (1 - slope) * phi(z)``: an activation whose own slope stays away from zero.

    In `ACTIVATIONS`, ``"leaky_silu"``, ``"leaky_tanh"`` and ``"leaky_relu"`` leak by 0.1, ``"leaky_gelu"`` and
    ``"leaky_softplus"`` by 0.5.

    Raises:
        ValueError: for a slope outside ``(0, 1)``.
    """
    if not 0 < slope < 1:
        raise ValueError(f"the slope of a leaky activation lies strictly between 0 and 1; got {slope}")
    activation = get_activation(activation)
    return Activation(f"leaky {activation.name} ({slope:g})", partial(_leaky, activation, slope))


def get_activation(activation: ActivationLike) -> Activation:
    """The activation of this name, an `Activation` as it is, or an elementwise function with its derivative by autograd.

    >>> phi, slope = get_activation(torch.sin)(torch.tensor([0.0, math.pi]))
    >>> slope
    tensor([ 1., -1.])

    Raises:
        ValueError: for an unknown name, where the message lists the known ones; for a function that is not elementwise, cannot
            be differentiated, or has parameters of its own, which would not be trained.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if callable(activation) and not isinstance(activation, type):
        _check_elementwise(activation)
        return Activation(getattr(activation, "__name__", repr(activation)), partial(_by_autograd, activation))
    raise ValueError(
        f"unknown activation {activation!r}; choose one of {', '.join(ACTIVATIONS)}, or pass an elementwise function such as "
        "torch.sin or nn.ELU(), or your own Activation(name, function) whose function returns (phi(z), phi'(z))"
    )


def _check_elementwise(function: Callable[[Tensor], Tensor]) -> None:
    """Compare a function of twelve numbers with the function of each."""
    if isinstance(function, nn.Module) and any(True for _ in function.parameters()):
        raise ValueError(
            f"the activation {function!r} has parameters of its own, which would not be trained: write your own module"
        )
    mixed = 5 * torch.arange(12, device="cpu") % 12  # a function that sorts would leave sorted numbers alone
    z = torch.linspace(-2.0, 2.2, 12, dtype=torch.float64, device="cpu")[mixed].reshape(3, 4)
    try:
        phi, slope = _by_autograd(function, z)
        alone = torch.stack([_by_autograd(function, t.reshape(1, 1))[0] for t in z.flatten()]).reshape(z.shape)
        same = phi.dtype == z.dtype and phi.shape == slope.shape == z.shape and torch.allclose(phi, alone, equal_nan=True)
    except Exception as error:  # whatever it raises for shapes it was not made for
        raise ValueError(f"the activation {function!r} is not an elementwise function with a derivative: {error}") from error
    if not same:
        raise ValueError(
            f"the activation {function!r} is not elementwise: each number of its result must depend on the number in its place "
            "alone, be of its dtype, and not be random"
        )
