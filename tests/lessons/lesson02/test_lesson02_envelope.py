"""Slips and solutions that exercise 2 of lesson 02 does not list: rejected and accepted all the same."""

import pytest
import torch

from regimes_course.exercises import check
from regimes_course.lesson02.checks.envelope import DAMPED_ENVELOPE


def pieces(t, K, r0, damping):
    lam, Q = torch.linalg.eigh(K)
    lam = lam.clamp(min=0)
    return lam, lam / (lam + damping), Q.T @ r0


def flow(loss=lambda t, rho, c: torch.exp(-2 * torch.outer(t, rho)) @ c**2 / (c @ c), high=lambda rho: rho[0], rate=None):
    def answer(t, K, r0, damping):
        lam, rho, c = pieces(t, K, r0, damping)
        rho = rate(lam, damping) if rate else rho
        return torch.stack([loss(t, rho, c), torch.exp(-2 * t), torch.exp(-2 * high(rho) * t)])

    return answer


def absolute_eigenvalues(t, K, r0, damping):
    lam, Q = torch.linalg.eigh(K)
    return flow(rate=lambda *_: lam.abs() / (lam.abs() + damping))(t, K, r0, damping)


def diagonal(t, K, r0, damping):
    return flow()(t, torch.diag(K.diagonal()), r0, damping)


def clamped_twice(t, K, r0, damping):
    return flow(high=lambda rho: rho[0].clamp(min=1e-3))(t, K, r0, damping)


ENVELOPES_WRONG = {
    "rate squared": flow(rate=lambda lam, eps: (lam / (lam + eps)) ** 2),
    "root in the rate": flow(rate=lambda lam, eps: (lam / (lam + eps)).sqrt()),
    "damping squared": flow(rate=lambda lam, eps: lam / (lam + eps**2)),
    "damping twice": flow(rate=lambda lam, eps: lam / (lam + 2 * eps)),
    "damping times n": flow(rate=lambda lam, eps: lam / (lam + len(lam) * eps)),
    "gradient flow without n": flow(rate=lambda lam, eps: lam),
    "rates over the largest": flow(rate=lambda lam, eps: (lam + eps) / (lam[-1] + eps)),
    "mean eigenvalue": flow(high=lambda rho: rho.mean()),
    "median mode": flow(high=lambda rho: rho[len(rho) // 2]),
    "largest mode as the loss": flow(loss=lambda t, rho, c: torch.exp(-2 * rho[-1] * t)),
    "loss squared": flow(loss=lambda t, rho, c: (torch.exp(-2 * torch.outer(t, rho)) @ c**2 / (c @ c)) ** 2),
    "residual, not loss": flow(loss=lambda t, rho, c: (torch.exp(-2 * torch.outer(t, rho)) @ c**2 / (c @ c)).sqrt()),
    "sum of residuals": flow(loss=lambda t, rho, c: torch.exp(-torch.outer(t, rho)) @ c / c.sum()),
    "e^(-4t)": flow(loss=lambda t, rho, c: torch.exp(-4 * torch.outer(t, rho)) @ c**2 / (c @ c)),
    "grows": flow(loss=lambda t, rho, c: torch.exp(2 * torch.outer(t, rho)) @ c**2 / (c @ c)),
    "absolute eigenvalues": absolute_eigenvalues,
    "diagonal of K": diagonal,
    "high kept from one": clamped_twice,
}


@pytest.mark.parametrize("answer", ENVELOPES_WRONG.values(), ids=ENVELOPES_WRONG)
def test_an_unlisted_envelope_is_rejected(answer):
    result = check("02/damped_envelope", answer)
    assert result.status == "wrong" and len(result.diagnosis) > 20 and "nan" not in result.diagnosis


def by_steps(t, K, r0, damping):
    """Ten thousand small steps of the flow to each time."""
    lam, rho, _ = pieces(t, K, r0, damping)
    Q = torch.linalg.eigh(K)[1]
    A = (Q * rho) @ Q.T
    move = torch.eye(len(K), dtype=K.dtype) - torch.stack([A * s / 2**20 for s in t])
    ends = torch.linalg.matrix_power(move, 2**20) @ r0
    return torch.stack([ends.square().mean(1) / r0.square().mean(), *(torch.exp(-2 * r * t) for r in (1.0, rho.min()))])


ENVELOPES_RIGHT = {
    "one minus the rest": flow(rate=lambda lam, eps: 1 - eps / (lam + eps)),
    "a cut-off for a clamp": flow(
        rate=lambda lam, eps: torch.where(lam > 1e-5, lam, 0.0) / (torch.where(lam > 1e-5, lam, 0.0) + eps)
    ),
    "rows of the transpose": flow(
        loss=lambda t, rho, c: (c[:, None] * torch.exp(-torch.outer(rho, t))).square().sum(0) / (c @ c)
    ),
}


@pytest.mark.parametrize("answer", ENVELOPES_RIGHT.values(), ids=ENVELOPES_RIGHT)
def test_another_envelope_is_accepted(answer):
    result = check("02/damped_envelope", answer)
    assert result.status == "passed", result.diagnosis


def test_the_reference_is_what_small_steps_of_the_flow_give():
    for label, args in DAMPED_ENVELOPE.cases().items():
        torch.testing.assert_close(DAMPED_ENVELOPE.reference(*args), by_steps(*args), rtol=0, atol=2e-5, msg=label)


def test_the_cases_hold_what_they_promise():
    cases = list(DAMPED_ENVELOPE.cases().values())
    answers = [DAMPED_ENVELOPE.reference(*args) for args in cases]
    for args, (loss, low, high) in zip(cases, answers, strict=True):
        assert len(args[0]) != 3 and len(args[0]) != len(args[1])  # nothing is square by accident
        assert (low <= loss + 1e-12).all() and (loss <= high + 1e-12).all()
    least = [torch.linalg.eigvalsh(args[1])[0].item() for args in cases]
    assert least[-1] < -9e-7 and abs(least[-2]) < 1e-14 and torch.allclose(answers[-1][2], torch.ones(4).double())
    assert torch.equal(answers[2][1], answers[2][2]) and cases[2][3] == 0
    assert (answers[3][2] > 0.6).all() and cases[3][3] > 4 * torch.linalg.eigvalsh(cases[3][1])[-1]
