"""What a reader would write for the course's two-layer network alone, in plain torch: the loops and formulas to compare with.

The network is ``f(x) = silu(X W^T) v / m``, without bias unless ``X`` carries a column of ones. The loss is ``|f - y|^2 / 2n``
and the time scale ``m``, as in the library.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def outputs(W: Tensor, v: Tensor, X: Tensor) -> Tensor:
    """``f(x)``, for autograd to differentiate."""
    return F.silu(X @ W.mT) @ v / len(v)


def features(W: Tensor, v: Tensor, X: Tensor) -> tuple[Tensor, Tensor]:
    """``Phi = phi(X W^T)`` and ``D = phi'(X W^T) diag(v)``, with one sigmoid."""
    Z = X @ W.mT
    sigmoid = torch.sigmoid(Z)
    Phi = Z * sigmoid
    return Phi, torch.addcmul(sigmoid, Phi, 1 - sigmoid).mul_(v)


def kernel(Phi: Tensor, D: Tensor, X: Tensor) -> Tensor:
    """``J J^T``, in float64 whatever comes, in place."""
    Phi, D, X = Phi.double(), D.double(), X.double()
    scale = Phi.shape[-1] ** -2
    return (D @ D.mT).mul_(X @ X.mT).addmm_(Phi, Phi.mT, alpha=scale, beta=scale)


def pull(Phi: Tensor, D: Tensor, X: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """``J^T u``."""
    u = u / Phi.shape[-1]
    return D.mT @ (u[:, None] * X), Phi.mT @ u


def damped_step(W: Tensor, v: Tensor, X: Tensor, y: Tensor, damping: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """``J^T (J J^T + damping)^-1 r`` by Cholesky, and ``r``."""
    Phi, D = features(W, v, X)
    r = Phi @ v / len(v) - y
    K = kernel(Phi, D, X)
    K.diagonal().add_(damping)
    alpha = torch.cholesky_solve(r.double()[:, None], torch.linalg.cholesky(K))[:, 0]
    return pull(Phi, D, X, alpha.to(r)), r


def gradient(W: Tensor, v: Tensor, X: Tensor, y: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """``m J^T r / n``, and ``r``."""
    Phi, D = features(W, v, X)
    r = Phi @ v / len(v) - y
    return pull(Phi, D, X, r * (len(v) / len(y))), r


def descend(W: Tensor, v: Tensor, y: Tensor, direction, lr: float, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """So many steps along ``direction(W, v)``: the parameters at the end, and the loss before each step and after the last."""
    W, v, losses = W.clone(), v.clone(), []
    for k in range(steps + 1):
        (dW, dv), r = direction(W, v)
        losses.append((r @ r).item() / (2 * len(y)))
        if k < steps:
            W.sub_(dW, alpha=lr)
            v.sub_(dv, alpha=lr)
    return W, v, torch.tensor(losses, dtype=torch.float64)


class HessianProduct:
    """``H (V, u)`` of the mean loss at one state, for few inputs: what does not depend on the direction is computed once.

    A unit's weights couple to themselves by a ``d x d`` block and to its output weight by a row of ``C``.
    """

    def __init__(self, W: Tensor, v: Tensor, X: Tensor, y: Tensor):
        Z = X @ W.mT
        sigmoid = torch.sigmoid(Z)
        self.X, self.n, self.m, self.Phi = X, len(y), len(v), Z * sigmoid
        slope = sigmoid + self.Phi * (1 - sigmoid)
        bend = sigmoid * (1 - sigmoid) * (2 + Z * (1 - 2 * sigmoid))
        r = (self.Phi @ v / self.m - y)[:, None]
        self.D, self.C = slope * v, (r * slope).mT @ X
        self.blocks = torch.einsum("nm,na,nb->mab", r * v * bend, X, X)

    def __call__(self, V: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Two matrix products as large as those of a gradient, and no array as large as ``D``."""
        q = ((self.X * (self.D @ V)).sum(1) + self.Phi @ u) / self.m
        hidden = self.D.mT @ (q[:, None] * self.X) + (self.blocks @ V[..., None])[..., 0] + u[:, None] * self.C
        output = self.Phi.mT @ q + (self.C * V).sum(1)
        return hidden / (self.n * self.m), output / (self.n * self.m)
