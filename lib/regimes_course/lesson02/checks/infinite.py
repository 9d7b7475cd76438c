"""Exercise 3: the outputs of the infinite cloud, from those of narrow networks."""

from random import Random

import numpy as np
import torch

from regimes_course.kit.checking import Function, Mistake, random
from regimes_course.lesson02 import pictures

__all__ = ["INFINITE_CLOUD"]


def _case(seed: int, runs: dict[int, int], n: int) -> tuple:
    """Outputs of ``runs[m]`` networks of ``m`` units at ``n`` inputs, around a limit, with a scatter and a bias."""
    limit, bias = 2 * random(seed, n) + 0.5, 3 * random(seed + 1, n)
    return list(runs), [limit + bias / m + random(seed + m, r, n) / m**0.5 for m, r in runs.items()]


def _cases() -> dict[str, tuple]:
    hand = [2, 4], [torch.tensor(f, dtype=torch.float64) for f in ([[1.0, 4.0], [3.0, 4.0]], [[1.0, 3.0], [1.0, 6.0]])]
    return {
        "widths 2 and 4, two networks and two inputs each": hand,
        "widths 8 and 24": _case(1, {8: 5, 24: 5}, 3),
        "three widths": _case(2, {10: 4, 20: 4, 80: 4}, 2),
        "widths in another order": _case(3, {40: 6, 10: 6}, 3),
        "fewer networks of the larger width": _case(4, {5: 9, 10: 6, 30: 2}, 4),
        "one network each": _case(5, {3: 1, 7: 1}, 5),
    }


def _line(widths, outputs, power=-1.0):
    """Intercept and slope of the least-squares line through every network, at each input."""
    x = torch.cat([torch.full((len(f),), float(m) ** power).double() for m, f in zip(widths, outputs, strict=True)])
    return torch.linalg.lstsq(torch.stack([torch.ones_like(x), x], 1), torch.cat(list(outputs))).solution


def _by_polyfit(widths, outputs):
    x = np.concatenate([np.full(len(f), 1 / m) for m, f in zip(widths, outputs, strict=True)])
    return torch.from_numpy(np.polyfit(x, torch.cat(outputs).numpy(), 1)[1].copy())


def _by_moments(widths, outputs):
    f, x = torch.cat(outputs), torch.cat([f.new_full((len(f), 1), 1 / m) for m, f in zip(widths, outputs, strict=True)])
    slope = ((x - x.mean()) * f).mean(0) / (x - x.mean()).square().mean()
    return f.mean(0) - slope * x.mean()


def _by_normal_equations(widths, outputs):
    x = torch.cat([f.new_full((len(f),), 1 / m) for m, f in zip(widths, outputs, strict=True)])
    A = torch.stack([torch.ones_like(x), x], 1)
    return torch.linalg.solve(A.T @ A, A.T @ torch.cat(outputs))[0]


def _means(outputs):
    return [f.mean(0, keepdim=True) for f in outputs]


def _ends(widths, outputs):
    both = [widths.index(min(widths)), widths.index(max(widths))]
    return _line([widths[i] for i in both], [_means(outputs)[i] for i in both])[0]


def _draw(rng: Random) -> tuple:
    widths = rng.sample([2, 3, 5, 8, 16, 40], rng.randint(2, 4))
    return _case(rng.randrange(10**6), {m: rng.randint(1, 6) for m in widths}, rng.randint(1, 4))


INFINITE_CLOUD = Function(
    key="02/infinite_cloud",
    picture=pictures.infinite_cloud,
    reference=lambda widths, outputs: _line(widths, outputs)[0],
    cases=_cases,
    draw=_draw,
    praise="It agrees with a least-squares line through every network, at each input.",
    alternatives=(_by_moments, _by_polyfit, _by_normal_equations),
    mistakes=(
        Mistake(
            "the widest",
            "This is the mean of the widest networks. It is nearer to the limit than the others, and still off by its own 1/m.",
            lambda widths, outputs: outputs[widths.index(max(widths))].mean(0),
        ),
        Mistake(
            "mean of all",
            "This is the mean of all networks. All are off to the same side: what averages away is the scatter, not the part in 1/m.",
            lambda widths, outputs: torch.cat(outputs).mean(0),
        ),
        Mistake(
            "against m",
            "This is a line against m, at m = 0: the network without units. The outputs are linear in 1/m, and 1/m = 0 is the infinite cloud.",
            lambda widths, outputs: _line(widths, outputs, 1.0)[0],
        ),
        Mistake(
            "against the root",
            "This is a line against 1/√m. That is how single networks scatter; their mean is off in proportion to 1/m.",
            lambda widths, outputs: _line(widths, outputs, -0.5)[0],
        ),
        Mistake(
            "the slope",
            "This is the slope of the line, ζ in the lesson's formula. What is asked is its value at 1/m = 0.",
            lambda widths, outputs: _line(widths, outputs)[1],
        ),
        Mistake(
            "one unit",
            "This is the line at 1/m = 1, a network of one unit. The infinite cloud is at 1/m = 0.",
            lambda widths, outputs: _line(widths, outputs).sum(0),
        ),
        Mistake(
            "a point for each width",
            "This takes the mean of each width first and gives all widths the same weight. Each network counts as one point: where there are more of a "
            "width, it counts for more.",
            lambda widths, outputs: _line(widths, _means(outputs))[0],
        ),
        Mistake(
            "first and last",
            "This is the line through the means of two widths only. All of them belong into the fit.",
            _ends,
        ),
        Mistake(
            "one number",
            "This is one number for all inputs. The line is fitted at each input by itself: the result has an entry for each.",
            lambda widths, outputs: _line(widths, [f.mean(1, keepdim=True) for f in outputs])[0],
        ),
    ),
)
