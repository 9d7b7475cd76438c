r"""One-pass SGD: a fresh sample at each step, on committees with Gaussian inputs.

The step on one sample is :math:`w_j \leftarrow w_j + \frac{\eta}{d} E\, \phi'(u_j)\, x`, that of `GradientDescent` with
``lr = eta / d`` on a batch of one; ``eta`` is the learning rate of the literature divided by the width. Time is the
sum of the step sizes, ``eta * steps / d``.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy.linalg import get_blas_funcs
from scipy.special import erf
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.population_risk import overlap_risk, population_risk
from regimes.seeds import per_run
from regimes.training import Diverged, Trace, progress

__all__ = ["one_pass", "overlap_chain", "overlap_distance", "overlaps"]

CHUNK = 64  # samples drawn at once; each chunk goes on where the last one stopped, so the numbers do not depend on it

Row = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # step, time, risk, Q, M


def overlaps(net: TwoLayer, teacher: TwoLayer) -> tuple[Tensor, Tensor]:
    """``Q = W W^T`` (..., p, p) and ``M = W W*^T`` (..., p, k) of student and teacher."""
    W = net.W.detach()
    return W @ W.mT, W @ teacher.W.detach().mT


@torch.no_grad()
@np.errstate(over="ignore", invalid="ignore")  # a divergence is told at the next record
def one_pass(
    net: TwoLayer,
    teacher: TwoLayer,
    eta: float,
    steps: int,
    *,
    label_noise: float = 0.0,
    seed: int | Tensor = 0,
    at: Sequence[int] | None = None,
) -> Trace:
    """Take ``steps`` steps of one-pass SGD and record risk and overlaps.

    Args:
        net: the student, a `committee` or a stack of them (hidden weights move, ``v`` is frozen).
        teacher: the teacher, with the same runs or none.
        eta: learning rate over width: a step moves ``W`` by ``eta / d`` times the error, the derivative of the activation and
            the sample.
        label_noise: the variance ``Delta`` of the noise on the labels.
        seed: of the samples, one per run: run ``i`` of a stack sees what a single network with its seed would see. An integer
            gives the runs that seed and the ones after it.
        at: the numbers of steps after which to record; the start and the end unless given.

    Returns:
        A `Trace` whose loss is the exact population risk, with ``Q`` and ``M`` measured.

    Raises:
        ValueError: for a trained ``v``, no step, seeds of a different shape from the runs, or ``at`` outside the run.
        Diverged: where the risk is no longer finite, at the record that shows it.
    """
    if net.v.requires_grad or net.bias:
        raise ValueError(
            "one-pass SGD moves hidden weights only: freeze v and leave out biases (regimes.networks.committee does)"
        )
    records, draws = _records(at, steps), _Samples(net, seed, label_noise)
    rows: list[Row] = []
    take = _steps_of_one if _in_numpy(net) else _steps_of_many
    steps_taken = take(net, eta / net.inputs * net.time_scale, _chunks(draws, teacher, net.runs, steps))
    for k in progress(range(steps + 1), "one-pass SGD"):
        if k in records:
            _record(rows, k, eta / net.inputs, population_risk(net, teacher), *overlaps(net, teacher))
        if k < steps:
            next(steps_taken)
    return _trace(rows)


def _steps_of_many(net: TwoLayer, lr: float, chunks: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Take a step whenever the next one is asked for."""
    W = net.W.view(-1, *net.W.shape[-2:])  # a view: the network is trained through it
    output = net.scale * net.v.reshape(-1, net.width)
    for inputs, labels in chunks:
        for x, label in zip(inputs.unbind(1), labels.unbind(1), strict=True):
            phi, slope = net.activation(torch.bmm(W, x[..., None])[..., 0])
            error = label - (phi * output).sum(-1)
            W.baddbmm_((error[:, None] * output * slope)[..., None], x[:, None], alpha=lr)
            yield


def _steps_of_one(net: TwoLayer, lr: float, chunks: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """The same for a single run, in NumPy: its vectors are so short that calls are most of the time, and torch's cost more."""
    W = net.W.detach().view(net.width, net.inputs).numpy()  # a view, as above
    output, units = net.scale * net.v.detach().view(net.width).numpy(), UNITS[str(net.activation)]
    add_outer_product = get_blas_funcs("ger", [W])
    torch.autograd.graph.increment_version(net.W)  # as torch's own functions do that write into a tensor
    for inputs, labels in chunks:
        for x, label in zip(inputs[0].numpy(), labels[0].numpy(), strict=True):
            phi, slope = units(W @ x)
            error = label - phi @ output
            add_outer_product(lr, x, error * output * slope, a=W.T, overwrite_a=True)
            yield


def _in_numpy(net: TwoLayer) -> bool:
    """Whether `_steps_of_one` can move this network."""
    simple = net.W.device.type == "cpu" and net.W.dtype in (torch.float32, torch.float64) and net.W.is_contiguous()
    return simple and math.prod(net.runs) == 1 and str(net.activation) in UNITS


def _erf_units(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``phi(u) = erf(u / sqrt 2)`` and ``phi'(u)``."""
    return erf(u / math.sqrt(2)), math.sqrt(2 / math.pi) * np.exp(-u * u / 2)


def _relu_units(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positive = u > 0
    return positive * u, positive


UNITS = {"erf": _erf_units, "relu": _relu_units}  # those whose population risk is known, in NumPy


def _chunks(draws: "_Samples", teacher: TwoLayer, runs: tuple[int, ...], steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The samples ``(b, n, d)`` of ``b`` runs and the teacher's noisy labels ``(b, n)``, a chunk at a time."""
    W = teacher.W.expand(*runs, -1, -1).reshape(-1, *teacher.W.shape[-2:])
    v = teacher.scale * teacher.v.expand(*runs, -1).reshape(-1, teacher.width, 1)
    for k in range(0, steps, CHUNK):
        x, noise = draws(min(CHUNK, steps - k))
        yield x, (teacher.activation(x @ W.mT)[0] @ v)[..., 0] + noise


class _Samples:
    """Inputs ``(b, n, d)`` and label noise ``(b, n)``; each run draws from its own generator."""

    def __init__(self, net: TwoLayer, seed: int | Tensor, label_noise: float):
        seed = torch.as_tensor(seed)
        if seed.ndim and tuple(seed.shape) != net.runs:
            raise ValueError(f"one seed for all runs or one per run, {net.runs}; got seeds of shape {tuple(seed.shape)}")
        if label_noise < 0:
            raise ValueError(f"label noise is a variance, at least zero; got {label_noise}")
        self.generators = [torch.Generator().manual_seed(s) for s in per_run(seed, net.runs).flatten().tolist()]
        self.like, self.inputs, self.spread = net.W, net.inputs, label_noise**0.5

    def __call__(self, n: int) -> tuple[Tensor, Tensor]:
        draws = torch.stack([torch.randn(n, self.inputs + 1, generator=g, dtype=torch.float64) for g in self.generators])
        draws = draws.to(self.like)
        return draws[..., :-1].contiguous(), self.spread * draws[..., -1]


def overlap_chain(
    Q: Tensor | np.ndarray,
    M: Tensor | np.ndarray,
    d: int,
    eta: float,
    steps: int,
    *,
    label_noise: float = 0.0,
    runs: int | None = None,
    seed: int = 0,
    at: Sequence[int] | None = None,
) -> Trace:
    r"""The same process for the overlaps alone: ``(Q, M)`` is itself a Markov chain, whose steps cost the same at every ``d``.

    Given the overlaps, the fields of a fresh sample are Gaussian, :math:`u^* = z`, :math:`u = Mz + (Q - MM^T)^{1/2} z'`,
    and the rest of :math:`|x|^2` is chi-squared with ``d - k - p`` degrees of freedom; the change of the overlaps in a step
    depends on these numbers only. The law is that of `one_pass` with an orthonormal teacher of erf units; the random numbers
    differ.

    Args:
        Q, M: ``(p, p)`` and ``(p, k)`` or with run axes in front; ``(b, p, p)`` are ``b`` independent runs.
        runs: the number of independent runs from one given start; adds a run axis in front.
        d: inputs, more than ``p + k``.
        eta, steps, label_noise, at: as for `one_pass`.
        seed: of NumPy's generator, for all runs together.

    Raises:
        ValueError: for ``d <= p + k``, and as `one_pass`.
        Diverged: as `one_pass`.
    """
    Q, M = (np.array(a.cpu().numpy() if isinstance(a, Tensor) else a, dtype=float) for a in (Q, M))
    if runs is not None:
        Q, M = (np.repeat(a[None], runs, 0) for a in (Q, M))
    p, k = M.shape[-2:]
    if d <= p + k:
        raise ValueError(f"the fields of p = {p} and k = {k} units need more than p + k inputs; got d = {d}")
    rng, records, shape = np.random.default_rng(seed), _records(at, steps), M.shape[:-2]
    rows: list[Row] = []
    for n in progress(range(steps + 1), "overlaps of one-pass SGD"):
        if n in records:
            q, m = torch.from_numpy(Q.copy()), torch.from_numpy(M.copy())
            _record(rows, n, eta / d, overlap_risk(q, m), q, m)
        if n % CHUNK == 0:
            many = (min(CHUNK, steps - n), *shape)
            z, other = rng.standard_normal((*many, k)), rng.standard_normal((*many, p))
            length = ((z**2).sum(-1) + (other**2).sum(-1) + rng.chisquare(d - k - p, many)) / d
            label = erf(z / math.sqrt(2)).mean(-1) + label_noise**0.5 * rng.standard_normal(many)
        if n < steps:
            i = n % CHUNK
            u = (M @ z[i][..., None] + _root(Q - M @ np.swapaxes(M, -1, -2)) @ other[i][..., None])[..., 0]
            phi, slope = _erf_units(u)
            move = eta * (label[i] - phi.mean(-1))[..., None] * slope
            M += move[..., None] * z[i][..., None, :] / d
            both = move[..., None] * (u + move * (length[i] / 2)[..., None])[..., None, :]
            Q += (both + np.swapaxes(both, -1, -2)) / d
    return _trace(rows)


def overlap_distance(trace: Trace, Q: np.ndarray, M: np.ndarray) -> Tensor:
    """The largest distance of any overlap, at any record, from a path ``Q`` (t, p, p) and ``M`` (t, p, k): one per run."""
    largest = []
    for name, path in (("Q", Q), ("M", M)):
        measured = trace.measured[name]
        exact = torch.as_tensor(path).reshape(len(measured), *(1,) * (measured.ndim - 3), *path.shape[-2:])
        largest.append((measured - exact).abs().amax((0, -2, -1)))
    return torch.maximum(*largest)


def _root(G: np.ndarray) -> np.ndarray:
    """A matrix ``L`` with ``L L^T = G``; where learning is perfect ``G`` is zero up to rounding, which may make it negative."""
    try:  # the overlaps in G are of order one, rounded by about 1e-16: 1e-13 lifts eigenvalues that this made negative
        return np.linalg.cholesky(G + 1e-13 * np.eye(G.shape[-1]))
    except np.linalg.LinAlgError:
        lam, V = np.linalg.eigh(G)
        return V * np.sqrt(np.maximum(lam, 0))[..., None, :]


def _records(at: Sequence[int] | None, steps: int) -> set[int]:
    records = {0, steps} if at is None else {int(k) for k in at}
    if steps < 1 or not records or min(records) < 0 or max(records) > steps:
        raise ValueError(f"at least one step, and records from 0 to steps are needed; got {steps=}, at={sorted(records)[:9]}")
    return records


def _record(rows: list[Row], k: int, lr: float, risk: Tensor, Q: Tensor, M: Tensor) -> None:
    row = (torch.tensor(k), torch.tensor(lr * k, dtype=torch.float64), risk.cpu(), Q.cpu(), M.cpu())
    lost = ~(torch.isfinite(risk) & torch.isfinite(Q.diagonal(dim1=-2, dim2=-1)).all(-1))
    if lost.any():
        raise Diverged(
            k,
            lost,
            _trace(rows),
            "the norms of the units grow without bound; beyond eta = 5.44 (less for few units) no solution is stable",
        )
    rows.append(row)


def _trace(rows: list[Row]) -> Trace:
    step, time, risk, Q, M = map(torch.stack, zip(*rows, strict=True)) if rows else [torch.empty(0)] * 5
    return Trace(step, time, risk, {"Q": Q, "M": M})
