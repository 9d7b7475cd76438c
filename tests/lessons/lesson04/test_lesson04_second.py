"""Slips and solutions that exercises 5 to 7 of lesson 04 do not list: rejected and accepted all the same."""

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from regimes.linear_network import gauss_newton_factor
from regimes.metrics import row_space
from regimes.theory import linear_flows
from regimes_course.lesson04.boxes import BOXES, data, gradients, recorded, start
from regimes_course.lesson04.checks.optimizer import WHICH_OPTIMIZER
from regimes_course.lesson04.checks.paths import CASES, path
from regimes_course.lesson04.checks.scalar import SCALAR_FLOW
from regimes_course.lesson04.checks.sylvester import GN_STEP
from regimes_course.lesson04.checks.verdicts import change, imbalance

F64 = torch.float64


# Exercise 4: a right answer, with one thing at a time to get wrong.


def scalar(P=lambda s, d: s**2 / 4, M=lambda s, d: d**2 / 4, c=lambda y, PM: math.sqrt(y**2 + 4 * PM), end=lambda u, v: (u, v)):
    def answer(u0, v0, y, t):
        s, d = u0 + v0, u0 - v0
        p, m = P(s, d), M(s, d)
        k = c(y, p * m)
        E = torch.exp(-2 * k * t)
        w = (k + y + 2 * m + (k - y - 2 * m) * E) / (k - y + 2 * p + (k + y - 2 * p) * E)
        return end((s * w.sqrt() + d / w.sqrt()) / 2, (s * w.sqrt() - d / w.sqrt()) / 2)

    return answer


right_scalar = scalar()


def only_if(condition, other):
    """The right answer where the condition holds, another one elsewhere."""
    return lambda u0, v0, y, t: (right_scalar if condition(u0, v0, y, t) else other)(u0, v0, y, t)


def end_only(u0, v0, y, t):
    u, v = right_scalar(u0, v0, y, torch.full_like(t, 50.0))
    return torch.where(t == 0, u0, u), torch.where(t == 0, v0, v)


def exponential_approach(u0, v0, y, t):
    u, v = right_scalar(u0, v0, y, torch.tensor([50.0], dtype=F64))
    decay = torch.exp(-t * (u0**2 + v0**2))
    return u + (u0 - u) * decay, v + (v0 - v) * decay


def cosh_form(u0, v0, y, t):
    P, M = (u0 + v0) ** 2 / 4, (u0 - v0) ** 2 / 4
    c = math.sqrt(y**2 + 4 * P * M)
    C, S = torch.cosh(c * t), torch.sinh(c * t) / c
    root = ((C + (y + 2 * M) * S) / (C + (2 * P - y) * S)).sqrt()
    return ((u0 + v0) * root + (u0 - v0) / root) / 2, ((u0 + v0) * root - (u0 - v0) / root) / 2


def fixed_points_everywhere(u0, v0, y, t):
    P, M = torch.tensor([(u0 + v0) ** 2 / 4, (u0 - v0) ** 2 / 4], dtype=F64)
    k = (4 * y**2 + 16 * P * M).sqrt()
    high, low = (y + k / 2) / (2 * P), (y - k / 2) / (2 * P)
    E = (1 - high) / (1 - low) * torch.exp(-k * t)
    w = (high - low * E) / (1 - E)
    return ((u0 + v0) * w.sqrt() + (u0 - v0) / w.sqrt()) / 2, ((u0 + v0) * w.sqrt() - (u0 - v0) / w.sqrt()) / 2


def rough(rtol):
    """Numerical integration in u and v themselves."""

    def answer(u0, v0, y, t):
        def velocity(_, z):
            e = y - z[0] * z[1]
            return e * z[1], e * z[0]

        solution = solve_ivp(velocity, (0, t[-1].item()), (u0, v0), "DOP853", t.numpy(), rtol=rtol, atol=rtol / 10)
        return torch.from_numpy(solution.y[0]), torch.from_numpy(solution.y[1])

    return answer


# Exercise 5


def gn(divide=lambda R, a, b: R / (a + b), steps=lambda F, U1, V: (F @ V, F.T @ U1), residual=lambda t, P: t - P):
    def answer(U1, V, target):
        a, P = torch.linalg.eigh(U1 @ U1.T)
        b, Q = torch.linalg.eigh(V @ V.T)
        F = P @ divide(P.T @ residual(target, U1 @ V.T) @ Q, a[:, None], b) @ Q.T
        return steps(F, U1, V)

    return answer


def thin(U1, V, target):
    P, s, _ = torch.linalg.svd(U1, full_matrices=False)
    Q, t, _ = torch.linalg.svd(V, full_matrices=False)
    F = P @ ((P.T @ (target - U1 @ V.T) @ Q) / (s[:, None] ** 2 + t**2)) @ Q.T
    return F @ V, F.T @ U1


def in_parameters(damping):
    """Normal equations in parameter space."""

    def answer(U1, V, target):
        J, parameters = jacobian(U1, V)
        R = (target - U1 @ V.T).flatten()
        delta = torch.linalg.solve(J.T @ J + damping * torch.eye(parameters, dtype=F64), J.T @ R)
        return delta[: U1.numel()].reshape(U1.shape), delta[U1.numel() :].reshape(V.shape)

    return answer


def jacobian(U1, V):
    def product(p):
        return (p[: U1.numel()].reshape(U1.shape) @ p[U1.numel() :].reshape(V.shape).T).flatten()

    p = torch.cat([U1.flatten(), V.flatten()])
    return torch.func.jacrev(product)(p), len(p)


def by_least_squares(U1, V, target):
    J, _ = jacobian(U1, V)
    delta = torch.linalg.lstsq(J, (target - U1 @ V.T).reshape(-1, 1), driver="gelsd").solution[:, 0]
    return delta[: U1.numel()].reshape(U1.shape), delta[U1.numel() :].reshape(V.shape)


def exchanged(U1, V, target):
    a, P = torch.linalg.eigh(V @ V.T)
    b, Q = torch.linalg.eigh(U1 @ U1.T)
    F = P @ (P.T @ (target - U1 @ V.T) @ Q / (a[:, None] + b)) @ Q.T
    return F @ V, F.T @ U1


# Exercise 6


def kept(**change):
    """A right answer; ``basis``, ``frozen``, ``inside`` and ``conserved`` can be replaced."""

    def answer(X, coarse, fine, inside):
        Phi1, Phi2 = change.get("basis", lambda X: torch.linalg.svd(X)[2].split((5, 4)))(X)
        U2 = [Phi2 @ run[0] for run in (coarse, inside)]
        frozen = change.get("frozen", lambda A: (A - A[0]).abs().max() < 1e-9)(U2[0])
        Z = torch.cat([inside[1], Phi1 @ inside[0]], 1)
        stays = change.get("inside", lambda P: P.abs().max() < 1e-9)(Z @ U2[1].mT)
        drifts = [
            drift(Phi1 @ U, V, change.get("size", lambda A: (A - A[0]).norm(dim=(1, 2)).max())) for U, V in (coarse, fine)
        ]
        conserved = change.get("conserved", lambda a, b: b < 1e-9 or b < a / 2)(*drifts)
        return tuple(bool(verdict) for verdict in (frozen, stays, conserved))

    return answer


def drift(U1, V, size):
    return size(U1.mT @ U1 - V.mT @ V)


def rows_as_samples(X):
    Vh = torch.linalg.svd(X)[2]
    return Vh[:7], Vh[7:]


def thin_basis(X):
    return torch.linalg.svd(X, full_matrices=False)[2].split((7, 0))


WRONG = [
    (SCALAR_FLOW, "halves forgotten in P", None, scalar(P=lambda s, d: s**2)),
    (SCALAR_FLOW, "P and M exchanged", None, scalar(P=lambda s, d: d**2 / 4, M=lambda s, d: s**2 / 4)),
    (SCALAR_FLOW, "rate y only", None, scalar(c=lambda y, PM: abs(y))),
    (SCALAR_FLOW, "rate without the 4", None, scalar(c=lambda y, PM: math.sqrt(y**2 + PM))),
    (SCALAR_FLOW, "one time only", "not two paths", scalar(end=lambda u, v: (u[-1].item(), v[-1].item()))),
    (SCALAR_FLOW, "minus v", "signs of u and v lost", scalar(end=lambda u, v: (u, -v))),
    (SCALAR_FLOW, "the end at once", None, end_only),
    (SCALAR_FLOW, "an exponential to the end", None, exponential_approach),
    (SCALAR_FLOW, "cosh and sinh", "overflow", cosh_form),
    (SCALAR_FLOW, "fixed points, all starts", "saddle", fixed_points_everywhere),
    (
        SCALAR_FLOW,
        "nothing for y < 0",
        None,
        only_if(lambda u0, v0, y, t: y > 0, lambda u0, v0, y, t: (u0 + 0 * t, v0 + 0 * t)),
    ),
    (SCALAR_FLOW, "solve_ivp as it comes", "finite steps", rough(1e-3)),
    (SCALAR_FLOW, "solve_ivp, a little better", "finite steps", rough(1e-5)),
    (SCALAR_FLOW, "linear in time", None, lambda u0, v0, y, t: (u0 + (y - u0 * v0) * v0 * t, v0 + (y - u0 * v0) * u0 * t)),
    (GN_STEP, "half a step", "half a step", gn(divide=lambda R, a, b: R / (2 * (a + b)))),
    (GN_STEP, "sum squared", None, gn(divide=lambda R, a, b: R / (a + b) ** 2)),
    (GN_STEP, "root of the sum", None, gn(divide=lambda R, a, b: R / (a + b).sqrt())),
    (GN_STEP, "damped", None, gn(divide=lambda R, a, b: R / (a + b + 1e-3))),
    (GN_STEP, "barely damped", None, gn(divide=lambda R, a, b: R / (a + b + 1e-6))),
    (GN_STEP, "damped in parameter space", None, in_parameters(1e-6)),
    (GN_STEP, "hardly damped in parameter space", None, in_parameters(1e-13)),
    (GN_STEP, "absolute values", None, gn(residual=lambda t, P: (t - P).abs())),
    (GN_STEP, "V only by F", None, gn(steps=lambda F, U1, V: (0 * U1, F.T @ U1))),
    (GN_STEP, "thin decomposition", None, thin),
    (GN_STEP, "Gram matrices exchanged", None, exchanged),
    (GN_STEP, "the hidden side", None, lambda U1, V, target: torch.linalg.solve(U1.T @ U1 + V.T @ V, target.T)),
    (WHICH_OPTIMIZER, "a dictionary", "not three verdicts", lambda *runs: {"frozen": True}),
    (WHICH_OPTIMIZER, "numbers", "not three verdicts", lambda *runs: (1, 0, 1)),
    (WHICH_OPTIMIZER, "thin, and an error", None, kept(basis=thin_basis)),
    (
        WHICH_OPTIMIZER,
        "thin",
        "U2 empty",
        kept(basis=thin_basis, frozen=lambda A: (A - A[0]).abs().sum() < 1e-9, inside=lambda P: P.sum() < 1),
    ),
    (WHICH_OPTIMIZER, "all directions", "U for U2", kept(basis=lambda X: (torch.eye(9, dtype=F64), torch.eye(9, dtype=F64)))),
    (WHICH_OPTIMIZER, "bases exchanged", "U for U2", kept(basis=lambda X: torch.linalg.svd(X)[2].split((5, 4))[::-1])),
    (WHICH_OPTIMIZER, "samples for directions", "n for r", kept(basis=rows_as_samples)),
    (WHICH_OPTIMIZER, "bit by bit", "U for U2", kept(frozen=lambda A: torch.equal(A[-1], A[0]))),
    (WHICH_OPTIMIZER, "loosely frozen", "tolerance too loose", kept(frozen=lambda A: (A - A[0]).norm(dim=(1, 2)).max() < 0.1)),
    (WHICH_OPTIMIZER, "length", "length of U2", kept(frozen=lambda A: abs(A[-1].norm() - A[0].norm()) < 1e-6)),
    (WHICH_OPTIMIZER, "exactly in the set", "random start for the set", kept(inside=lambda P: not P.any())),
    (WHICH_OPTIMIZER, "anything in the set", None, kept(inside=lambda P: True)),
    (WHICH_OPTIMIZER, "sum of products", None, kept(inside=lambda P: P.sum().abs() < 1e3)),
    (WHICH_OPTIMIZER, "first output only", "V U2^T only", kept(inside=lambda P: P[:, 0].abs().max() < 1e-9)),
    (WHICH_OPTIMIZER, "norm of Lambda", "size of Lambda", kept(size=lambda A: (A.norm(dim=(1, 2)) - A[0].norm()).abs().max())),
    (
        WHICH_OPTIMIZER,
        "trace of Lambda",
        "size of Lambda",
        kept(size=lambda A: (A - A[0]).diagonal(dim1=1, dim2=2).sum(1).abs().max()),
    ),
    (WHICH_OPTIMIZER, "small coarse drift", "bound on one run", kept(conserved=lambda a, b: a < 2)),
    (WHICH_OPTIMIZER, "small fine drift", "bound on one run", kept(conserved=lambda a, b: b < 0.1)),
    (WHICH_OPTIMIZER, "tiny drifts only", "exact conservation", kept(conserved=lambda a, b: a < 1e-8)),
    (WHICH_OPTIMIZER, "any decrease", "bound on the ratio", kept(conserved=lambda a, b: b < 1e-9 or b < a)),
    (WHICH_OPTIMIZER, "exactly a quarter", "bound on the ratio", kept(conserved=lambda a, b: b < 1e-9 or b <= a / 4)),
    (WHICH_OPTIMIZER, "a ratio alone", "rounding compared", kept(conserved=lambda a, b: b < 0.5 * a)),
    (WHICH_OPTIMIZER, "never conserved", "nothing conserves", kept(conserved=lambda a, b: False)),
    (WHICH_OPTIMIZER, "difference of drifts", None, kept(conserved=lambda a, b: abs(a - b) > 0.02)),
]
RIGHT = [
    (SCALAR_FLOW, "the test's own", right_scalar),
    (SCALAR_FLOW, "the library's", lambda u0, v0, y, t: linear_flows.scalar_flow(u0, v0, y, t)),
    (SCALAR_FLOW, "a list", scalar(end=lambda u, v: [u, v])),
    (SCALAR_FLOW, "careful integration", rough(1e-11)),
    (GN_STEP, "the test's own", gn()),
    (GN_STEP, "least squares", by_least_squares),
    (GN_STEP, "a list", gn(steps=lambda F, U1, V: [F @ V, F.T @ U1])),
    (WHICH_OPTIMIZER, "the test's own", kept()),
    (WHICH_OPTIMIZER, "torch's verdicts", lambda *runs: [torch.tensor(v) for v in kept()(*runs)]),
    (WHICH_OPTIMIZER, "looser", kept(frozen=lambda A: (A - A[0]).abs().max() < 1e-5, inside=lambda P: P.abs().max() < 1e-5)),
    (WHICH_OPTIMIZER, "ratio 0.7", kept(conserved=lambda a, b: b < 0.7 * a or a < 1e-6)),
]


@pytest.mark.parametrize(
    ("exercise", "name", "mistake", "answer"), [pytest.param(*row, id=f"{row[0].key}, {row[1]}") for row in WRONG]
)
def test_an_unlisted_slip_is_rejected(exercise, name, mistake, answer):
    result = exercise.examine(answer)
    assert result.status == "wrong" and len(result.diagnosis) > 20
    assert "by nan" not in result.diagnosis
    assert result.mistake == mistake, result


@pytest.mark.parametrize(("exercise", "name", "answer"), [pytest.param(*row, id=f"{row[0].key}, {row[1]}") for row in RIGHT])
def test_an_unlisted_solution_is_accepted(exercise, name, answer):
    result = exercise.examine(answer)
    assert result.status == "passed", result.diagnosis


@pytest.mark.parametrize("label", CASES)
def test_the_reference_path_obeys_the_flow(label):
    """It starts where it should, keeps the imbalance, and agrees with the library's exact solution."""
    u0, v0, y, t = CASES[label]
    u, v = path(u0, v0, y, t)
    assert (u[0].item(), v[0].item()) == pytest.approx((u0, v0), abs=1e-15)
    torch.testing.assert_close(u**2 - v**2, torch.full_like(u, u0**2 - v0**2), rtol=0, atol=1e-10)
    for got, want in zip((u, v), linear_flows.scalar_flow(u0, v0, y, torch.tensor(t, dtype=F64)), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


def test_a_path_that_is_not_finite_is_told_so():
    answer = only_if(lambda u0, v0, y, t: y > 0, lambda u0, v0, y, t: (t / 0, t / 0))
    assert "not finite (case: u0 = 0.7, v0 = 0.2, y = -1.4)" in SCALAR_FLOW.examine(answer).diagnosis


def test_the_librarys_gauss_newton_is_the_exercises():
    for U1, V, target in GN_STEP.cases().values():
        F = gauss_newton_factor(torch.ones(len(U1), dtype=F64), target)(U1 @ V.T, U1 @ U1.T, V @ V.T)
        for got, want in zip((F @ V, F.T @ U1), GN_STEP.reference(U1, V, target), strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-11 * want.abs().max().item())


def test_the_boxes_descend():
    """The gradients are those of |Y - X U V^T|^2 / 2, and every box lowers it."""
    X, Y = data()
    U, V = (A.clone().requires_grad_() for A in start(inside=False))
    ((Y - X @ U @ V.T).square().sum() / 2).backward()
    for got, A in zip(gradients(U.detach(), V.detach()), (U, V), strict=True):
        torch.testing.assert_close(got, -A.grad)
    for box in BOXES:
        for U, V in (recorded(box).coarse, recorded(box).fine, recorded(box).inside):
            loss = (Y - X @ U @ V.mT).square().sum((1, 2))
            assert len(loss) == 9 and loss[-1] < 0.6 * loss[0], box.name


@pytest.mark.parametrize("box", BOXES, ids=lambda box: box.name)
def test_what_a_box_keeps_is_far_from_what_it_loses(box):
    """Frozen and kept: 1e-12 or 1e-3. Conserved: the drift falls below 0.3 of what it was, or stays above 0.8."""
    runs, rows = recorded(box), row_space(data()[0])
    U1, U2 = rows.split(runs.inside[0])
    moved = change(rows.split(runs.coarse[0])[1])
    left = (torch.cat([runs.inside[1], U1], 1) @ U2.mT).abs().max().item()
    assert U2[0].norm() > 1
    coarse, fine = (change(imbalance(data()[0], *run)) for run in (runs.coarse, runs.fine))
    frozen, kept_, conserved = box.keeps
    assert moved < 1e-12 if frozen else moved > 1e-3
    assert left < 1e-11 if kept_ else left > 1e-3
    assert (fine < 1e-12 or fine < 0.3 * coarse) if conserved else fine > 0.8 * coarse
