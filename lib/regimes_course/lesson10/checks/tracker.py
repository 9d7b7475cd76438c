"""Capstone 2: an own sharpness tracker, in SGD's units."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.func import hessian

from regimes_course.kit.checking import Behaviour, Complaint, Mistake
from regimes_course.kit.comparing import printed
from regimes_course.lesson10 import experiments, pictures

__all__ = ["TRACKER"]

SEEDS = 1, 2
ETA, STEPS, EVERY = 0.2, 400, 20
LATE = 10  # numbers at the end
# Set on seeds 10 to 21, which are not checked: there the mean of the last ten numbers is 0.97 to 1.08. Lanczos iteration that starts from the last
# vector is right to 0.2 % with 8 products a number, a cold one to 1e-6 with 12 (252 in all); power iteration with 8 is wrong by up to 20 %.
NEAR, PRODUCTS, HOVER = 0.005, 300, (0.9, 1.2)
MOST = 1000  # products and gradients that are answered at all


@dataclass(frozen=True)
class Run:
    """How one network was followed.

    Attributes:
        numbers: that were told, ``(21,)``; empty if it asked for too many products to be let go on.
        next: the true number at step 1.
        truth: from the dense Hessian at the weights where the gradient was asked, empty if these are no run of SGD.
        steps: of SGD that were taken, with the weights it was asked at; -1 if they are something else.
        half: whether they are a run with half the step.
        products: how many.
        first: how many of them at the start.
    """

    numbers: Tensor
    truth: Tensor
    next: float
    steps: int
    half: bool
    products: int
    first: int

    @property
    def ratio(self) -> Tensor:
        """What was told over what is true."""
        return self.numbers / self.truth

    @property
    def on_the_path(self) -> bool:
        """Whether SGD took all its steps, and there is something to compare."""
        return self.steps >= STEPS and len(self.numbers) > 0

    @property
    def right(self) -> bool:
        """Whether all numbers are."""
        return self.on_the_path and bool(((self.ratio - 1).abs() <= NEAR).all())

    def times(self, factor: float) -> bool:
        """Whether all numbers are the true ones times a factor."""
        return self.on_the_path and bool((self.ratio / factor - 1).abs().max() <= 0.02)


class _Enough(Complaint):
    """More products than anybody needs."""


def observe(answer: Callable) -> list[Run]:
    """Let ``answer(gradient, product, w, eta)`` follow each network."""
    return [_observe(answer, seed) for seed in SEEDS]


def _observe(answer: Callable, seed: int) -> Run:
    slope, points, slopes, asked = experiments.slope(seed), [], [], []

    def gradient(w: Tensor) -> Tensor:
        _fits(w, slope.start, "gradient takes weights")
        if len(points) == MOST:
            raise Complaint(f"your function asks for more than {MOST} gradients of one network; the run has {STEPS} steps")
        points.append(w.detach().clone())
        slopes.append(slope.gradient(w.detach()))
        return slopes[-1].clone()

    def product(w: Tensor, v: Tensor) -> Tensor:
        _fits(w, slope.start, "product takes weights and a vector")
        _fits(v, slope.start, "product takes weights and a vector")
        if len(asked) == MOST:
            raise _Enough(f"your function asks for more than {MOST} products of one network; {PRODUCTS} are allowed")
        asked.append(torch.equal(w, slope.start))
        return slope.product(w.detach(), v.detach())

    try:
        numbers = _returned(answer(gradient, product, slope.start.clone(), ETA))
    except _Enough:
        numbers = torch.empty(0, dtype=torch.float64)
    steps = _steps(points, slopes, slope.start, 2 * ETA)
    truth = numbers.new_empty(0)
    if steps >= STEPS and len(numbers):
        path = torch.stack([*points[:STEPS], points[STEPS - 1] - 2 * ETA * slopes[STEPS - 1]])[::EVERY]
        own, known = _reference(seed)
        truth = known if torch.allclose(path, own, rtol=0, atol=1e-7) else _stability(slope, path)
    return Run(numbers, truth, _second(seed), steps, _steps(points, slopes, slope.start, ETA) > 1, len(asked), sum(asked))


def _fits(value, like: Tensor, says: str) -> None:
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        raise ValueError(f"{says}, float64 of shape ({len(like)},); got {printed(value, repr, 60)}")


def _returned(value) -> Tensor:
    wanted = STEPS // EVERY + 1
    if not isinstance(value, Tensor) or value.shape != (wanted,) or value.dtype != torch.float64:
        raise Complaint(
            f"your function must return a float64 tensor of shape ({wanted},); it returned {printed(value, repr, 60)}"
        )
    return value.detach()


def _steps(points: list[Tensor], slopes: list[Tensor], start: Tensor, size: float) -> int:
    """How many steps of this size the points are, from the start on; -1 if they are not."""
    chain = [start, *(w - size * g for w, g in zip(points, slopes, strict=True))]
    return len(points) if all(_alike(w, at) for w, at in zip(points, chain, strict=False)) else -1


def _alike(w: Tensor, at: Tensor) -> bool:
    return bool((w - at).norm() <= 1e-9 * at.norm())


@lru_cache
def _reference(seed: int) -> tuple[Tensor, Tensor]:
    """The path, every twentieth step, and its stability numbers."""
    slope = experiments.slope(seed)
    path = [slope.start]
    for _ in range(STEPS):
        path.append(path[-1] - 2 * ETA * slope.gradient(path[-1]))
    kept = torch.stack(path[::EVERY])
    return kept, _stability(slope, kept)


@lru_cache
def _second(seed: int) -> float:
    """The stability number at step 1."""
    slope = experiments.slope(seed)
    return _stability(slope, (slope.start - 2 * ETA * slope.gradient(slope.start))[None]).item()


def _stability(slope: experiments.Slope, path: Tensor) -> Tensor:
    """Half the step times the largest eigenvalue of the Hessian of ``nn.MSELoss``, which is twice that of half of it."""
    dense = hessian(lambda w: 2 * slope.loss(w))
    return torch.stack([ETA / 2 * torch.linalg.eigvalsh(dense(w))[-1] for w in path])


def _late(run: Run) -> float:
    return run.numbers[-LATE:].mean().item()


def hovers(run: Run) -> bool:
    """Whether the last numbers are at the edge."""
    return HOVER[0] <= _late(run) <= HOVER[1]


def solved(runs: list[Run]) -> bool:
    """All four: SGD's own path, the right numbers, few products, and at the edge in the end."""
    return all(run.right and run.products <= PRODUCTS and hovers(run) for run in runs)


def _measured(runs: list[Run]) -> str:
    off = max((run.ratio - 1).abs().max().item() for run in runs)
    return (
        f"measured: at most {off:.1e} from the dense Hessian ({NEAR:g} allowed), {max(run.products for run in runs)} products ({PRODUCTS} "
        f"allowed), the last ten numbers have means of {' and '.join(f'{_late(run):.2f}' for run in runs)} (0.9 to 1.2 wanted)."
    )


def _late_start(run: Run) -> bool:
    """Whether the first number is that of step 1, and not of step 0."""
    return run.on_the_path and not run.right and bool(abs(run.numbers[0] - run.next) <= NEAR * run.next)


def _lanczos(product, w, q, count):
    basis, images = [q / q.norm()], []
    for _ in range(count):
        images.append(product(w, basis[-1]))
        rest = images[-1]
        for b in basis * 2:
            rest = rest - (b @ rest) * b
        basis.append(rest / rest.norm())
    Q, HQ = torch.stack(basis[:count]), torch.stack(images)
    lam, U = torch.linalg.eigh((Q @ HQ.T + HQ @ Q.T) / 2)
    return lam[-1], U[:, -1] @ Q


def _power(product, w, q, count):
    for _ in range(count):
        v = product(w, q)
        q = v / v.norm()
    return q @ v, q


def _dense(product, w, q, count):
    rows = [product(w, e) for e in torch.eye(len(w), dtype=w.dtype)]
    return torch.linalg.eigvalsh(torch.stack(rows))[-1], q


def _along_the_gradient(product, w, q, count):
    return q @ product(w, q) / (q @ q), q


def _follow(
    count=10, warm=True, find=_lanczos, factor=lambda eta: eta, step=2.0, momentum=0.0, until=STEPS, late=0, downhill=False
):
    """SGD's run; every twentieth step a number by ``find`` from this many products."""

    def answer(gradient, product, w, eta):
        first = torch.sin(torch.arange(1.0, len(w) + 1, dtype=w.dtype))
        q, numbers, move = first / first.norm(), [], torch.zeros_like(w)
        for k in range(STEPS + late + 1):
            at_work = k < until + late
            g = gradient(w) if at_work or downhill and k == until else move
            if k >= late and (k - late) % EVERY == 0:
                lam, found = find(product, w, g if downhill else q, count)
                q = found if warm else q
                numbers.append(factor(eta) * lam)
            if at_work:
                move = momentum * move + g
                w = w - step * eta * move
        return torch.stack(numbers)

    return answer


def _meter(gradient, product, w, eta):
    """Along the last step, from two gradients."""
    numbers, before, g_before = [], w, gradient(w)
    for k in range(1, STEPS + 2):
        w = before - 2 * eta * g_before
        g = gradient(w)
        if (k - 1) % EVERY == 0:
            s = w - before
            numbers.append(eta * (s @ (g - g_before)) / (s @ s))
        before, g_before = w, g
    return torch.stack(numbers)


TRACKER = Behaviour(
    key="10/tracker",
    picture=pictures.tracker,
    observe=observe,
    passed=solved,
    praise=lambda runs: f"Right, cheap and at the edge; {_measured(runs)}",
    otherwise=lambda runs: (
        _measured(runs)
        if all(run.on_the_path for run in runs)
        else f"SGD's run could not be followed: its path or its {STEPS} steps are missing."
    ),
    alternatives=(_follow(), _follow(12, warm=False), _follow(8)),
    mistakes=(
        Mistake(
            "dense",
            f"One product for each weight, 205 in all, for a single number: this builds the whole Hessian. It is right and cannot be afforded; {PRODUCTS} products are "
            "allowed for all 21 numbers. One eigenvalue is wanted, and a few products find it.",
            _follow(find=_dense),
            lambda runs: any(run.first >= 200 and run.steps != 0 for run in runs),
        ),
        Mistake(
            "too many products",
            f"More than {PRODUCTS} products of one network. The direction of the largest curvature changes slowly: begin where the last search ended, or stop each "
            "search when it has found its number.",
            _follow(30, warm=False),
            lambda runs: any(run.products > PRODUCTS for run in runs),
        ),
        Mistake(
            "nothing trained",
            "The gradient was never asked for: the network stays at its start, and there is nothing to track.",
            _follow(until=0),
            lambda runs: any(run.steps == 0 for run in runs),
        ),
        Mistake(
            "half the step",
            "The weights take half the steps of SGD. gradient is that of half the mean square, while torch.optim.SGD descends nn.MSELoss, which has no half: "
            "its step is w - 2 eta gradient(w).",
            _follow(step=1.0),
            lambda runs: any(run.half for run in runs),
        ),
        Mistake(
            "another path",
            "The gradients were asked at weights that are no run of plain SGD: each has to be one step from the one before, from the start on. Momentum, another "
            "step, or gradients at points beside the path (for differences, say) give another run.",
            _follow(momentum=0.5),
            lambda runs: any(run.steps < 0 for run in runs),
        ),
        Mistake(
            "stopped early",
            f"Fewer than {STEPS} steps were taken: sharpness climbs to the edge first, and only the steps after that show whether it stays there.",
            _follow(until=200),
            lambda runs: any(run.steps < STEPS for run in runs),
        ),
        Mistake(
            "the meter",
            "No product was asked for: these numbers come from gradients alone. The curvature along the last step tells the swing, and is 1 in any swing of "
            "period two, however large; it is no sharpness. Before the edge it is far too small.",
            _meter,
            lambda runs: all(run.products == 0 for run in runs) and not any(run.right for run in runs),
        ),
        Mistake(
            "half of SGD's number",
            "All numbers are half of what they should be: you mixed two units. The product is that of half the mean square, whose sharpness is half of the one SGD meets; "
            "from it the stability number is eta times S, not eta S/2.",
            _follow(factor=lambda eta: eta / 2),
            lambda runs: all(run.times(0.5) for run in runs),
        ),
        Mistake(
            "twice the number",
            "All numbers are twice what they should be. At the edge the stability number eta S/2 is 1: is the half forgotten, or the factor two for the units used twice?",
            _follow(factor=lambda eta: 2 * eta),
            lambda runs: all(run.times(2) for run in runs),
        ),
        Mistake(
            "bare sharpness",
            "These are the sharpness itself, in one of the two units. It climbs to a value that depends on the step, and no unit of it is comparable between two steps: "
            "give the stability number.",
            _follow(factor=lambda eta: 1.0),
            lambda runs: all(run.times(1 / ETA) or run.times(2 / ETA) for run in runs),
        ),
        Mistake(
            "a step late",
            "Each number is near, and not that of its weights: they are those of a step later or earlier, or of a path whose parts were shifted. Measure at step 0, then at 20, 40 and so on, "
            "before the step is taken.",
            _follow(late=1),
            lambda runs: all(_late_start(run) for run in runs),
        ),
        Mistake(
            "along the gradient",
            "One product a number, or two, is a Rayleigh quotient: the curvature along the vector you took, gradient or other, and an average over the eigenvalues. It is "
            "never above the largest, and far below it here. Iterate.",
            _follow(find=_along_the_gradient, downhill=True),
            lambda runs: all(run.products <= 2 * len(run.numbers) and not run.right for run in runs),
        ),
        Mistake(
            "not found yet",
            "Some numbers are below the truth by more than half a percent, as those of a search that stops too early. Where two large eigenvalues are near each other power iteration "
            "needs dozens of products; Lanczos, from the same products, does not.",
            _follow(8, find=_power),
            lambda runs: any(run.on_the_path and run.ratio.min() < 1 - NEAR and run.ratio.max() <= 1 + NEAR for run in runs),
        ),
    ),
)
