"""Scalar nonlinearities and their derivatives."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "Activation", "get_activation", "leaky"]


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


def _identity(z):
    return z, torch.ones_like(z)


def _square(z):
    return z * z, 2 * z


def _leaky(pair, slope):
    def leaky(z):
        phi, dphi = pair(z)
        return slope * z + (1 - slope) * phi, slope + (1 - slope) * dphi

    return leaky


LEAK, HALF = 0.1, 0.5  # Cai et al. need at least a half, and take a half
_PAIRS = {
    "identity": _identity,
    "square": _square,
    "silu": _silu,
    "tanh": _tanh,
    "erf": _erf,
    "relu": _leaky_relu(0.0),
    "gelu": _gelu,
    "softplus": _softplus,
    "leaky_relu": _leaky_relu(LEAK),
    "leaky_silu": _leaky(_silu, LEAK),
    "leaky_tanh": _leaky(_tanh, LEAK),
    "leaky_gelu": _leaky(_gelu, HALF),
    "leaky_softplus": _leaky(_softplus, HALF),
}
ACTIVATIONS = {name: Activation(name, pair) for name, pair in _PAIRS.items()}


def leaky(activation: "str | Activation", slope: float) -> Activation:
    """``slope * z + (1 - slope) * phi(z)``: an activation whose own slope stays away from zero.

    In `ACTIVATIONS`, ``"leaky_silu"``, ``"leaky_tanh"`` and ``"leaky_relu"`` leak by 0.1, ``"leaky_gelu"`` and
    ``"leaky_softplus"`` by 0.5.

    Raises:
        ValueError: for a slope outside ``(0, 1)``.
    """
    if not 0 < slope < 1:
        raise ValueError(f"the slope of a leaky activation lies strictly between 0 and 1; got {slope}")
    activation = get_activation(activation)
    return Activation(f"leaky {activation.name} ({slope:g})", _leaky(activation, slope))


def get_activation(name: "str | Activation") -> Activation:
    """Look up an activation by name; an `Activation` of your own is returned as it is.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if isinstance(name, Activation):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(
            f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}, or pass your own "
            "Activation(name, function) whose function returns (phi(z), phi'(z))"
        )
    return ACTIVATIONS[name]
