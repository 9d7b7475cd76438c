"""Sharpness by the library, and with ``--peers`` by other routes to the same number.

Run it from the root: ``python -m benchmarks.sharpness`` (seconds) or ``python -m benchmarks.sharpness --peers`` (a minute).
Wrong numbers stop it before anything is timed; nothing is gated on times.
"""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.func import grad, jvp

from benchmarks import peers
from benchmarks.clock import Timing, measure
from regimes.metrics import sharpness
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.training import train

SIZES = [(200, 64, 3), (200, 64, 15), (200, 64, 75)]  # samples, inputs, width
TINY = [(20, 3, 6)]
DENSE, LANCZOS, MODULE = "closed form, all eigenvalues", "closed form, Lanczos", "any module, Lanczos"
TOLERANCE = 1e-6
FEW = 1500  # parameters up to which a dense Hessian is built


class Setting:
    """One size: a trained network twice (closed form, plain module) and its data, float64."""

    def __init__(self, n, d, m):
        g = torch.Generator().manual_seed(1)
        self.size, self.p = (n, d, m), m * (d + 1)
        self.x, self.y = (torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((n, d), (n,)))
        self.net = TwoLayer(d, m, bias=False, std=d**-0.5, output_std=1.0)
        train(self.net, self.x, self.y, GradientDescent(self.net, 0.2), 50, every=50)
        self.W, self.v = self.net.W.detach(), self.net.v.detach()
        self.module = peers.module(self.W, self.v)

    def loss(self, W, v):
        """The mean squared loss with its half, in the network's time scale."""
        return len(v) * (peers.outputs(W, v, self.x) - self.y).square().mean() / 2

    def hvp(self, flat):
        """The product of the Hessian with a vector, by ``torch.func``, forward over reverse."""
        tangent = flat[: self.W.numel()].reshape(self.W.shape), flat[self.W.numel() :]
        H = jvp(grad(lambda p: self.loss(*p)), ((self.W, self.v),), (tangent,))[1]
        return torch.cat([t.flatten() for t in H])

    def library(self):
        """What the library does, by name."""
        of = partial(sharpness, x=self.x, y=self.y)
        calls = {
            LANCZOS: lambda: of(self.net, method="lanczos"),
            MODULE: lambda: self.size[2] * of(self.module, method="lanczos"),
        }
        return ({DENSE: lambda: of(self.net, method="dense")} if self.p <= FEW else {}) | calls

    def others(self):
        """What peers do."""
        calls = {
            "torch.func products, eigsh": lambda: by_eigsh(self.hvp, self.p),
            "torch.func products, power iteration to 1e-4": lambda: by_power(self.hvp, self.p),
        }
        return ({"torch.func.hessian, eigvalsh": self.dense} if self.p <= FEW else {}) | calls

    def dense(self):
        """All eigenvalues of the Hessian that ``torch.func`` builds."""

        def flat_loss(flat):
            return self.loss(flat[: self.W.numel()].reshape(self.W.shape), flat[self.W.numel() :])

        flat = torch.cat([self.W.flatten(), self.v])
        return torch.linalg.eigvalsh(torch.func.hessian(flat_loss)(flat))[-1]

    def truth(self):
        """The largest eigenvalue by a route that shares nothing with the library."""
        return self.dense() if self.p <= FEW else by_eigsh(self.hvp, self.p)


def by_eigsh(hvp, p):
    """SciPy's Lanczos iteration as it comes, but for the largest algebraic eigenvalue."""
    operator = LinearOperator((p, p), lambda v: hvp(torch.as_tensor(v.ravel())).numpy(), dtype=np.float64)
    return torch.tensor(eigsh(operator, k=1, which="LA", return_eigenvectors=False)[0])


def by_power(hvp, p, tolerance=1e-4):
    """Power iteration until the estimate changes by less than the tolerance: largest in size, and often not that exact."""
    v, last = torch.randn(p, generator=torch.Generator().manual_seed(2), dtype=torch.float64), torch.inf
    for _ in range(1000):
        v = v / v.norm()
        Hv = hvp(v)
        value = v @ Hv
        if abs(value - last) < tolerance * abs(value):
            break
        v, last = Hv, value
    return value


def relative(got, truth):
    """``|got / truth - 1|``."""
    return abs(got / truth - 1).item()


def gate(setting):
    """Stop at wrong numbers."""
    truth = setting.truth()
    for name, call in setting.library().items():
        error = relative(call(), truth)
        print(f"- {name}: relative error {error:.0e}, allowed {TOLERANCE:.0e}")
        if not error < TOLERANCE:
            sys.exit(f"wrong numbers: {name} is off by {error:.1e}; nothing was timed")


def bench(setting, with_peers, rounds):
    """The rows of one table."""
    calls = setting.library() | (setting.others() if with_peers else {})
    timings, truth = measure(calls, rounds), setting.truth()
    for name, call in calls.items():
        t, row = timings[name], {"task": "sharpness", "method": name, "size": setting.size, "parameters": setting.p}
        if isinstance(t, Timing):
            row |= asdict(t) | {"to_lanczos": t.cpu / timings[LANCZOS].cpu, "error": relative(call(), truth)}
            yield row
        else:
            yield row | {"failed": f"{type(t).__name__}: {t}".splitlines()[0][:60]}


def table(rows):
    """Markdown."""
    n, d, m = rows[0]["size"]
    print(f"\n### sharpness, float64, {n} samples, {d} inputs, {m} units, {rows[0]['parameters']} parameters\n")
    print(
        "| method | CPU ms | quartiles | wall ms | first ms | x closed form, Lanczos | error |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        if "failed" in row:
            print(f"| {row['method']} | not run: {row['failed']} | | | | | |")
            continue
        cpu, low, high, wall, first = (f"{1e3 * row[k]:.3g}" for k in ("cpu", "low", "high", "wall", "first"))
        print(f"| {row['method']} | {cpu} | {low}-{high} | {wall} | {first} | {row['to_lanczos']:.2f} | {row['error']:.0e} |")


def main(arguments=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharpness", description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="time other routes to the same number as well")
    parser.add_argument("--tiny", action="store_true", help="one small size, one round: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="append a JSON object a row to this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("# Sharpness\n\nCorrectness first:\n")
    sizes, rounds = (TINY, 1) if options.tiny else (SIZES, 7)
    gate(Setting(*sizes[0]))
    for size in sizes:
        rows = list(bench(Setting(*size), options.peers, rounds))
        table(rows)
        if options.json:
            with open(options.json, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
