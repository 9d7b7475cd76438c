r"""Sharpness: the largest curvature of the loss.

Along an eigenvector of the Hessian with eigenvalue :math:`\lambda`, gradient descent with step size :math:`\eta` multiplies
the distance to the minimum of a quadratic by :math:`1 - \eta\lambda`. So it is stable while the *stability number*
:math:`\eta S / 2` of the largest eigenvalue ``S`` is below one.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn

from regimes.hessians import Hessian, hessian
from regimes.losses import Loss, squared
from regimes.network import Network, has_closed_form, run_axes, time_scale, trainable

__all__ = ["largest_eigenvalue", "sharpness", "sometimes"]

# Parameters of a run up to which the whole spectrum is cheaper than Lanczos with its dozen products, measured. A closed form
# builds the dense Hessian at once, for all runs; autograd needs one double backward pass per parameter.
FEW, FEWER = 150, 20


def sharpness(
    net: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = squared, method: str = "auto", backend: str = "auto"
) -> Tensor:
    r"""The largest eigenvalue of the Hessian of the mean loss, times the network's time scale ``c``: one number per run.

    In the units in which ``lr`` of `regimes.optimizers.GradientDescent` is a step: gradient descent with this ``lr`` is at the
    edge of stability where ``lr * sharpness / 2 == 1``, at any width and in any scaling. (Its step in parameter space is
    ``lr * c``, with ``c`` the width ``m`` for a mean-field `TwoLayer` and 1 for other modules. The kernel ``K = c J J^T`` has
    the same units: at a perfect fit of the squared loss the sharpness is ``lambda_max(K) / n``.)

    It is the largest *algebraic* eigenvalue: a negative one does not count, however large its modulus.

    Args:
        net: a `TwoLayer` (closed form, any run axes), or any module (double backward).
        x, y: the training data, ``(..., n, d)`` and ``(..., n)``.
        loss: see `regimes.losses`.
        method: ``"dense"`` (all eigenvalues), ``"lanczos"`` (about a dozen products with the Hessian, run by run), or
            ``"auto"``: dense up to 150 parameters for a `TwoLayer`, up to 20 for other modules.
        backend: see `regimes.hessians.hessian`.

    Raises:
        ValueError: for parameters that are not finite (a diverged run), targets that do not fit the outputs, or an unknown
            method.
    """
    if method not in ("auto", "dense", "lanczos"):
        raise ValueError(f"sharpness is computed by 'dense' or 'lanczos', or 'auto' chooses; got {method!r}")
    runs = run_axes(net)
    closed = has_closed_form(net, "hessian") and backend != "autograd"
    few = sum(p.numel() for p in trainable(net)) <= (FEW if closed else FEWER) * math.prod(runs)
    if method == "dense" or (method == "auto" and few):
        H = hessian(net, x, y, loss=loss, backend=backend).dense()
        top = torch.linalg.eigvalsh(H)[..., -1]
    else:
        top = [largest_eigenvalue(hessian(*one, loss=loss, backend=backend)) for one in _one_by_one(net, x, y, runs)]
        top = torch.tensor(top, dtype=x.dtype, device=x.device).reshape(runs)
    return time_scale(net) * top.detach()


def largest_eigenvalue(H: Hessian, tol: float = 1e-4) -> float:
    """The largest algebraic eigenvalue of the Hessian of one run, by Lanczos iteration (SciPy's ``eigsh``, ``which="LA"``).

    ``tol`` bounds the residual ``|H q - lambda q|`` relative to ``lambda``; the error of ``lambda`` is of the order of its
    square, about 1e-8. The starting vector is always the same, so that equal parameters give equal numbers. One or two
    parameters are handled densely.
    """
    if H.size < 3:
        return torch.linalg.eigvalsh(H.dense())[..., -1].item()
    like = H.parameters[0]

    def matvec(v):
        return H.matvec(torch.as_tensor(v.ravel(), dtype=like.dtype, device=like.device)).detach().double().cpu().numpy()

    operator = LinearOperator((H.size, H.size), matvec, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(H.size)
    options = {"k": 1, "which": "LA", "v0": start, "tol": tol, "return_eigenvectors": False}
    for ncv in (8, 32, H.size):  # more vectors are kept only where the top of the spectrum is crowded
        try:
            return eigsh(operator, ncv=min(ncv, H.size), **options).item()
        except ArpackNoConvergence:
            continue
    raise ValueError("Lanczos found no largest eigenvalue; use method='dense', or check whether the Hessian is finite")


def sometimes(measure: Callable[[nn.Module], Tensor], every: int) -> Callable[[nn.Module], Tensor]:
    """A measurement that is too expensive to make at each step: `regimes.training.train` gets it at every ``every``-th call.

    In between NaN is recorded, in the shape of the last result: ``measured[::every]`` has the numbers.
    """
    calls, last = itertools.count(), None

    def now_and_then(net: nn.Module) -> Tensor:
        nonlocal last
        if next(calls) % every == 0:
            last = torch.as_tensor(measure(net))
            return last
        return torch.full_like(last, torch.nan)

    return now_and_then


def _one_by_one(net: nn.Module, x: Tensor, y: Tensor, runs: tuple[int, ...]) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """Each run of a stack as a network of its own, with its data."""
    if not runs:
        yield net, x, y
        return
    own = y.ndim == net(x).ndim
    for i in np.ndindex(runs):
        one = copy.deepcopy(net)
        for module in one.modules():
            if isinstance(module, Network):
                module.runs = ()
        for p in one.parameters():
            p.data = p.data[i]
        yield one, x[i] if x.ndim == len(runs) + 2 else x, y[i] if own else y
