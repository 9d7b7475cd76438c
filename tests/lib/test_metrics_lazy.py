"""How far kernels, features and networks are from what they were."""

import math

import pytest
import torch

from regimes import reference
from regimes.kernels import LazyScaling, Linearised
from regimes.metrics import change_from_init, cka, kernel_cosine, kernel_distance, participation_ratio
from tests.lib.cases import CASES, D, M, N, normal, relative, two_layer

A, B = normal(2, 3, N, 4, seed=1), normal(2, 3, N, 7, seed=2)
K, K0 = (normal(2, 3, 5, 8, seed=s) for s in (3, 4))


# ---- kernels


def test_distance_and_cosine_by_hand():
    K0 = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    K1 = K0 + torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert kernel_distance(K1, K0).item() == pytest.approx(5**0.5 / 5) and kernel_distance(2 * K0, K0) == 1
    assert kernel_cosine(K1, K0).item() == pytest.approx(5 / 30**0.5)
    assert kernel_cosine(7 * K0, K0).item() == pytest.approx(1) and kernel_cosine(-K0, K0).item() == pytest.approx(-1)


def test_distance_and_cosine_have_one_number_a_run():
    for metric in (kernel_distance, kernel_cosine):
        got = metric(K, K0)
        assert got.shape == (2, 3) and relative(got[1, 2], metric(K[1, 2], K0[1, 2])) < 1e-14
        shared = metric(K, K0[0, 0])
        assert shared.shape == (2, 3) and relative(shared[1, 2], metric(K[1, 2], K0[0, 0])) < 1e-14
        assert not metric(K.clone().requires_grad_(), K0).requires_grad


def test_the_alignment_with_labels():
    y = normal(5, seed=6)
    got = kernel_cosine(K[0, 0] @ K[0, 0].T, torch.outer(y, y)).item()
    square = K[0, 0] @ K[0, 0].T
    assert got == pytest.approx((y @ square @ y / (square.norm() * (y @ y))).item(), rel=1e-12)


@pytest.mark.parametrize("other", [K0.mT, K0[..., :4, :], K0[:1], K0[0], K0[0, 0, 0]])
def test_kernels_of_different_shapes_are_refused(other):
    for metric in (kernel_distance, kernel_cosine):
        with pytest.raises(ValueError, match="kernels are compared on the same inputs: K has shape"):
            metric(K, other)


def test_a_kernel_that_is_zero_is_refused():
    for call in (lambda: kernel_distance(K, 0 * K0), lambda: kernel_cosine(K, 0 * K0), lambda: kernel_cosine(0 * K, K0)):
        with pytest.raises(ValueError, match="a kernel that is zero"):
            call()


# ---- representations


def literal_cka(X, Y):
    """By Gram matrices of centred features: the Hilbert-Schmidt independence criterion, entry by entry."""
    H = torch.eye(len(X), dtype=X.dtype) - 1 / len(X)
    G, F = (H @ (Z @ Z.T) @ H for Z in (X, Y))
    return (G * F).sum() / ((G * G).sum() * (F * F).sum()).sqrt()


@pytest.mark.parametrize("widths", [(4, 7), (20, 7), (20, 30), (4, 4)])
def test_cka_is_its_definition_for_narrow_and_wide_features(widths):
    X, Y = (normal(2, 3, N, w, seed=w + i) for i, w in enumerate(widths))
    got = cka(X, Y)
    assert got.shape == (2, 3) and relative(got[1, 2], literal_cka(X[1, 2], Y[1, 2])) < 1e-12
    assert relative(got, cka(Y, X)) < 1e-12 and (got > 0).all() and (got < 1).all()


def test_what_cka_does_not_see_and_what_it_sees():
    X = A[0, 0]
    turn, stretch = torch.linalg.qr(normal(4, 4, seed=5))[0], torch.diag(torch.tensor([1.0, 1, 1, 9])).double()
    assert cka(X, 17 * X @ turn + 3).item() == pytest.approx(1, abs=1e-12)
    assert cka(X, X @ stretch) < 0.9
    assert cka(X, X.flip(0)) < 0.5  # other samples
    assert cka(X.float(), X.float()).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("Y", [B[..., :5, :], B[0], B[0, 0, 0]])
def test_cka_refuses_features_of_other_samples(Y):
    with pytest.raises(ValueError, match="of the same runs and samples are needed; got"):
        cka(A, Y)


def test_features_that_do_not_vary_are_refused():
    for call in (lambda: cka(A, 0 * A + 3), lambda: participation_ratio(0 * A + 0.1), lambda: participation_ratio(A / 0)):
        with pytest.raises(ValueError, match="the same for all samples"):
            call()


def test_participation_ratio_counts_directions():
    Q = torch.linalg.qr(torch.cat([torch.ones(N, 1).double(), normal(N, 5, seed=7)], 1))[0][:, 1:]  # centred, orthonormal
    assert participation_ratio(Q).item() == pytest.approx(5)
    assert participation_ratio(Q[:, :1]).item() == pytest.approx(1)
    lam = torch.tensor([9.0, 4.0, 1.0, 0.25, 0.0]).double()
    wanted = lam.sum() ** 2 / lam.square().sum()
    assert participation_ratio(Q * lam.sqrt() + 11).item() == pytest.approx(wanted.item(), rel=1e-12)


@pytest.mark.parametrize("width", [4, 30])
def test_participation_ratio_is_that_of_the_covariance(width):
    X = normal(2, 3, N, width, seed=8)
    got, lam = participation_ratio(X), torch.linalg.eigvalsh(torch.cov(X[1, 2].T))
    assert got.shape == (2, 3) and got[1, 2].item() == pytest.approx((lam.sum() ** 2 / lam.square().sum()).item(), rel=1e-12)
    assert relative(participation_ratio(5 * X - 2), got) < 1e-12


# ---- how far a network has gone


@pytest.mark.parametrize("wrap", [Linearised, lambda net: LazyScaling(net, 3.0)])
def test_departure_is_measured_from_the_start(wrap):
    start, x = two_layer(runs=(2,), seed=torch.arange(2)), normal(N, D, seed=1)
    net = wrap(start)
    assert all(torch.equal(far, torch.zeros(2, dtype=torch.float64)) for far in change_from_init(net, x).values())
    with torch.no_grad():
        net.net.W += 0.1 * normal(M, D + 1, seed=2)
        net.net.v *= 1.3
    got, i = change_from_init(net, x), 1
    one = [t.detach()[i] for t in (start.W, start.v, net.net.W, net.net.v)]
    length = math.sqrt((one[0].norm() ** 2 + one[1].norm() ** 2).item())
    moved = math.sqrt(((one[2] - one[0]).norm() ** 2 + (one[3] - one[1]).norm() ** 2).item())
    assert got["weights"][i].item() == pytest.approx(moved / length, rel=1e-12)
    before, after = (u.hidden(x)[0][i].detach() for u in (start, net.net))
    assert relative(got["features"][i], (after - before).norm() / before.norm()) < 1e-12
    dense = []
    for W, v in (one[:2], one[2:]):
        single = two_layer()
        single.W.data, single.v.data = W, v
        J = reference.dense_jacobian(single, x)
        dense.append(J @ J.T)
    assert relative(got["drift"][i], (dense[1] - dense[0]).norm() / dense[0].norm()) < 1e-12


def test_change_from_init_needs_the_initialisation():
    for start in ((), (CASES["perceptron"]()[0],)):
        with pytest.raises(ValueError, match=r"pass start=copy.deepcopy\(net\), made before training"):
            change_from_init(two_layer(), normal(N, D), *start)
