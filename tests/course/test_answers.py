# ruff: noqa: E501 - a table, one answer a line
"""Answers as learners write them, which no exercise lists: wrong ones are told what is wrong with them, and right ones pass."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regimes.optimizers import GaussNewton, GradientDescent
from regimes.training import train
from regimes_course.exercises import EXERCISES, Function, check
from regimes_course.lesson04.checks.verdicts import change
from regimes_course.lesson07.experiments import block_step, half
from regimes_course.lesson09.experiments import walk


def alternative(key, i=0):
    return EXERCISES[key].alternatives[i]


def enlarged(net, x, y):
    with torch.no_grad():
        net.W.mul_(5)
    return train(net, x, y, GaussNewton(net, 0.05), 200)


def full_step_first(net, x, y):
    train(net, x, y, GaussNewton(net, 1.0), 1)
    return train(net, x, y, GaussNewton(net, 0.05), 200)


def below(tolerance, step, lambda_min, damping):
    return tuple(
        math.floor(math.log(tolerance) / math.log((1 - step * rate) ** 2)) + 1
        for rate in (1.0, lambda_min / (lambda_min + damping))
    )


def height(gamma, p, label_noise, eta=None, beyond=None):
    a = (gamma / p if eta is None else eta) / (math.pi * math.sqrt(3))
    if a >= 1:
        if beyond is not None:
            raise beyond
        return None
    return label_noise / 2 * a / (1 - a)


def guarded(gamma, p, label_noise):
    return height(gamma, p, label_noise, eta=gamma, beyond=ValueError("no plateau"))


def phase(kappa, delta, labels=("perfect learning", "plateau", "bad learning", "no ODE")):
    s = round(kappa + delta, 9)
    return labels[0] if s > 0 else labels[1] if s == 0 else labels[2] if s > -0.5 else labels[3]


class NoODE(ValueError):
    pass


def time_of(steps, d, kappa, delta, missing=NoODE, instead=None):
    s = kappa + delta
    if s <= -0.5 + 1e-12:
        if missing is None:
            return instead
        raise missing
    return steps / d ** (1 + 2 * s if s < 0 else 1 + s)


def asserted(steps, d, kappa, delta):
    assert kappa + delta > -0.5 + 1e-12
    return time_of(steps, d, kappa, delta)


def first_rows(X, U, V):
    """An orthonormal basis of the row space from the first r rows, which may be repeated."""
    r = int(torch.linalg.matrix_rank(X))
    Q = torch.linalg.qr(X.T).Q[:, :r]
    return torch.linalg.norm((U - Q @ (Q.T @ U)) @ V.T)


def regular(X, U, V):
    return torch.linalg.norm((U - X.T @ torch.linalg.inv(X @ X.T) @ X @ U) @ V.T)


def diagonal_of_lambda(X, coarse, fine, inside):
    frozen, kept, _ = alternative("04/what_is_kept")(X, coarse, fine, inside)
    P = torch.linalg.pinv(X, rtol=1e-10) @ X

    def drift(U, V):
        return change((U.mT @ P @ U - V.mT @ V).diagonal(dim1=-2, dim2=-1)[:, None])

    return frozen, kept, drift(*fine) < 1e-9 or drift(*fine) < drift(*coarse) / 2


def unclamped(X, Z, clean=lambda theta: theta, most=math.inf):
    size = torch.outer(X.norm(dim=1), Z.norm(dim=1))
    cos = X @ Z.T / size
    theta = clean(torch.arccos(cos.clamp(max=most)))
    return (size * (torch.sin(theta) + (math.pi - theta) * cos) + X @ Z.T * (math.pi - theta)) / (2 * math.pi)


def clamped(X, Z, most):
    size = torch.outer(X.norm(dim=1), Z.norm(dim=1))
    cos = (X @ Z.T / size).clamp(-most, most)
    theta = torch.arccos(cos)
    return (size * (torch.sin(theta) + (math.pi - theta) * cos) + X @ Z.T * (math.pi - theta)) / (2 * math.pi)


def by_rates(K, K_new, r0, f_new, t):
    lam = torch.linalg.eigvalsh(K)
    return f_new - K_new @ ((1 - torch.exp(-lam * t / len(r0))) / lam * r0)


def labelled(gap, gain):
    return ("hidden learning" if gap else "visible learning") if gain else ("gap only" if gap else "lazy")


def sharing(net, k, eta):
    new = copy.deepcopy(net)
    new.W = net.W
    new.v = torch.nn.Parameter(net.v.detach() / (1 - (1 - eta) ** k))
    return new


def in_single(net, k, eta):
    return alternative("05/rescale")(net, k, eta).float()


def scaled(net, start, x, y, alpha):
    return ((alpha * (net(x) - start(x).detach()) - y) ** 2).mean() / (2 * alpha**2)


def backward(net, start, x, y, alpha):
    loss = scaled(net, start, x, y, alpha)
    loss.backward()
    return loss


def on_y(net, start, x, y, alpha):
    loss = scaled(net, start, x, y, alpha)
    y += 1
    return loss


def switch(L, eta, first):
    up = torch.nonzero(L[1:] > L[:-1] * (1 + 1e-10))[:, 0]
    below = torch.nonzero(first(L, 1 / eta))[:, 0]
    return up[-1].item() + 1 if len(up) else 0, below[0].item() if len(below) else -1


def from_there_on(L, level):
    """Whether the risk stays at or below the level."""
    return (L > level).flip(0).cumsum(0).flip(0) == 0


def by_halves(rises, ends=(8.0, 40.0)):
    def answer(gamma):
        low, high = ends
        while high - low > 0.01:
            eta = (low + high) / 2
            low, high = (low, eta) if rises(walk(gamma, eta, 400)) else (eta, high)
        return low

    return answer


def central(outputs, w, step):
    h = 1e-6 / step.norm()
    return (outputs(w + h * step) - outputs(w - h * step)) / (2 * h)


def fixed(h):
    """Central differences along h times the step, whatever its length."""
    return lambda outputs, w, step: (outputs(w + h * step) - outputs(w - h * step)) / (2 * h)


def verified(good=lambda moved, r: (moved - r).norm() <= 1e-3 * r.norm(), moved=central):
    return lambda outputs, w, r, steps: [bool(good(moved(outputs, w, step), r)) for step in steps]


def within(share):
    return verified(lambda moved, r: (moved - r).norm() <= share * r.norm())


def of_one(index):
    """A sample, or an output."""
    return verified(lambda moved, r: (moved - r)[index].norm() <= 1e-3 * r[index].norm())


def undone(z, V, W, old=False, exchanged=False):
    x1, x2 = z.chunk(2, 1)
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        before = x2
        x2 = x2 - torch.tanh(x1 @ v[0 if exchanged else 1]) @ w[1]
        x1 = x1 - torch.tanh((before if old else x2) @ v[1 if exchanged else 0]) @ w[0]
    return torch.cat([x1, x2], 1)


def moved_by(x, E, V, W, cross=lambda G, e1, e2: e2 - G.jvp(e1), extra=0.0):
    (x1, x2), (e1, e2) = x.chunk(2, 1), E.chunk(2, 1)
    lower = half(x2, V[0], W[0])
    G = half(x1 + lower.output, V[1], W[1])
    first, second = torch.linalg.pinv(lower.A), torch.linalg.pinv(G.A)
    unseen = extra * (1 - first @ lower.A.sum(1, keepdim=True))
    return torch.stack([first @ e1 + unseen, second @ cross(G, e1, e2)])


def in_chain(z, E, V, W, undo=True, sign=1.0):
    x, delta = z, []
    for v, w in zip(V.flip(0), W.flip(0), strict=True):
        (x1, x2), (e1, e2) = x.chunk(2, 1), E.chunk(2, 1)
        G = half(x1, v[1], w[1])
        lower = half(x2 - G.output, v[0], w[0])
        below = torch.cat([x1 - lower.output, x2 - G.output], 1)
        delta.append(block_step(below if undo else x, E, v, w))
        e2 = e2 - sign * G.jvp(e1)
        x, E = below, torch.cat([e1 - sign * lower.jvp(e2), e2], 1)
    return torch.stack(delta[::-1]) / len(W)


def through_kernel(A, S, r, solve=torch.linalg.solve, back=lambda v, r: v.reshape(r.shape)):
    K = sum(torch.einsum("ik,jk,ich,jdh->icjd", a, a, s, s) for a, s in zip(A, S, strict=True))
    v = back(solve(K.reshape(r.numel(), -1), r.flatten()), r)
    return [a.T @ torch.einsum("ic,ich->ih", v, s) for a, s in zip(A, S, strict=True)]


def power(hvp, dim, size, start=lambda dim: torch.sin(torch.arange(1.0, dim + 1).double()), steps=200):
    v = start(dim)
    for _ in range(steps):
        v = hvp(v) + size * v
        v = v / v.norm()
    return (v @ hvp(v)).item()


def axis(k):
    return lambda dim: torch.eye(dim, dtype=torch.float64)[k]


def closed(p, q, eta, sign=1.0, times=1.0):
    g = p**3 - p
    return p - eta * g * q + eta**2 * g**2 * p, q - sign * 4 * eta * g * p + times * eta**2 * g**2 * q


def perceptron(Z, most=math.inf, push=lambda q: torch.heaviside(-q, torch.tensor(0.5).double())):
    w, steps = torch.zeros(Z.shape[1]).double(), 0
    while steps < most and (Z @ w <= 0).any():
        w, steps = w + push(Z @ w) @ Z / len(Z), steps + 1
    return steps


def online(Z, rounds=False):
    w, steps, done = torch.zeros(Z.shape[1]).double(), 0, 0
    while (Z @ w <= 0).any():
        done += 1
        for z in Z:
            if z @ w <= 0:
                w, steps = w + z, steps + 1
    return done if rounds else steps


def rises_by(share):
    return lambda L, eta: (_last(L[1:] > L[:-1] * (1 + share)), switch(L, eta, torch.le)[1])


def _last(up):
    return up.nonzero()[-1].item() + 1 if up.any() else 0


def inner_stub(*args):
    raise NotImplementedError


def logarithm(q):
    return F.logsigmoid(q.long()), -torch.sigmoid(-q)


def shrunk(net, x, y):
    trace = train(net, x, y, GaussNewton(net, 0.05), 200)
    with torch.no_grad():
        net.v.mul_(0.5)
    return trace


def damped(J, r, damping):
    return J.T @ torch.linalg.solve(J @ J.T + damping * torch.eye(len(r)).to(J), r)


def outputs_by(number):
    """A test of duplication that compares what ``number`` makes of the outputs."""

    def answer(step, net, x, y, x_new):
        twin = net.units(torch.cat([torch.arange(net.width), torch.arange(net.width).flip(0)]))
        for cloud in (net, twin) * 8:
            step(cloud, x, y)
        return torch.allclose(number(net(x_new)), number(twin(x_new)))

    return answer


def flow_for_loss(t, K, r0, damping):
    """The loss of the gradient flow between the right ends of the envelope."""
    lam, Q = torch.linalg.eigh(K)
    loss = torch.exp(-2 * t[:, None] * lam.clamp(min=0) / len(K)) @ (Q.T @ r0) ** 2 / (r0 @ r0)
    return torch.stack([loss, *alternative("02/damped_envelope")(t, K, r0, damping)[1:]])


def waiting(time, fall):
    """Give a network time at the step that it came with, and see whether it falls."""

    def answer(advance, eta):
        before = advance(eta, 1)
        return "slow" if advance(eta, time / eta) < fall * before else "noise"

    return answer


def first_record(flow, k, seeds):
    return [(flow(k, p, seeds, 12000).loss[0] < 1e-6).double().mean() for p in (k, k + 1)]


def phase_of(s, near):
    return "plateau" if abs(s) <= near else "perfect learning" if s > 0 else "bad learning" if s > -0.5 + near else "no ODE"


def ranked(X, U, V, near):
    """Distance with a rank that counts singular values above a number."""
    return (torch.linalg.svd(X).Vh[int((torch.linalg.svdvals(X) > near).sum()) :] @ U @ V.T).norm()


def kept(*runs):
    return alternative("04/what_is_kept")(*runs)


def judged(part):
    """Right verdicts, but for a Lambda of which only a part is looked at."""

    def answer(X, coarse, fine, inside):
        P = torch.linalg.pinv(X, rtol=1e-10) @ X
        far, near = (change(part(U.mT @ P @ U - V.mT @ V)) for U, V in (coarse, fine))
        return *kept(X, coarse, fine, inside)[:2], near < 1e-9 or near < far / 2

    return answer


def copied(X, m, q, seed):
    """Half of the units are copies of one, and work for the data."""
    U, V = alternative("04/invariant_init")(X, m, q, seed)
    at_work = V.norm(dim=0) > 0
    U[:, at_work], V[:, at_work] = U[:, at_work][:, :1], V[:, at_work][:, :1]
    return U, V


def thin(X, U, V):
    r, q, U1 = int(torch.linalg.matrix_rank(X)), len(V), torch.linalg.svd(X, full_matrices=False).Vh @ U
    lam = torch.linalg.eigvalsh(U1.T @ U1 - V.T @ V).flip(0)
    plus, minus = (torch.cat([a.clamp(min=0), a.new_zeros(9)]) for a in (lam, -lam.flip(0)))
    return plus[r - 1] + minus[q - 1], plus[0] - plus[r - 1], minus[0] - minus[q - 1]


def of_the_mean(Phi, y, cutoff):
    lam, Q = torch.linalg.eigh(Phi @ Phi.T / Phi.shape[1])
    keep = lam > cutoff * lam.mean()
    return Phi.T @ (Q[:, keep] @ (Q[:, keep].T @ y / lam[keep]))


def divided(net, number):
    new = copy.deepcopy(net)
    with torch.no_grad():
        new.v.div_(number)
    return new


# The exercise, what the answer does, the answer, the mistake by name (None: no name), and a part of the diagnosis.
WRONG = [
    ("01/find_the_bug", "larger hidden weights", enlarged, "hidden weights changed", "hidden weights were changed before"),
    ("01/find_the_bug", "a full step first", full_step_first, "another start", "a full one before it included"),
    ("01/find_the_bug", "a list", lambda net, x, y: [1], None, "Your function must return the Trace"),
    ("01/steps_to", "below for at most", below, "below for at most", "at most the tolerance"),
    ("01/steps_to", "one too many", lambda *a: tuple(k + 1 for k in alternative("01/steps_to")(*a)), None, "off by 1"),
    ("01/find_the_bug", "gradient descent, lr 1", lambda net, x, y: train(net, x, y, GradientDescent(net, 1.0), 20), "small eigenvalues left", "gradient descent"),
    ("01/find_the_bug", "gradient descent, lr 5", lambda net, x, y: train(net, x, y, GradientDescent(net, 5.0), 200), None, None),
    ("01/find_the_bug", "absolute labels", lambda net, x, y: train(net, x, y.abs(), GaussNewton(net, 0.05), 200), "other labels", "other labels"),
    ("01/find_the_bug", "shrunk afterwards", shrunk, "other labels", "changed after the training"),
    ("01/find_the_bug", "no step", lambda net, x, y: train(net, x, y, GaussNewton(net, 0.05), 0), "no step", "before the first step"),
    ("01/gn_direction", "minus the damping", lambda J, r, d: damped(J, r, -d), "another damping", "its negative"),
    ("01/gn_direction", "at least 1e-3", lambda J, r, d: damped(J, r, max(d, 1e-3)), None, "right to 3 digits"),
    ("01/gn_direction", "a stub within", lambda J, r, d: inner_stub(J), None, "Your function raised NotImplementedError"),
    ("02/duplication_test", "the sum", outputs_by(lambda f: f.sum()), "one number compared", "one by one"),
    ("02/duplication_test", "the last output", outputs_by(lambda f: f[-1]), "one number compared", "one by one"),
    ("02/duplication_test", "the mean square", outputs_by(lambda f: f.square().mean()), "signs not compared", "opposite signs"),
    ("02/duplication_test", "the spread", outputs_by(torch.std), "signs not compared", "opposite signs"),
    ("02/damped_envelope", "the gradient flow's loss", lambda *a: flow_for_loss(*a), "gradient flow", "in proportion to lambda"),
    ("03/plateau", "nothing from eta = 5 on", lambda g, p, n: height(g, p, n) if g / p < 5 else math.inf, "no plateau too early", "there is one"),
    ("03/plateau", "three powers", lambda g, p, n: n / 2 * sum((g / p / math.pi / 3**0.5) ** k for k in (1, 2, 3)), "small steps only", "powers of a"),
    ("03/plateau", "held at 0.9", lambda g, p, n: height(g, p, n, eta=min(g / p, 4.9)), "small steps only", "larger steps"),
    ("03/rests", "waits", waiting(25, 0.99), "no cut", "never take a smaller step"),
    ("03/rests", "waits for 100", waiting(98, 0.95), "no cut", "never take a smaller step"),
    ("03/rests", "waits for 3000", waiting(3000, 0.5), "too long", "more than 100"),
    ("03/rests", "height after a cut", lambda advance, eta: "noise" if advance(eta / 10, 250 / eta) < 2e-3 else "slow", None, "6 of the 7"),
    ("03/rests", "steps for time", lambda advance, eta: "noise" if advance(eta, 1) > 2.5 * advance(eta / 10, 25) else "slow", None, "of the 7"),
    ("03/success_rates", "the first record", first_record, "none counted", "the last record"),
    ("03/classify", "a tolerance of 3e-16", lambda k, d: phase_of(k + d, 3e-16), "equality of decimal fractions", "below 1e-12"),
    ("03/classify", "14 digits", lambda k, d: phase_of(round(k + d, 14), 0.0), "equality of decimal fractions", "below 1e-12"),
    ("03/step_to_time", "eta / d, never refused", lambda n, d, k, x: n * d ** -(k + x) / d, "the plateau's time in bad learning", "In bad learning"),
    ("02/duplication_test", "trained on new inputs", None, "other data", "other data than x and y"),
    ("03/plateau", "None beyond the pole", height, "beyond the pole", "return math.inf or raise"),
    ("03/plateau", "gamma for eta, guarded", guarded, "gamma for eta", "A committee is a mean of p units"),
    ("03/classify", "another spelling", lambda k, d: phase(k, d).replace(" ", "_"), None, "'perfect_learning', which is right but"),
    ("03/classify", "capitals", lambda k, d: phase(k, d).capitalize(), None, "which is right but spelt otherwise"),
    ("03/step_to_time", "NaN", lambda *a: time_of(*a, missing=None, instead=math.nan), None, "xpected a ValueError; your function returned nan"),
    ("03/step_to_time", "the error returned", lambda *a: time_of(*a, missing=None, instead=ValueError()), None, "xpected a ValueError"),
    ("03/step_to_time", "an assertion", asserted, None, "xpected a ValueError; your function raised AssertionError"),
    ("04/distance_from_last_layer", "the first rows", first_rows, None, "is not right"),
    ("04/distance_from_last_layer", "an inverse", regular, None, "case: "),
    ("04/distance_from_last_layer", "two numbers", lambda X, U, V: [1.0, 2.0], None, "Your function returned a tuple; expected a number"),
    ("04/what_is_kept", "the diagonal of Lambda", diagonal_of_lambda, "diagonal of Lambda", "off the diagonal"),
    ("04/distance_from_last_layer", "pinv to 0.2", lambda X, U, V: (U @ V.T - torch.linalg.pinv(X, rtol=0.2) @ X @ U @ V.T).norm(), "another rank", "above rounding"),
    ("04/distance_from_last_layer", "rank above 1e-2", lambda X, U, V: ranked(X, U, V, 1e-2), "another rank", "absolute"),
    ("04/distance_from_last_layer", "rank above 1e-8", lambda X, U, V: ranked(X, U, V, 1e-8), "another rank", "absolute"),
    ("04/what_is_kept", "off the diagonal", judged(lambda A: A - torch.diag_embed(A.diagonal(dim1=-2, dim2=-1))), "Lambda without its diagonal", "all its entries"),
    ("04/what_is_kept", "one column", judged(lambda A: A[..., :1]), "Lambda without its diagonal", "all its entries"),
    ("04/what_is_kept", "the ends", lambda X, *runs: kept(X, *[[A[[0, -1]] for A in run] for run in runs]), "the ends alone", "every record"),
    ("04/what_is_kept", "the end of inside", lambda X, c, f, i: kept(X, c, f, [A[-1:] for A in i]), "the ends alone", "every record"),
    ("04/what_is_kept", "frozen inside", lambda X, c, f, i: (kept(X, i, f, i)[0], *kept(X, c, f, i)[1:]), "U2 from inside the set", "`coarse`"),
    ("04/what_is_kept", "100 % allowed", lambda X, c, f, i: (True, *kept(X, c, f, i)[1:]), "U2 empty", "as large as U2 itself"),
    ("04/invariant_init", "copies", copied, "too few units at work", "too much alike"),
    ("04/imbalance_level", "a thin basis", thin, "samples for rank", "thin decomposition"),
    ("04/scalar_flow", "held from 50 on", lambda u, v, y, t: alternative("04/scalar_flow")(u, v, y, t.clamp(max=50)), None, "at t = 100"),
    ("04/scalar_flow", "a slow clock", lambda u, v, y, t: alternative("04/scalar_flow")(u, v, y, 0.999 * t), "finite steps", "rounded"),
    ("04/scalar_flow", "divides by zero", lambda u, v, y, t: (t / (u + v), 1 / (u + v)), None, None),
    ("05/diagnose", "at least", lambda t, r, f: labelled(t >= 10 * r, f >= 3 * r), "at least for above", "exactly 10"),
    ("05/diagnose", "whole", lambda t, r, f: labelled(t // r > 10, f // r > 3), "whole ratios", "10.4"),
    ("05/diagnose", "rounded", lambda t, r, f: labelled(round(t / r) > 10, round(f / r) > 3), "whole ratios", "10.4"),
    ("05/diagnose", "test / rf for the gain", lambda t, r, f: labelled(t > 10 * r, t > 3 * f), "random features against the outputs", "RF / refit"),
    ("05/diagnose", "at least, for the gain", lambda t, r, f: labelled(t > 10 * r, f >= 3 * r), "at least for above", "exactly 10"),
    ("05/diagnose", "int", lambda t, r, f: labelled(int(t / r) > 10, int(f / r) > 3), "whole ratios", "10.4"),
    ("05/diagnose", "lazy for gap only", lambda t, r, f: labelled(t > 10 * r and f > 3 * r, f > 3 * r), "cases thrown together", "four labels"),
    ("05/diagnose", "labels turned round", lambda t, r, f: labelled(t <= 10 * r, f > 3 * r), "other labels", "look them up"),
    ("05/learned_at", "from one", lambda R, k: alternative("05/learned_at")(R, k) + 1, "one step off", "counted from 0"),
    ("05/learned_at", "nothing too high", lambda R, k: (R > k * R[-1]).nonzero().max().item() + 1, "never too high", "done from the start"),
    ("05/learned_at", "bad ones", lambda R, k: sum(loss > k * R[-1] for loss in R).item(), "steps counted", "dip on the way"),
    ("05/refit_last_layer", "of the mean", lambda P, y, c: of_the_mean(P, y, c), "share of the sum", "of the largest"),
    ("05/refit_last_layer", "the smallest for the largest", lambda P, y, c: torch.linalg.pinv(P / P.shape[1], rtol=1e-9) @ y, "cut-off ignored", "compared"),
    ("05/rescale", "at most 50 steps", lambda net, k, eta: alternative("05/rescale")(net, min(k, 50), eta), None, "For k = 200"),
    ("05/rescale", "the flow's rest", lambda net, k, eta: divided(net, math.exp(-eta * k)), "what is missing", "still missing"),
    ("05/rescale", "minus", lambda net, k, eta: divided(net, (1 - eta) ** k - 1), "wrong sign", "negative"),
    ("05/refit_last_layer", "its own cut-off", lambda P, y, c: torch.linalg.pinv(P / P.shape[1], rtol=1e-3) @ y, "cut-off ignored", "the same directions"),
    ("05/rescale", "shared weights", sharing, None, "shares weights"),
    ("05/rescale", "single precision", in_single, None, "Your network is torch.float32"),
    ("05/break_it", "a tuple", lambda: (1, 2, 3), None, "Your function must return {"),
    ("06/relu_limit", "clamped above", lambda X, Z: unclamped(X, Z, most=1.0), "not clamped", "smaller than minus one"),
    ("06/relu_limit", "zero for NaN", lambda X, Z: unclamped(X, Z, torch.nan_to_num), "zero for NaN", "clamp the cosine"),
    ("06/relu_limit", "not clamped", unclamped, "not clamped", "larger than one"),
    ("06/scaled_loss", "goes backward", backward, None, "calls backward() itself"),
    ("06/scaled_loss", "changes y", on_y, "changes a network", "x or y"),
    ("06/relu_limit", "clamped to less", lambda X, Z: clamped(X, Z, 1 - 1e-7), "clamped too far", "[-1, 1] itself"),
    ("06/predict", "rates without their modes", by_rates, "one sample alone is right", "entry by entry"),
    ("06/scaled_loss", "the departure the wrong way", lambda n, s, x, y, a: ((a * (s(x).detach() - n(x)) - y) ** 2).mean() / (2 * a**2), "one sign for both", "have one sign"),
    ("07/invert", "the old half", lambda *a: undone(*a, old=True), "old half", "as it was before"),
    ("07/invert", "V of the other", lambda *a: undone(*a, exchanged=True), "V of the other half layer", "the same index"),
    ("07/invert", "in the order of the blocks but the last", lambda z, V, W: undone(z, V[torch.arange(len(V)).roll(-1)], W[torch.arange(len(W)).roll(-1)]), "one block alone is right", "One block is undone"),
    ("07/verified", "allclose", verified(torch.allclose), "as allclose does", "five digits"),
    ("07/verified", "allclose to a thousandth", verified(lambda m, r: torch.allclose(m, r, rtol=1e-3)), "piece by piece", "of the whole miss"),
    ("07/verified", "the first sample", of_one(0), "one part alone", "one sample or at one output"),
    ("07/verified", "the last output", of_one((slice(None), -1)), "one part alone", "one sample or at one output"),
    ("07/verified", "the largest entry", verified(lambda m, r: (m - r).abs().max() <= 1e-3 * r.abs().max()), "the largest entry", "roots of sums"),
    ("07/verified", "the mean of entries", verified(lambda m, r: (m - r).abs().mean() <= 1e-3 * r.abs().mean()), None, "sample alone"),
    ("07/verified", "2e-3", within(2e-3), "too much passes", "True too many"),
    ("07/verified", "5e-4", within(5e-4), "right ones refused", "False too many"),
    ("07/verified", "h = 1e-3", verified(moved=fixed(1e-3)), "wrong for very short or long steps", "by the length of the step"),
    ("07/verified", "h = 1e-8", verified(moved=fixed(1e-8)), "wrong for very short or long steps", "by the length of the step"),
    ("07/one_block", "the other movement", lambda *a: moved_by(*a, lambda G, e1, e2: e2 - G.jvp(e2)), "the step of G is wrong", "The step of F is right"),
    ("07/one_block", "longer", lambda *a: moved_by(*a, extra=1.0), "not the shortest", "J delta is E"),
    ("07/exact_step", "the output for the input", lambda *a: in_chain(*a, undo=False), "the output for the input", "undo the block first"),
    ("07/exact_step", "pushed", lambda *a: in_chain(*a, sign=-1.0), "the last block alone is right", "are not"),
    ("07/min_norm", "v in another order", lambda *a: through_kernel(*a, back=lambda v, r: v.reshape(r.T.shape).T), "K v is not r", "J^T v for some v"),
    ("07/min_norm", "K times r", lambda *a: through_kernel(*a, solve=torch.matmul), "K v is not r", "J^T v for some v"),
    ("07/changes", "the row after", lambda L: (alternative("07/changes")(L)[0], (L.diagonal()[1:] / L.diagonal()[: len(L) - 1] - 1).mean().item()), "own alone is right", "The first number is right"),
    ("07/cka", "lengths", lambda X, Y: (lambda X, Y: ((X.T @ Y).norm() / (X.norm() * Y.norm())).item() ** 2)(X - X.mean(0), Y - Y.mean(0)), "lengths of the features", "a CKA of one"),
    ("07/changes", "rounded", lambda L: tuple(round(c, 3) for c in alternative("07/changes")(L)), None, "7 are asked"),
    ("07/cka", "single precision", lambda X, Y: round(alternative("07/cka")(X, Y), 4), None, "digits, 7 are asked"),
    ("08/logistic_loss_and_weight", "softplus", lambda q: (F.softplus(-q), -torch.sigmoid(-q)), "threshold of softplus", "threshold of 20"),
    ("08/logistic_loss_and_weight", "whole numbers", logarithm, None, "Your function raised NotImplementedError: "),
    ("08/shifted_power", "from the first axis", lambda *a: power(*a, axis(0)), "a start that misses it", "uneven"),
    ("08/shifted_power", "from the last axis", lambda *a: power(*a, axis(-1)), "a start that misses it", "uneven"),
    ("08/shifted_power", "from ones", lambda *a: power(*a, lambda dim: torch.ones(dim).double()), "a start that misses it", "uneven"),
    ("08/shifted_power", "never negative", lambda *a: max(0, power(*a)), "never below zero", "comes out as zero"),
    ("08/shifted_power", "a little too large", lambda *a: 1.00001 * power(*a), "stopped early", "If you iterate"),
    ("08/shifted_power", "rounded", lambda *a: round(power(*a), 3), "stopped early", "not right to six digits"),
    ("08/sharpness", "a little too large", lambda *a: 1.0001 * alternative("08/sharpness", 1)(*a), "stopped early", "If you iterate"),
    ("08/closed_step", "the other sign in q'", lambda *a: closed(*a, sign=-1.0), "p' alone is right", "The first number is right"),
    ("08/closed_step", "twice the square in q'", lambda *a: closed(*a, times=2.0), "p' alone is right", "The first number is right"),
    ("08/sharpness", "a length", lambda hvp, n: hvp(torch.ones(n).double()).norm().item(), "one product", "the length of Hv"),
    ("08/sharpness", "nothing", lambda hvp, n: None, "no number", "one number"),
    ("08/largest_sgd_step", "nothing", lambda net, x, y: None, None, "Your function must return a number"),
    ("09/near_homogeneity_gap", "abs after max", lambda phi, dphi, z: (phi(z) - z * dphi(z)).max().abs(), "absolute value of the largest", "abs() first"),
    ("09/near_homogeneity_gap", "no end of the grid", lambda phi, dphi, z: (phi(z) - z * dphi(z))[1:-1].abs().max(), "another grid", "too small"),
    ("09/perceptron_steps", "at most 1000", lambda Z: perceptron(Z, 1000), "stopped too early", "more than 1000"),
    ("09/perceptron_steps", "at most 200", lambda Z: perceptron(Z, 200), "stopped too early", "a largest number"),
    ("09/perceptron_steps", "online", online, "online", "one by one"),
    ("09/perceptron_steps", "online, in rounds", lambda Z: online(Z, rounds=True), "online", "one by one"),
    ("09/perceptron_steps", "a hinge", lambda Z: perceptron(Z, 2000, lambda q: (q < 1).double()), None, "five points"),
    ("09/phase_switch", "rises above 1e-11", rises_by(1e-11), "a rise too many", "less than a relative 1e-10"),
    ("09/phase_switch", "rises above 1e-9", rises_by(1e-9), "a rise too few", "a relative 1e-10"),
    ("09/phase_switch", "rises above 1e-4", rises_by(1e-4), "a rise too few", "a relative 1e-10"),
    ("09/phase_switch", "rises relative to the start", lambda L, eta: (_last(L.diff() > 1e-10 * L[0]), switch(L, eta, torch.le)[1]), "a rise too few", "against the one before"),
    ("09/largest_monotone_eta", "40", lambda gamma: 40.0, "no rise found", "If you halve it"),
    ("09/largest_monotone_eta", "8", lambda gamma: 8.0, "a rise everywhere", "If you halve it"),
    ("09/stable_threshold", "c = 1", lambda e, l, b: 1 / (e * (l**2 + b)), "another constant", "The form is right"),
    ("09/stable_threshold", "lip times beta", lambda e, l, b: 0.852605502 / (e * l**2 * (1 + b)), "right without an activation", "where do lip and beta"),
    ("09/phase_switch", "below", lambda L, eta: switch(L, eta, torch.lt), "below for at most", "exactly"),
    ("09/phase_switch", "for good", lambda L, eta: switch(L, eta, from_there_on), "last crossing", "the first such step"),
    ("09/classify", "a list", lambda: ["c"] * 7, None, "Your function must return a dictionary"),
    ("09/classify", "a key missing", lambda: {"ReLU": "bc"}, None, "missing"),
    ("09/largest_monotone_eta", "end against start", by_halves(lambda L: L[-1] > L[0]), "no rise found", "upper end"),
    ("09/largest_monotone_eta", "the last step", by_halves(lambda L: L[-1] > L[-2]), None, None),
    ("09/largest_monotone_eta", "upside down", by_halves(lambda L: not (L[1:] > L[:-1]).any()), "no rise found", "upper"),
    ("09/largest_monotone_eta", "falls", by_halves(lambda L: L[-1] < L[0]), "a rise everywhere", "lower end"),
    ("09/largest_monotone_eta", "a tuple", lambda gamma: (1, 2), None, "Your function must return a finite number"),
    ("09/best_eta", "a text", lambda *wanted: "large", None, "Your function must return a number"),
    ("09/stable_threshold", "three digits", lambda e, l, b: 0.853 / (e * (l**2 + b)), None, "right to 3 digits, 5 are asked"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "does", "answer", "mistake", "says"), WRONG, ids=[f"{w[0]}-{w[1]}" for w in WRONG])
def test_a_wrong_answer_is_told_why(key, does, answer, mistake, says):
    if answer is None:
        answer = next(m.example for m in EXERCISES[key].mistakes if m.name == mistake)
    result = check(key, answer)
    assert result.status == "wrong", result
    if says is not None:
        assert (result.mistake, says in result.diagnosis) == (mistake, True), result
    if mistake is None:
        assert result.mistake is None or says is None, result


RIGHT = [
    ("01/find_the_bug", "a barely damped run", lambda net, x, y: train(net, x, y, GaussNewton(net, 0.05, damping=1e-6), 250)),
    ("02/duplication_test", "the largest difference", outputs_by(lambda f: f)),
    ("03/classify", "ten digits", lambda k, d: phase_of(round(k + d, 10), 0.0)),
    ("03/plateau", "divided first", lambda g, p, n: n / 2 / (math.pi * 3**0.5 * p / g - 1) if g / p < math.pi * 3**0.5 else 1 / 0),
    ("03/rests", "a cut by five", lambda advance, eta: "noise" if advance(eta, 1) > 2 * advance(eta / 5, 150 / eta) else "slow"),
    ("03/rests", "a cut by fifty", lambda advance, eta: "noise" if advance(eta, 2) > 5 * advance(eta / 50, 2000 / eta) else "slow"),
    ("04/distance_from_last_layer", "pinv to 1e-10", lambda X, U, V: (U @ V.T - torch.linalg.pinv(X, rtol=1e-10) @ X @ U @ V.T).norm()),
    ("04/distance_from_last_layer", "the rank", lambda X, U, V: (torch.linalg.svd(X).Vh[int(torch.linalg.matrix_rank(X)) :] @ U @ V.T).norm()),
    ("04/what_is_kept", "the upper half of Lambda", judged(torch.triu)),
    ("05/rescale", "by logarithms", lambda net, k, eta: divided(net, -math.expm1(k * math.log1p(-eta)))),
    ("03/classify", "a text of NumPy", lambda k, d: np.array([phase(k, d)])[0]),
    ("03/step_to_time", "a subclass of ValueError", time_of),
    ("05/diagnose", "a text of NumPy", lambda t, r, f: np.str_(labelled(t / r > 10, f / r > 3))),
    ("04/distance_from_last_layer", "one row", lambda X, U, V: alternative("04/distance_from_last_layer")(X, U, V)[None]),
    ("05/break_it", "tensors", lambda: {name: torch.tensor(v) for name, v in alternative("05/break_it")().items()}),
    ("07/verified", "a jvp", verified(moved=lambda f, w, step: torch.func.jvp(f, (w,), (step,))[1])),
    ("07/verified", "one-sided", verified(moved=lambda f, w, step: (f(w + 1e-5 * step / step.norm()) - f(w)) / 1e-5 * step.norm())),
    ("07/one_block", "pulled back", moved_by),
    ("07/exact_step", "block by block", in_chain),
    ("07/min_norm", "through the kernel", through_kernel),
    ("07/invert", "in turn", undone),
    ("08/shifted_power", "from uneven numbers", power),
    ("08/closed_step", "multiplied out", closed),
    ("09/perceptron_steps", "by tensors", perceptron),
    ("09/phase_switch", "differences", lambda L, eta: (_last(L.diff() > 1e-10 * L[:-1]), switch(L, eta, torch.le)[1])),
    ("07/cka", "a NumPy float", lambda X, Y: np.float64(alternative("07/cka")(X, Y))),
    ("09/stable_threshold", "an array", lambda *a: np.array([alternative("09/stable_threshold")(*a)])),
    ("09/best_eta", "a tensor", lambda *wanted: torch.tensor(alternative("09/best_eta")(*wanted))),
]  # fmt: skip


@pytest.mark.parametrize(("key", "does", "answer"), RIGHT, ids=[f"{r[0]}-{r[1]}" for r in RIGHT])
def test_a_right_answer_passes_in_whatever_form(key, does, answer):
    result = check(key, answer)
    assert result.status == "passed", result.diagnosis


FUNCTIONS = [key for key, e in EXERCISES.items() if isinstance(e, Function)]


@pytest.mark.parametrize("key", FUNCTIONS)
def test_drawn_cases_are_twenty_different_ones_and_catch_every_mistake(key):
    exercise = EXERCISES[key]
    assert len(exercise.drawn) == 20
    blind = Function.__dict__["_judge_drawn"]
    caught = [m for m in exercise.mistakes if blind(exercise, m.example).status == "wrong"]
    assert len(caught) >= 0.5 * len(exercise.mistakes), [m.name for m in exercise.mistakes if m not in caught]
