r"""The spectrum of the Hessian of the mean loss: its largest eigenvalues, its trace, its density.

All in the units of `regimes.metrics.sharpness`: times the network's time scale ``c``, so that gradient descent with step size
``lr`` multiplies the error along an eigenvector by ``1 - lr * lambda``. Each is computed from products with the Hessian, or
from the whole matrix where that costs no more.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from regimes.guard import call
from regimes.hessians import Hessian, hessian
from regimes.jacobians.base import Tensors
from regimes.losses import AnyLoss, squared
from regimes.metrics.norms import unit_scaled
from regimes.network import Network, has_closed_form, output_axes, run_axes, time_scale, trainable

__all__ = [
    "Density",
    "Estimate",
    "hessian_density",
    "hessian_eigenvalues",
    "hessian_eigenvectors",
    "hessian_trace",
    "largest_eigenvalues",
    "nearby_eigenvalue",
    "run_by_run",
    "takes_all",
]

# Parameters of a run up to which the whole spectrum is cheaper than Lanczos with its dozen products, measured. A closed form
# builds the dense Hessian at once, for all runs; autograd needs one double backward pass per parameter.
FEW, FEWER = 150, 20
MOST = 40  # products of `nearby_eigenvalue`, and vectors that it keeps

Product = Callable[[np.ndarray], np.ndarray]


class Estimate(NamedTuple):
    """A number per run, and the standard error of its estimate; zero where it is exact."""

    value: Tensor
    standard_error: Tensor


class Density(NamedTuple):
    """A spectral density as point masses: ``sum(weights * g(nodes))`` estimates the mean of ``g`` over all eigenvalues.

    Attributes:
        nodes: ``(..., s)``.
        weights: ``(..., s)``, with sum one.
    """

    nodes: Tensor
    weights: Tensor


def hessian_eigenvalues(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    k: int = 1,
    *,
    loss: AnyLoss = squared,
    method: str = "auto",
    backend: str = "auto",
) -> Tensor:
    """The ``k`` largest *algebraic* eigenvalues of the Hessian of the mean loss, times the time scale: ``(..., k)``, falling.

    >>> net = nn.Linear(30, 2, bias=False)  # each eigenvalue of x^T x / n twice, once for each output
    >>> x = torch.diag(torch.arange(1.0, 31.0))
    >>> (hessian_eigenvalues(net, x, torch.zeros(30, 2), k=4) * 30).round()
    tensor([900., 900., 841., 841.])

    Args:
        net: a `regimes.networks.TwoLayer` (closed form, any run axes), or any module (double backward).
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        k: how many, at most the number of parameters.
        loss: see `regimes.losses`.
        method: ``"dense"`` (all eigenvalues), ``"lanczos"`` (products with the Hessian, run by run), or ``"auto"``: dense up to
            150 parameters for a closed form, up to 20 for other modules, and for more than half of all eigenvalues.
        backend: see `regimes.hessians.hessian`.

    Raises:
        ValueError: for parameters or a Hessian that are not finite, targets that do not fit the outputs, an unknown method, or
            a ``k`` that is not between one and the number of parameters.
    """
    return _eigen(net, x, y, k, loss, method, backend, False)[0]


def hessian_eigenvectors(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    k: int = 1,
    *,
    loss: AnyLoss = squared,
    method: str = "auto",
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """`hessian_eigenvalues`, ``(..., k)``, and their unit eigenvectors, ``(..., p, k)``.

    The ``p`` entries are those of the trainable parameters, in the order of ``net.parameters()``.
    """
    return _eigen(net, x, y, k, loss, method, backend, True)


def hessian_trace(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    loss: AnyLoss = squared,
    samples: int = 90,
    seed: int = 0,
    backend: str = "auto",
) -> Estimate:
    """The trace of the Hessian of the mean loss, times the time scale, one number per run.

    Exact with up to ``samples`` parameters. With more, Hutch++: the trace on the range of ``samples / 3`` random products, and
    Hutchinson's estimate of the rest; random signs, the same for all runs.

    Args:
        net, x, y, loss, backend: see `hessian_eigenvalues`.
        samples: how many products with the Hessian may be computed, at least six.
        seed: of the random signs.

    Raises:
        ValueError: for fewer samples; and see `hessian_eigenvalues`.

    Source: Meyer, Musco, Musco, Woodruff 2021, algorithm 1.
    """
    if samples < 6:
        raise ValueError(f"a trace and its error take at least six products; got {samples=}")
    H, c, m = hessian(net, x, y, loss=loss, backend=backend), time_scale(net), samples // 3
    if H.size <= samples:
        exact = _finite(H.dense()).double().diagonal(dim1=-2, dim2=-1).sum(-1).to(H.parameters[0])
        return Estimate(c * exact, torch.zeros_like(exact))
    first, second = _signs(H, 2 * m, seed).split(m, -1)
    Q = torch.linalg.qr(_products(H, first)).Q
    rest = second - Q @ (Q.mT @ second)
    each = (rest * _products(H, rest)).sum(-2)
    each, scale = unit_scaled(each, axes=1)  # else the variance of tiny numbers is zero
    value, error = (Q * _products(H, Q)).sum((-2, -1)) + scale[..., 0] * each.mean(-1), scale[..., 0] * each.std(-1) / m**0.5
    return Estimate(*(c * t.to(H.parameters[0]) for t in (value, error)))


def hessian_density(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    loss: AnyLoss = squared,
    samples: int = 10,
    steps: int = 80,
    seed: int = 0,
    backend: str = "auto",
) -> Density:
    """The spectral density of the Hessian of the mean loss, its eigenvalues times the time scale.

    Exact, ``p`` nodes of equal weight, with up to ``samples * steps`` parameters. With more, stochastic Lanczos quadrature:
    ``steps`` nodes for each of ``samples`` random vectors of signs, the same for all runs. For a curve, put a Gaussian on each
    node; for the share of eigenvalues above a number, add up weights.

    Args:
        net, x, y, loss, backend: see `hessian_eigenvalues`.
        samples: how many random vectors.
        steps: how many products with the Hessian for each; so many vectors are kept.
        seed: of the random vectors.

    Raises:
        ValueError: for a number of samples or steps below one; and see `hessian_eigenvalues`.

    Source: Ghorbani, Krishnan, Xiao 2019, section 2.
    """
    if min(samples, steps) < 1:
        raise ValueError(f"a density takes at least one sample and one step; got {samples=}, {steps=}")
    H, c = hessian(net, x, y, loss=loss, backend=backend), time_scale(net)
    if H.size <= samples * steps:
        lam, _ = _dense(H, H.size, False)
        lam = c * lam.to(H.parameters[0])
        return Density(lam, torch.full_like(lam, 1 / H.size))
    each = [_quadrature(H, signs, steps) for signs in _signs(H, samples, seed).unbind(-1)]
    nodes, weights = (torch.cat(part, -1) for part in zip(*each, strict=True))
    return Density(*(t.to(H.parameters[0]) for t in (c * nodes, weights / samples)))


def largest_eigenvalues(H: Hessian, k: int = 1, tol: float = 1e-4, vectors: bool = False) -> tuple[Tensor, Tensor]:
    """The ``k`` largest algebraic eigenvalues ``(k,)`` of the Hessian of one run, falling, and their vectors ``(p, k)``.

    By Lanczos iteration (SciPy's ``eigsh``). ``tol`` bounds the residual ``|H q - lambda q|`` relative to ``lambda``, or for
    several to the size of ``H``; the error of ``lambda`` is of the order of its square where the next eigenvalue is not as
    close. The starting vector is always the same, so that equal parameters give equal numbers. Without ``vectors`` there may
    be none.
    """
    vectors = vectors or k > 1
    if H.size < max(3, 2 * k):
        return _dense(H, k, vectors)
    random, product = np.random.default_rng(0), partial(_product, H)
    start = random.standard_normal(H.size)
    tol = max(tol, torch.finfo(H.parameters[0].dtype).eps)
    first, scale = unit_scaled(product(start), axes=1)
    if not first.any():  # of random numbers: H is zero
        return first[:k], torch.eye(H.size, k * vectors, dtype=first.dtype)
    size = math.ldexp(scale.item(), math.frexp(first.norm().item() / np.linalg.norm(start))[1])  # a power of two near |H v|
    lanczos = partial(_lanczos, product=lambda v: product(v).numpy() / size, tol=tol, vectors=vectors)
    lam, Q = lanczos(start, k, np.zeros((H.size, 0)), 0.0)
    while k > 1:  # one start sees one copy of a multiple eigenvalue: is there a larger one orthogonal to all?
        more, q = lanczos(random.standard_normal(H.size), 1, Q, lam[-1] - 1)
        if more[0] <= lam[-1] + tol:
            break
        lam, Q = np.append(lam[:-1], more), np.hstack([Q[:, :-1], q])
        order = lam.argsort()[::-1]
        lam, Q = lam[order], Q[:, order]
    return torch.from_numpy(lam * size), torch.from_numpy(Q.copy())


def nearby_eigenvalue(H: Hessian, start: Tensor, tol: float = 1e-6) -> tuple[Tensor, Tensor] | None:
    """The largest algebraic eigenvalue of the Hessian of one run, and where to begin in the Hessian of a network nearby.

    Lanczos iteration from ``start`` ``(p,)``, until the error of ``lambda``, ``|H q - lambda q|^2`` over the gap to the next
    eigenvalue, is estimated below ``tol`` times ``lambda``; at the third product at the earliest. ``None`` where that is not
    reached, as for an eigenvalue that is not positive.

    The next search should see an eigenvalue that is about to overtake. So it begins at the sum of all approximate eigenvectors
    in sight, each times the fourth power of its eigenvalue over the largest: from the last ``q`` alone, which is orthogonal to
    the others, it would stop at once.
    """
    tol = max(tol, torch.finfo(H.parameters[0].dtype).eps)
    V, T = [start / start.norm()], torch.zeros(MOST + 1, MOST + 1, dtype=torch.float64)
    for k in range(MOST):
        w = _product(H, V[k])
        if k == 0:
            _, scale = unit_scaled(w, axes=1)
        w, basis = w / scale, torch.stack(V, -1)
        T[k, k] = V[k] @ w
        for _ in range(2):
            w = w - basis @ (basis.mT @ w)
        beta = w.norm()
        lam, Q = torch.linalg.eigh(T[: k + 1, : k + 1])
        top, left = lam[-1], beta * Q[-1, -1].abs()
        if k >= 2 and top > 0 and left.square() <= tol * top * torch.maximum(left, top - left - lam[-2]):
            return scale[0] * top, basis @ (Q @ (lam.clamp(min=0) / top) ** 4)
        if beta == 0:
            break
        T[k, k + 1] = T[k + 1, k] = beta
        V.append(w / beta)
    return None


def _lanczos(
    start: np.ndarray, k: int, found: np.ndarray, low: float, product: Product, tol: float, vectors: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For a matrix of size about one, in which the columns of ``found`` are made eigenvectors of ``low``."""
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh  # half a second, for those who need it

    def matvec(v, shift):
        inside = found @ (found.T @ v)
        w = product(v - inside) + shift * v
        return w - found @ (found.T @ w) + (low + shift) * inside

    p, v0 = len(start), start - found @ (found.T @ start)
    # ARPACK's tolerance is relative to the eigenvalue, which fails near zero: there, and for several, 4 is added to all.
    for shift, ncv in ((0, 8), (0, 32), (4, 20), (4, 128))[2 * vectors :]:
        operator = LinearOperator((p, p), lambda v, shift=shift: matvec(v.ravel(), shift), dtype=np.float64)
        options = {"ncv": min(max(ncv, 4 * k), p), "v0": v0, "tol": min(tol, 1e-6) if shift else tol, "maxiter": 300}
        with suppress(ArpackError):
            got = eigsh(operator, k, which="LA", return_eigenvectors=vectors, **options)
            lam, Q = got if vectors else (got, found)
            if shift or lam[0] > 0.01:
                return lam[::-1] - shift, Q[:, ::-1]
    raise ValueError("Lanczos found no largest eigenvalue; use method='dense'")


def _eigen(
    net: nn.Module, x: Tensor, y: Tensor, k: int, loss: AnyLoss, method: str, backend: str, vectors: bool
) -> tuple[Tensor, Tensor]:
    like, runs = trainable(net)[0], run_axes(net)
    if takes_all(net, k, method, backend):
        lam, Q = _dense(hessian(net, x, y, loss=loss, backend=backend), k, vectors)
    else:
        tol = 1e-6 if vectors or k > 1 else 1e-4
        found = [largest_eigenvalues(H, k, tol, vectors) for H in run_by_run(net, x, y, loss, backend)]
        lam, Q = (torch.stack(part).reshape(*runs, *part[0].shape) for part in zip(*found, strict=True))
    return time_scale(net) * lam.to(like), Q.to(like)


def takes_all(net: nn.Module, k: int, method: str, backend: str) -> bool:
    """Whether the ``k`` largest eigenvalues are taken from all, and not from products with the Hessian.

    Raises:
        ValueError: for an unknown method, or a ``k`` that is not between one and the number of parameters.
    """
    if method not in ("auto", "dense", "lanczos"):
        raise ValueError(f"eigenvalues are computed by 'dense' or 'lanczos', or 'auto' chooses; got {method!r}")
    size = sum(p.numel() for p in trainable(net)) // math.prod(run_axes(net))
    if not isinstance(k, int) or not 1 <= k <= size:
        raise ValueError(f"the Hessian has {size} eigenvalues, from k=1 to k={size}; got k={k}")
    few = FEW if has_closed_form(net, "hessian") and backend != "autograd" else FEWER
    return method == "dense" or (method == "auto" and size <= few)


def _dense(H: Hessian, k: int, vectors: bool) -> tuple[Tensor, Tensor]:
    matrix = _finite(H.dense()).double()
    lam, Q = torch.linalg.eigh(matrix) if vectors else (torch.linalg.eigvalsh(matrix), matrix[..., :0])
    return lam[..., -k:].flip(-1), Q[..., -k:].flip(-1)


def run_by_run(net: nn.Module, x: Tensor, y: Tensor, loss: AnyLoss, backend: str) -> Iterator[Hessian]:
    """The Hessian of each run: of a network of its own where one can be cut out of the stack, else as a part of the stack's."""
    runs = run_axes(net)
    if not runs:
        yield hessian(net, x, y, loss=loss, backend=backend)
        return
    f, whole = call(net, x).detach(), None
    for i in np.ndindex(runs):
        one = _cut_out(net, x, f, i)
        if one:
            yield hessian(*one, _of_run(y, i, output_axes(net, f)), loss=loss, backend=backend)
        else:
            whole = whole or hessian(net, x, y, loss=loss, backend=backend)
            yield _OneOf(whole, i)


def _cut_out(net: nn.Module, x: Tensor, f: Tensor, run: tuple[int, ...]) -> tuple[nn.Module, Tensor] | None:
    """A run of a stack as a network of its own, and its inputs; ``None`` where that does not give its outputs in ``f``."""
    x, wanted, runs = _of_run(x, run, 2), f[run], run_axes(net)
    try:
        one = copy.deepcopy(net)
        for t in (*one.parameters(), *one.buffers()):
            if t.shape[: len(runs)] == runs:
                t.data = t.data[run]
        for module in one.modules():
            if isinstance(module, Network):
                module.runs = ()
        got = call(one, x).detach()
    except Exception:  # whatever a stack says that cannot be cut
        return None
    close = torch.finfo(f.dtype).eps ** 0.5 * wanted.abs().max()
    return (one, x) if got.shape == wanted.shape and ((got - wanted).abs() <= close).all() else None


class _OneOf(Hessian):
    """A run of a stack's Hessian, by products with that of all runs."""

    def __init__(self, whole: Hessian, run: tuple[int, ...]):
        self.whole, self.run, self.runs = whole, run, ()
        self.parameters, self.shapes, self.size = whole.parameters, whole.shapes, whole.size

    def product(self, v: Tensors) -> tuple[Tensor, ...]:
        """That of the stack for a direction in which no other run moves."""
        moved = [torch.zeros_like(p) for p in self.parameters]
        for t, part in zip(moved, v, strict=True):
            t[self.run] = part
        return tuple(t[self.run] for t in self.whole.product(moved))


def _of_run(t: Tensor, run: tuple[int, ...], own: int) -> Tensor:
    """The part of one run, of data whose last ``own`` axes belong to a run."""
    axes = max(0, t.ndim - own)
    return t[run[len(run) - axes :]] if axes <= len(run) else t


def _product(H: Hessian, v: np.ndarray | Tensor) -> Tensor:
    """``H v`` of one run for a vector ``(p,)``, float64, on the CPU."""
    like = H.parameters[0]
    return _finite(H.matvec(torch.as_tensor(v, dtype=like.dtype, device=like.device))).cpu().double()


def _finite(t: Tensor) -> Tensor:
    t = t.detach()
    if not torch.isfinite(t).all():
        raise ValueError("the Hessian is not finite: the parameters or the outputs have grown too large for their dtype")
    return t


def _signs(H: Hessian, count: int, seed: int) -> Tensor:
    """Random vectors of signs, ``(..., p, count)``."""
    signs = 2 * torch.randint(2, (H.size, count), generator=torch.Generator().manual_seed(seed)) - 1
    return signs.to(H.parameters[0].device, torch.float64).expand(*H.runs, -1, -1)


def _products(H: Hessian, V: Tensor) -> Tensor:
    """``H V`` in float64, column by column."""
    return torch.stack([_finite(H.matvec(v)) for v in V.to(H.parameters[0].dtype).unbind(-1)], -1).double()


def _quadrature(H: Hessian, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lanczos from ``start``, each vector made orthogonal to all before: nodes and weights, both ``(..., steps)``."""
    V = torch.zeros(*start.shape, steps + 1, dtype=start.dtype, device=start.device)
    V[..., 0] = start / H.size**0.5
    w, scale = unit_scaled(_products(H, V[..., :1])[..., 0], axes=1)
    alpha, beta = [], []
    for j in range(steps):
        w = w if j == 0 else _products(H, V[..., j : j + 1])[..., 0] / scale
        alpha.append((w * V[..., j]).sum(-1))
        for _ in range(2):
            w = w - (V[..., : j + 1] @ (V[..., : j + 1].mT @ w[..., None]))[..., 0]
        beta.append(w.norm(dim=-1))
        V[..., j + 1] = w / beta[j][..., None].clamp(min=torch.finfo(w.dtype).tiny)
    beside = torch.stack(beta, -1)[..., :-1]
    T = torch.stack(alpha, -1).diag_embed() + beside.diag_embed(1) + beside.diag_embed(-1)
    nodes, vectors = torch.linalg.eigh(T)
    return scale * nodes, vectors[..., 0, :].square()
