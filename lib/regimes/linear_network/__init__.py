r"""Two-layer linear networks, seen along the data: what moves, what is conserved, and a small system that closes.

Data ``X`` (n, d) of rank ``r`` split the inputs of the network: :math:`U = \Phi_1 U_1 + \Phi_2 U_2` with ``U_1`` in the row
space of ``X`` and ``U_2`` outside. Gradient descent and Gauss-Newton never move ``U_2``. With ``Z = [V; U_1]`` both have the
form :math:`\dot Z = A Z`, where the generator :math:`A = [[0, F^T], [F, 0]]` depends on ``Z`` only through its Gram matrix
:math:`G = Z Z^T`, which is ``(q + r, q + r)`` whatever the width.

Time and loss are those of Min et al. 2021: :math:`L = \frac12 \lVert Y - X U V^T\rVert^2`, a sum. The time of the mean loss in
the rest of the library is ``n`` times as long.
"""

from regimes.linear_network.dynamics import (
    draw_gram,
    final_norm,
    follow_gram,
    gauss_newton_factor,
    gradient_factor,
    imbalance,
    what_the_data_see,
)
from regimes.linear_network.init import balanced_init, orthogonal_init, six_inits

__all__ = [
    "balanced_init",
    "draw_gram",
    "final_norm",
    "follow_gram",
    "gauss_newton_factor",
    "gradient_factor",
    "imbalance",
    "orthogonal_init",
    "six_inits",
    "what_the_data_see",
]
