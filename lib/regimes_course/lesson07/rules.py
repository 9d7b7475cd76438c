"""Three right inverses of the Jacobian, Muon and Adam on one network and one task, down to one training loss.

``python -m tools.exact_steps`` stores runs of them in ``rules.json``; `stored_rules` reads them.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from itertools import product

import torch
from torch import Tensor

from regimes.metrics import accuracy
from regimes.networks import HalfLayer, Reversible, get_activation
from regimes.optimizers import GaussNewton, ReversibleGaussNewton
from regimes.problems import HALVES, Images, ten_digits
from regimes_course.lesson07.experiments import batch_changes

__all__ = [
    "batch_run",
    "COMPARED",
    "DIALS",
    "HERO",
    "RULES",
    "SEEDS",
    "SHOWN",
    "half_layers",
    "key",
    "matched",
    "matched_runs",
    "measure_all",
    "orthogonalise",
    "right",
    "run",
    "stored_rules",
]

RULES = ("exact", "layer by layer", "shortest")  # right inverses
SHOWN = (*RULES, "Muon", "Adam")
DIALS = {"rule": RULES, "halves": tuple(HALVES), "n": (64, 128), "damping": (0.0, 0.01, 0.1), "seed": (0, 1, 2)}
HERO = {"n": 256, "m": 1024, "seed": 0, "steps": 5}
SEEDS = tuple(range(20, 26))  # of the matched runs; none of them was looked at before the bounds of their claims were chosen
COMPARED = {name: {"rule": name} for name in ("exact", "layer by layer", "Muon", "Adam")}
COMPARED |= {f"{name}, damped": {"rule": name, "damping": 0.1} for name in RULES}
COMPARED |= {f"{name}, checkerboard": {"rule": name, "halves": "checkerboard"} for name in RULES}
COMPARED |= {f"{name}, from zero": {"rule": name, "from_zero": True} for name in RULES}
ETA = 0.5
MOST = 150  # steps of a run that looks for a training loss
END = 1e-3  # the training loss at which a run of the dials ends


def half_layers(V: Tensor, W: Tensor, u: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of each half layer, in the order of ``W``, the features ``A`` and the sensitivities ``S`` of the outputs to what it adds.

    Returns:
        Pairs ``(n, m + 1)`` and ``(n, q, h)``: the Jacobian's row for output c of sample i is the outer product
        of ``A[i]`` and ``S[i, c]``.
    """
    z, layers, found = list(x.chunk(2, 1)), [], []
    for block, i in product(range(len(V)), (0, 1)):
        phi, slope = get_activation("relu")(z[1 - i] @ V[block, i])
        A = torch.nn.functional.pad(phi, (0, 1), value=1.0)
        layers.append((i, HalfLayer(z[1 - i], A, slope, V[block, i], W[block, i])))
        z[i] = z[i] + layers[-1][1].output
    s = list(u.mT[:, None].expand(-1, len(x), -1).chunk(2, 2))  # (q, n, h) for each half
    for i, layer in reversed(layers):
        found.append((layer.A, s[i].transpose(0, 1)))
        s[1 - i] = s[1 - i] + layer.vjp(s[i])
    return found[::-1]


def gram(A: Tensor, S: Tensor) -> Tensor:
    """The kernel of a half layer, ``(n q, n q)``."""
    q, S = S.shape[1], S.flatten(0, 1)
    return torch.kron(A @ A.mT, torch.ones(q, q, dtype=A.dtype)) * (S @ S.mT)


def damped(K: Tensor, damping: float) -> Tensor:
    """With a share of the mean of its diagonal added to the diagonal."""
    return K + damping * K.diagonal().mean() * torch.eye(len(K), dtype=K.dtype)


def solve(K: Tensor, r: Tensor) -> Tensor:
    """``K a = r`` with one correction, for a positive definite ``K``."""
    L = torch.linalg.cholesky(K)
    a = torch.cholesky_solve(r, L)
    return a + torch.cholesky_solve(r - K @ a, L)


def kernel_step(net: Reversible, data: Images, damping: float, alone: bool) -> Tensor:
    """Weights that move the outputs by the residual: each half layer alone, with all of it, or all together."""
    r = (net(data.x) - data.y).reshape(-1, 1)
    layers = half_layers(net.V, net.W, net.u, data.x)
    K = [gram(A, S) for A, S in layers]
    if alone:
        a = [solve(damped(k, damping), r) / len(K) for k in K]
    else:
        a = [solve(damped(sum(K), damping), r)] * len(K)
    return torch.stack([A.mT @ (c.view(*S.shape[:2], 1) * S).sum(1) for c, (A, S) in zip(a, layers, strict=True)]).view_as(
        net.W
    )


def exact_step(net: Reversible, data: Images, damping: float) -> Tensor:
    """The walk back of the lesson; a damping is added to the Gram matrix of the features."""
    z = net.encode(data.x)
    e1, e2 = ((net.read(z, data.x) - data.y) @ net.u.mT).chunk(2, -1)
    delta = torch.empty_like(net.W)
    for block, F, G in net.backwards(z):
        delta[block, 0] = F.A.mT @ solve(damped(F.A @ F.A.mT, damping), e1)
        delta[block, 1] = G.A.mT @ solve(damped(G.A @ G.A.mT, damping), e2 - G.jvp(F.A @ delta[block, 0]))
        e2 = e2 - G.jvp(e1)
        e1 = e1 - F.jvp(e2)
    return delta / net.blocks


def orthogonalise(G: Tensor) -> Tensor:
    """Five Newton-Schulz steps: the singular values of each matrix ``(..., a, b)`` come nearer to one.

    Source: Jordan et al. 2024.
    """
    X = G.mT / torch.linalg.matrix_norm(G, keepdim=True)
    for _ in range(5):
        A = X @ X.mT
        X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
    return X.mT


def gradient(net: Reversible, data: Images) -> Tensor:
    """Of the squared loss, a mean over samples, with the half."""
    J = net.jacobian(data.x)
    return J.vjp((J.outputs - data.y.flatten(-2)) / len(data.x))[0]


def muon(net: Reversible, data: Images) -> Callable[[int], Tensor]:
    """Steps of 0.03 that fall to zero over 60, momentum 0.9."""
    M = torch.zeros_like(net.W)

    def step(k: int) -> Tensor:
        nonlocal M
        M = 0.9 * M + gradient(net, data)
        return 0.03 * max(0.0, 1 - k / 60) * orthogonalise(M)

    return step


def adam(net: Reversible, data: Images) -> Callable[[int], Tensor]:
    """Steps of 1e-3."""
    inner = torch.optim.Adam([net.W], lr=1e-3)

    def step(k: int) -> Tensor:
        before, net.W.grad = net.W.detach().clone(), gradient(net, data)
        inner.step()
        moved = before - net.W
        net.W.copy_(before)
        return moved

    return step


def stepper(rule: str, net: Reversible, data: Images, damping: float) -> Callable[[int], Tensor]:
    """What the weights are to be lowered by in step ``k``."""
    if rule in ("Muon", "Adam"):
        return {"Muon": muon, "Adam": adam}[rule](net, data)
    step = {
        "exact": exact_step,
        "layer by layer": lambda *of: kernel_step(*of, alone=True),
        "shortest": lambda *of: kernel_step(*of, alone=False),
    }[rule]
    return lambda k: ETA * step(net, data, damping)


@torch.no_grad()
def run(
    rule: str,
    *,
    seed: int,
    n: int = 128,
    m: int = 512,
    halves: str = "top and bottom",
    damping: float = 0.0,
    steps: int | None = None,
    target: float = 0.0,
    from_zero: bool = False,
    watch: bool = False,
) -> dict:
    """One run at full batch, of ``steps`` steps, or until the training loss is at most ``target`` of its start.

    Returns:
        ``loss``, the training loss at each step over that at the start; ``right``, the share of test images that are
        classified correctly, at the end, or at each step if one wants to ``watch``; ``first`` and ``moved``, the length of the
        first step and the distance of the weights from their start.
    """
    data, net = ten_digits(n, seed=seed, halves=halves), Reversible(64, 10, m, seed=seed + 100, from_zero=from_zero)
    start, take = net.W.clone(), stepper(rule, net, data, damping)

    def score() -> float:
        return accuracy(net, data.x_test, data.y_test).item()

    losses, seen, first = [_half(net, data)], [score()], 0.0
    for k in range(MOST if steps is None else steps):
        if steps is None and losses[-1] <= target * losses[0]:
            break
        net.W -= take(k)
        losses.append(_half(net, data))
        first = first or (net.W - start).norm().item()
        seen += [score()] if watch else []
    told = {"loss": [loss / losses[0] for loss in losses], "first": first, "moved": (net.W - start).norm().item()}
    return told | {"right": seen if watch else score()}


def _half(net: Reversible, data: Images) -> float:
    return (net(data.x) - data.y).square().sum().item() / 2 / len(data.x)


def right(outputs: Tensor, y: Tensor) -> float:
    """How many per cent of the images are classified correctly, by outputs ``(n, 10)`` and one-hot labels."""
    return 100 * (outputs.argmax(1) == y.argmax(1)).double().mean().item()


def batch_run(rule: str, *, eta: float, m: int = 512, epoch: int = 22) -> Tensor:
    """`batch_changes` by the exact or the shortest rule, in the third epoch of 1437 shifted images in batches of 64."""
    make = {"exact": ReversibleGaussNewton, "shortest": GaussNewton}[rule]
    feed = ten_digits(1437, seed=0).batches(64, seed=7, shift=True)
    return batch_changes(make(Reversible(64, 10, m, seed=100), eta), feed, 3 * epoch)[:, 2 * epoch :]


def matched(seed: int) -> dict[str, dict]:
    """The shortest rule after four steps, and `COMPARED` where as little of the training loss is left for the first time."""
    shortest = run("shortest", seed=seed, steps=4)
    others = {name: run(seed=seed, target=shortest["loss"][-1], **how) for name, how in COMPARED.items()}
    return {"shortest": shortest} | others


def measure_all() -> Iterator[tuple[str, str, dict]]:
    """Everything that is stored: the part of the file, the name, the run."""
    settings = {name: HERO[name] for name in ("n", "m", "seed", "steps")}
    for rule in RULES:
        yield "hero", rule, run(rule, watch=True, **settings)
    for seed in SEEDS:
        for name, found in matched(seed).items():
            yield "matched", f"{name} | {seed}", found
    for values in product(*DIALS.values()):
        settings = dict(zip(DIALS, values, strict=True))
        yield "dials", key(**settings), run(**settings, target=END, watch=True)


def matched_runs(what: str) -> dict[str, Tensor]:
    """``right``, ``moved``, ``first``, or the ``loss`` or ``steps`` at the end, of stored runs by name: one number per seed."""
    runs, found = stored_rules()["matched"], {}
    for name in ("shortest", *COMPARED):
        of = [runs[f"{name} | {seed}"] for seed in SEEDS]
        end = {"loss": lambda run: run["loss"][-1], "steps": lambda run: len(run["loss"]) - 1}
        found[name] = torch.tensor([end.get(what, lambda run: run[what])(run) for run in of]).double()
    return found


def key(**settings) -> str:
    """The name of a run of the dials in the file."""
    return " | ".join(str(settings[name]) for name in DIALS)


@cache
def stored_rules() -> dict:
    """What ``python -m tools.exact_steps rules`` wrote: ``hero`` by rule, ``matched`` by name and seed, ``dials`` by all."""
    return json.loads((resources.files("regimes_course.lesson07") / "rules.json").read_text(encoding="utf8"))
