"""Networks of two layers and deep reversible ones, one or many at once.

Symbols follow ``docs/NOTATION.md``: ``n`` samples, ``d`` inputs, ``m`` hidden units, ``q`` outputs, ``...`` runs.
"""

from regimes.network import Network
from regimes.networks.activations import ACTIVATIONS, Activation, ActivationLike, get_activation, leaky
from regimes.networks.committee import committee
from regimes.networks.reversible import HalfLayer, Reversible
from regimes.networks.reversible_jacobian import ReversibleJacobian
from regimes.networks.signs import fix_signs
from regimes.networks.two_layer import SCALINGS, TwoLayer
from regimes.networks.two_layer_derivatives import TwoLayerHessian, TwoLayerJacobian
from regimes.networks.two_layer_linear import TwoLayerLinear
from regimes.networks.two_layer_linear_jacobian import TwoLayerLinearJacobian

__all__ = [
    "ACTIVATIONS",
    "SCALINGS",
    "Activation",
    "ActivationLike",
    "HalfLayer",
    "Network",
    "Reversible",
    "ReversibleJacobian",
    "TwoLayer",
    "TwoLayerHessian",
    "TwoLayerJacobian",
    "TwoLayerLinear",
    "TwoLayerLinearJacobian",
    "committee",
    "fix_signs",
    "get_activation",
    "leaky",
]
