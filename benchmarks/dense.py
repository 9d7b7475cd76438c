"""The same through ``J`` itself, the ``N x p`` matrix that the library never builds: references, and what others write."""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, jvp, vmap

from benchmarks.by_hand import outputs


def per_sample_gradients(W: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """``J`` by ``torch.func``: the gradient of one output, mapped over samples."""
    rows = vmap(grad(lambda p, xi: outputs(*p, xi)), (None, 0))((W, v), x)
    return torch.cat([g.flatten(1) for g in rows], 1)


def batch_jacobian(W: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """``J`` by ``torch.func.jacrev`` of the whole batch: a backward pass through all samples for each row."""
    return torch.cat([g.flatten(1) for g in jacrev(lambda p: outputs(*p, x))((W, v))], 1)


def published_rows(W: Tensor, v: Tensor, x: Tensor) -> Tensor:
    """``J`` as in the algorithm published with Arbel et al. 2023: ``autograd.grad`` mapped over the rows of the identity."""
    p = W.detach().requires_grad_(), v.detach().requires_grad_()
    f = outputs(*p, x)
    rows = vmap(lambda e: torch.autograd.grad(f, p, e, retain_graph=True))(torch.eye(len(x), dtype=x.dtype, device=x.device))
    return torch.cat([g.flatten(1) for g in rows], 1)


def of_module(net: nn.Module, x: Tensor) -> Tensor:
    """``J`` of any module, ``(n c, p)``: ``vmap(jacrev)`` over samples, as in torch's tutorial on tangent kernels."""
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    rows = vmap(jacrev(lambda p, xi: functional_call(net, p, xi[None])[0]), (None, 0))(parameters, x)
    return torch.cat([rows[name].reshape(-1, p.numel()) for name, p in parameters.items()], 1)


def rows_one_by_one(net: nn.Module, x: Tensor) -> Tensor:
    """The same by one backward pass for each output."""
    f, p = net(x), list(net.parameters())
    grads = (torch.autograd.grad(one, p, retain_graph=True) for one in f.flatten())
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in grads])


def gram(J: Tensor) -> Tensor:
    """``J J^T``."""
    return J @ J.mT


def damped(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """``J^T (J J^T + damping)^-1 r`` by Cholesky."""
    K = gram(J)
    K.diagonal().add_(damping)
    return J.mT @ torch.cholesky_solve(r[:, None], torch.linalg.cholesky(K))[:, 0]


def damped_by_svd(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """The same by a singular value decomposition of the float64 kernel, as in the published algorithm."""
    U, s, _ = torch.linalg.svd(gram(J).double())
    return J.mT @ (U @ ((U.mT @ r.double()) / (s + damping))).to(J.dtype)


def normal_equations(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """The same by the ``p x p`` matrix: for fewer parameters than outputs."""
    A = J.mT @ J
    A.diagonal().add_(damping)
    return torch.cholesky_solve((J.mT @ r)[:, None], torch.linalg.cholesky(A))[:, 0]


def undamped(J: Tensor, r: Tensor) -> Tensor:
    """The shortest solution of ``J delta = r`` from ``J^T = Q R``; right where ``J`` has full rank."""
    Q, R = torch.linalg.qr(J.mT)
    return Q @ torch.linalg.solve_triangular(R.mT, r[:, None], upper=False)[:, 0]


def mean_loss(W: Tensor, v: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """``|f - y|^2 / 2n``."""
    return (outputs(W, v, x) - y).square().mean() / 2


def hessian_product(W: Tensor, v: Tensor, x: Tensor, y: Tensor, direction: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """``H`` of the mean loss times a direction, by ``torch.func``, forward over reverse."""
    return jvp(grad(lambda p: mean_loss(*p, x, y)), ((W, v),), (direction,))[1]


class DoubleBackward:
    """The same by differentiating the gradient, whose graph is kept."""

    def __init__(self, W: Tensor, v: Tensor, x: Tensor, y: Tensor):
        self.p = W.detach().requires_grad_(), v.detach().requires_grad_()
        self.gradient = torch.autograd.grad(mean_loss(*self.p, x, y), self.p, create_graph=True)

    def __call__(self, *direction: Tensor) -> tuple[Tensor, ...]:
        """One backward pass through the gradient."""
        return torch.autograd.grad(self.gradient, self.p, direction, retain_graph=True)
