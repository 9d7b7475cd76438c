"""Exercise 6: the largest eigenvalue from few products with a vector."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from regimes_course.kit.checking import Behaviour, Mistake, random
from regimes_course.kit.comparing import number
from regimes_course.lesson08 import pictures
from regimes_course.lesson08.experiments import network_hessian

__all__ = ["NOT_BELOW_ZERO", "SHARPNESS", "UNLUCKY_START", "Seen", "ask", "magnitude", "matrices"]

ALLOWED = 60  # products, for the network
NETWORK = "a network with 660 parameters"


@dataclass(frozen=True)
class Seen:
    """What a function found for one matrix.

    Attributes:
        name: of the matrix.
        value: what it returned, NaN if that is no number.
        products: how many it asked for.
        spectrum: eigenvalues, smallest first.
        kind: the type of what it returned, or of the one element in it.
    """

    name: str
    value: float
    products: int
    spectrum: Tensor
    kind: str

    def near(self, wanted: float, tolerance: float = 1e-6) -> bool:
        """Whether it found this number."""
        return abs(self.value - wanted) <= tolerance * abs(wanted)

    @property
    def right(self) -> bool:
        """Whether it found the largest eigenvalue, to 1e-6."""
        return self.near(self.spectrum[-1].item())

    @property
    def cheap(self) -> bool:
        """Whether it did so with few enough products; only the network is judged."""
        return self.name != NETWORK or self.products <= ALLOWED


@lru_cache
def _spectrum_of_network() -> Tensor:
    return torch.linalg.eigvalsh(network_hessian().dense())


def _rotated(*eigenvalues: float, seed: int) -> Tensor:
    Q = torch.linalg.qr(random(seed, len(eigenvalues), len(eigenvalues)))[0]
    return Q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ Q.T


def matrices() -> dict[str, Tensor]:
    """Small ones, at a minimum, at saddles and at a maximum; a search that starts at an axis, or at equal numbers, is orthogonal
    to the wanted eigenvector of one of the last two."""
    return {
        "a positive 7 x 7 matrix": _rotated(0.2, 0.3, 0.5, 0.9, 1.1, 1.4, 3.70718, seed=1),
        "diag(1, -3)": torch.diag(torch.tensor([1.0, -3.0], dtype=torch.float64)),
        "a 9 x 9 saddle": _rotated(-5.1, -1.2, -0.4, 0.1, 0.3, 0.6, 0.8, 1.1, 2.302585, seed=2),
        "a negative 5 x 5 matrix": _rotated(-6.2, -4.4, -3.1, -2.5, -0.693147, seed=3),
        "diag(-3, 1)": torch.diag(torch.tensor([-3.0, 1.0], dtype=torch.float64)),
        "[[-1, -2], [-2, -1]]": torch.tensor([[-1.0, -2.0], [-2.0, -1.0]], dtype=torch.float64),
    }


def observe(answer: Callable) -> list[Seen]:
    """Ask for the largest eigenvalue of each matrix, and of the network's Hessian."""
    cases = [(name, H.matmul, torch.linalg.eigvalsh(H)) for name, H in matrices().items()]
    return [ask(answer, *case) for case in (*cases, (NETWORK, network_hessian().matvec, _spectrum_of_network()))]


def ask(answer: Callable, name: str, product: Callable, spectrum: Tensor) -> Seen:
    """Ask a function for the largest eigenvalue of one matrix, and count its products."""
    count = 0

    def hvp(v: Tensor) -> Tensor:
        nonlocal count
        count += 1
        if v.shape != spectrum.shape:
            raise ValueError(f"hvp takes a vector of shape ({len(spectrum)},); got {tuple(v.shape)}")
        return product(v.detach().to(spectrum.dtype)).clone()

    value = number(answer(hvp, len(spectrum)))
    return Seen(name, float(value) if isinstance(value, int | float) else math.nan, count, spectrum, type(value).__name__)


def solved(seen: list[Seen]) -> bool:
    """Whether all are right, and the network was cheap."""
    return all(s.right and s.cheap for s in seen)


def _power(hvp, v, steps, shift=0.0):
    for _ in range(steps):
        w = hvp(v) + shift * v
        v = w / w.norm()
    return v, (v @ hvp(v)).item()


def _start(dim):
    return random(5, dim)


def _shifted(hvp, dim, final=lambda value: value):
    """Power iteration twice: once for the size of the spectrum, once shifted by it."""
    if dim <= 20:
        columns = [hvp(e) for e in torch.eye(dim, dtype=torch.float64)]
        return final(torch.linalg.eigvalsh(torch.stack(columns))[-1].item())
    _, size = _power(hvp, _start(dim), 8)
    return final(_power(hvp, _start(dim), 48, shift=0.1 * abs(size))[1])


def _by_scipy(hvp, dim, which="LA"):
    if dim < 3:
        columns = [hvp(e) for e in torch.eye(dim, dtype=torch.float64)]
        lam = torch.linalg.eigvalsh(torch.stack(columns))
        order = lam if which == "LA" else -lam if which == "SA" else lam.abs()
        return lam[order.argmax()].item()
    operator = LinearOperator((dim, dim), lambda v: hvp(torch.as_tensor(v.ravel())).numpy(), dtype=float)
    options = {"v0": _start(dim).numpy(), "return_eigenvectors": False}
    return eigsh(operator, k=1, which=which, **options).item()


def _lanczos(hvp, dim, start=None):
    """Krylov space with full orthogonalisation, at most 30 products."""
    start = _start(dim) if start is None else start
    basis, images = [start / start.norm()], []
    while len(images) < min(dim, 30):
        images.append(hvp(basis[-1]))
        rest = images[-1]
        for q in basis * 2:
            rest = rest - (q @ rest) * q
        if rest.norm() < 1e-9:
            break
        basis.append(rest / rest.norm())
    Q, HQ = torch.stack(basis[: len(images)]), torch.stack(images)
    small = Q @ HQ.T
    return torch.linalg.eigvalsh((small + small.T) / 2)[-1].item()


def _dense(hvp, dim, pick=lambda lam: lam[-1]):
    columns = [hvp(e) for e in torch.eye(dim, dtype=torch.float64)]
    return pick(torch.linalg.eigvalsh(torch.stack(columns))).item()


def magnitude(s: Seen) -> float:
    """The eigenvalue of largest size."""
    return s.spectrum[s.spectrum.abs().argmax()].item()


def general(s: Seen) -> bool:
    """Whether the matrix is no 2 x 2 one, whose eigenvectors can be guessed, or missed."""
    return len(s.spectrum) > 2


NOT_BELOW_ZERO = Mistake(
    "never below zero",
    "The largest eigenvalue of a negative matrix is negative, at a maximum of the loss; here it comes out as zero.",
    lambda hvp, dim, *size: max(0.0, _lanczos(hvp, dim)),
    lambda seen: all(s.right or (s.value == 0 and s.spectrum[-1] < 0) for s in seen) and not all(s.right for s in seen),
)
UNLUCKY_START = Mistake(
    "a start that misses it",
    "All is right but for a 2 x 2 matrix. A search that starts at an axis or at equal numbers can be orthogonal to the wanted eigenvector, and then it never "
    "finds it: start with random numbers, or uneven ones.",
    lambda hvp, dim, *size: _lanczos(hvp, dim, torch.ones(dim, dtype=torch.float64)),
    lambda seen: all(s.right or not general(s) for s in seen) and not all(s.right for s in seen),
)

SHARPNESS = Behaviour(
    key="08/sharpness",
    picture=pictures.sharpness,
    observe=observe,
    passed=solved,
    praise=lambda seen: (
        f"Right at minima and at saddles; the network took {seen[-1].products} products of the {ALLOWED} allowed."
    ),
    otherwise=lambda seen: next(
        f"for {s.name} the largest eigenvalue is {s.spectrum[-1]:.6g}, and your function found {s.value:.6g}."
        for s in seen
        if not s.right
    ),
    alternatives=(_by_scipy, _lanczos, lambda hvp, dim: torch.tensor(_by_scipy(hvp, dim))),
    mistakes=(
        Mistake(
            "no number",
            "It must return one number, the eigenvalue; this is something else.",
            lambda hvp, dim: _power(hvp, _start(dim), 60)[0],
            lambda seen: any(s.kind not in ("float", "int") for s in seen),
        ),
        Mistake(
            "one product",
            "This asks for one or two products only. What they give, the Rayleigh quotient of a start v or the length of Hv, is an average over the "
            "eigenvalues and not the largest: iterate.",
            lambda hvp, dim: _power(hvp, _start(dim) / _start(dim).norm(), 0)[1],
            lambda seen: all(s.products <= 2 for s in seen),
        ),
        Mistake(
            "largest magnitude",
            "This is the eigenvalue of largest magnitude, -3 for diag(1, -3): power iteration follows it, and so does eigsh unless it is told "
            "otherwise. Shift the matrix, or ask for which='LA'.",
            lambda hvp, dim: _by_scipy(hvp, dim, "LM"),
            lambda seen: all(s.near(magnitude(s), 1e-3) for s in seen) and not all(s.right for s in seen[:-1]),
        ),
        Mistake(
            "absolute value",
            "This is the largest absolute value of an eigenvalue, 3 for diag(1, -3): the growth of a vector forgets the sign.",
            lambda hvp, dim: abs(_by_scipy(hvp, dim, "LM")),
            lambda seen: all(s.near(abs(magnitude(s)), 1e-3) for s in seen),
        ),
        Mistake(
            "smallest",
            "This is the smallest eigenvalue.",
            lambda hvp, dim: _by_scipy(hvp, dim, "SA"),
            lambda seen: all(s.near(s.spectrum[0].item(), 1e-3) for s in seen),
        ),
        Mistake(
            "shift not taken back",
            "These are all above the largest eigenvalue, and no Rayleigh quotient ever is. Is a shift still in them? Take it out again, or return the Rayleigh quotient "
            "with the matrix itself.",
            lambda hvp, dim: _shifted(hvp, dim, lambda value: value + 7.0),
            lambda seen: all(s.value > s.spectrum[-1] + 0.01 * abs(magnitude(s)) for s in seen),
        ),
        Mistake(
            "dense",
            f"The eigenvalues are right, but building the whole matrix takes one product a parameter. At most {ALLOWED} are allowed for the network.",
            _dense,
            lambda seen: all(s.right for s in seen) and seen[-1].products >= len(seen[-1].spectrum),
        ),
        Mistake(
            "too many products",
            f"The eigenvalues are right, but this takes more than {ALLOWED} products for the network. Lanczos iteration needs a dozen or two; "
            "shift by less if you iterate.",
            lambda hvp, dim: _dense(hvp, dim) if dim < 20 else _power(hvp, _start(dim), 200)[1],
            lambda seen: all(s.right for s in seen) and not seen[-1].cheap,
        ),
        Mistake(
            "average",
            "This is the mean of the eigenvalues: the trace over the dimension.",
            lambda hvp, dim: _dense(hvp, dim, torch.mean),
            lambda seen: all(s.near(s.spectrum.mean().item(), 1e-3) for s in seen),
        ),
        NOT_BELOW_ZERO,
        UNLUCKY_START,
        Mistake(
            "stopped early",
            "These are near, and not right to six digits. If you iterate, look at the residual |Hv - lambda v|, not at the change of the estimate, or take more products.",
            lambda hvp, dim: _dense(hvp, dim) if dim < 20 else _power(hvp, _start(dim), 9)[1],
            lambda seen: all(s.near(s.spectrum[-1].item(), 0.1) for s in seen),
        ),
    ),
)
