"""Networks of two layers and deep reversible ones, one or many at once.

Symbols follow ``docs/NOTATION.md``: ``n`` samples, ``d`` inputs, ``m`` hidden units, ``q`` outputs, ``...`` runs.
"""

from regimes.networks.activations import ACTIVATIONS, Activation, get_activation, leaky
from regimes.networks.committee import committee
from regimes.networks.reversible import HalfLayer, Reversible
from regimes.networks.signs import fix_signs
from regimes.networks.two_layer import SCALINGS, TwoLayer
from regimes.networks.two_layer_linear import TwoLayerLinear

__all__ = [
    "ACTIVATIONS",
    "SCALINGS",
    "Activation",
    "HalfLayer",
    "Reversible",
    "TwoLayer",
    "TwoLayerLinear",
    "committee",
    "fix_signs",
    "get_activation",
    "leaky",
]
