"""The same tasks by other routes, each as short as its users would write it. ``(W, v, x, r, damping)`` to a tensor."""

import torch
from torch import nn
from torch.func import grad, jacrev, vmap
from torch.nn import functional as F


def outputs(W, v, x):
    """The two-layer network in mean-field scaling, without bias."""
    return F.silu(x @ W.T) @ v / len(v)


def per_sample_gradients(W, v, x):
    """``J`` by ``torch.func``: the gradient of one output, mapped over samples."""
    rows = vmap(grad(lambda p, xi: outputs(*p, xi)), (None, 0))((W, v), x)
    return torch.cat([g.flatten(1) for g in rows], 1)


def batch_jacobian(W, v, x):
    """``J`` by ``torch.func.jacrev`` of the whole batch: a backward pass through all samples for each row."""
    return torch.cat([g.flatten(1) for g in jacrev(lambda p: outputs(*p, x))((W, v))], 1)


def published_rows(W, v, x):
    """``J`` as in the algorithm published with Arbel et al. 2023: ``autograd.grad`` mapped over the rows of the identity."""
    p = W.detach().requires_grad_(), v.detach().requires_grad_()
    f = outputs(*p, x)
    rows = vmap(lambda e: torch.autograd.grad(f, p, e, retain_graph=True))(torch.eye(len(x), dtype=x.dtype))
    return torch.cat([g.flatten(1) for g in rows], 1)


class Mean(nn.Module):
    """The sum over hidden units, divided by their number: ``(n, 1)`` to ``(n,)``."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, f):
        """Scale and drop the last axis."""
        return f[:, 0] / self.width


def module(W, v):
    """The same network as a plain module, parameter by parameter."""
    m, d = W.shape
    net = nn.Sequential(nn.Linear(d, m, bias=False), nn.SiLU(), nn.Linear(m, 1, bias=False), Mean(m)).to(W)
    net.load_state_dict({"0.weight": W, "2.weight": v[None]})
    return net


def curvlinops_rows(W, v, x):
    """``J`` as the dense matrix of curvlinops' operator, where that package is installed."""
    from curvlinops import TransposedJacobianLinearOperator

    net = module(W, v)
    data = [(x, torch.zeros(len(x), dtype=x.dtype))]
    Jt = TransposedJacobianLinearOperator(net, list(net.parameters()), data, check_deterministic=False)
    return (Jt @ torch.eye(len(x), dtype=x.dtype)).T


JACOBIANS = {
    "torch.func vmap(grad)": per_sample_gradients,
    "torch.func jacrev of the batch": batch_jacobian,
    "published algorithm": published_rows,
    "curvlinops dense J": curvlinops_rows,
}


def damped(J, r, damping):
    """``J^T (J J^T + damping)^-1 r`` by Cholesky."""
    K = J @ J.T
    K.diagonal().add_(damping)
    return J.T @ torch.cholesky_solve(r[:, None], torch.linalg.cholesky(K))[:, 0]


def damped_by_svd(J, r, damping):
    """The same by a singular value decomposition of the float64 kernel, as in the published algorithm."""
    U, s, _ = torch.linalg.svd((J @ J.T).double())
    return J.T @ (U @ ((U.T @ r.double()) / (s + damping))).to(J.dtype)


def undamped_by_gelsd(J, r, damping=None):
    """The shortest solution of ``J delta = r`` by LAPACK's least squares."""
    return torch.linalg.lstsq(J, r[:, None], driver="gelsd").solution[:, 0]


def undamped_by_qr(J, r, damping=None):
    """The shortest solution of ``J delta = r`` from ``J^T = Q R``; right where ``J`` has full rank."""
    Q, R = torch.linalg.qr(J.T)
    return Q @ torch.linalg.solve_triangular(R.T, r[:, None], upper=False)[:, 0]
