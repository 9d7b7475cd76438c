import math

import pytest
import torch

from regimes import reference
from regimes.directions import gradient, time_scale
from regimes.flows import RungeKutta4
from regimes.metrics import condition_number, feature_movement, loss_on, loss_rate, refit, spectrum, weighted_cosine_distance
from regimes.networks import SCALINGS, TwoLayer
from regimes.theory.gauss_newton import random_feature_prediction
from tests.lib.cases import CASES, WIDE, D, M, N, frozen, linear, normal, perceptron, relative, runs_of, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2)
NEW = normal(29, D, seed=3)


@pytest.mark.parametrize("name", ["mean field", "ntk, tanh, no bias", "convolution"])
def test_spectrum_is_that_of_the_dense_jacobian(name):
    net, x, _ = CASES[name]()
    s = torch.linalg.svdvals(reference.dense_jacobian(net, x))
    wanted = time_scale(net) * s**2
    assert relative(spectrum(net, x), wanted) < 1e-12
    assert condition_number(net, x).item() == pytest.approx((wanted[0] / wanted[-1]).item(), rel=1e-6)


def test_spectrum_of_runs_is_sorted_and_never_negative():
    net = frozen(two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3)), "v")
    lam = spectrum(net, normal(40, D, seed=3, std=0.01))
    assert lam.shape == (2, 3, 40) and (lam >= 0).all() and (lam.diff() <= 0).all()
    assert condition_number(net, X).shape == (2, 3)


def test_a_singular_kernel_has_an_infinite_condition_number():
    net = frozen(two_layer(), "W")
    assert condition_number(net, torch.cat([X, X[:3]])).item() > 1e15
    assert condition_number(two_layer(), torch.zeros(4, D, dtype=torch.float64)).item() > 1e15


def test_loss_on():
    net = two_layer(runs=(3,), seed=torch.arange(3))
    wanted = torch.stack([((one(X) - Y) ** 2).mean() / 2 for one in runs_of(net)]).detach()
    got = loss_on(net, X, Y)
    assert relative(got, wanted) < 1e-13 and not got.requires_grad


def test_loss_on_several_outputs_is_one_number():
    net, y = perceptron(2), normal(N, 2, seed=2)
    assert relative(loss_on(net, X, y), ((net(X) - y) ** 2).sum().detach() / (2 * N)) < 1e-13


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("q", [1, 3])
def test_loss_on_several_outputs_of_runs_is_one_number_a_run(q, own):
    net, x, y = linear(q, runs=(2, 3), seed=torch.arange(6).reshape(2, 3)), normal(N, WIDE, seed=1), normal(N, q, seed=2)
    y = normal(2, 3, N, q, seed=2) if own else y
    targets = y.expand(2, 3, N, q).flatten(0, 1)
    wanted = [((one(x) - t) ** 2).sum().detach() / (2 * N) for one, t in zip(runs_of(net), targets, strict=True)]
    got = loss_on(net, x, y)
    assert relative(got, torch.stack(wanted).reshape(2, 3)) < 1e-13 and not got.requires_grad


@pytest.mark.parametrize(("net", "d", "own"), [(two_layer(), D, ()), (linear(), WIDE, (3,))], ids=["two_layer", "linear"])
def test_loss_on_several_sets_of_inputs_is_one_number_a_set(net, d, own):
    x, y = normal(4, N, d, seed=1), normal(N, *own, seed=2)
    wanted = torch.stack([loss_on(net, xi, y) for xi in x])
    assert wanted.shape == (4,) and relative(loss_on(net, x, y), wanted) < 1e-13


@pytest.mark.parametrize(
    ("net", "x", "y"),
    [
        (two_layer(), X, Y[:, None]),
        (linear(1), normal(N, WIDE), Y),
        (linear(), normal(N, WIDE), Y[:, None]),
        (linear(runs=(2,)), normal(N, WIDE), normal(2, 3 * N)),
    ],
    ids=["n, 1 for n", "n for n, 1", "n, 1 for n, 3", "flattened"],
)
def test_loss_on_never_broadcasts(net, x, y):
    with pytest.raises(ValueError, match="targets y"):
        loss_on(net, x, y)


@pytest.mark.parametrize("make", [two_layer, linear])
def test_the_loss_rate_is_that_of_a_short_time_of_gradient_flow(make):
    net = make(runs=(3,), seed=torch.arange(3))
    x = normal(N, D if make is two_layer else WIDE, seed=1)
    y = normal(*net(x).shape[1:], seed=2)
    rate, dt, losses = loss_rate(net, x, y), 1e-5, [loss_on(net, x, y)]
    for _ in range(2):
        RungeKutta4(net, gradient, dt).step(x, y)
        losses.append(loss_on(net, x, y))
    a, b, c = (loss.log() for loss in losses)
    assert rate.shape == (3,) and relative((3 * a - 4 * b + c) / (2 * dt), rate) < 1e-5


# ---- the last layer, fitted anew


def shortest(net, x, y, cutoff):
    """The output weights by the pseudo-inverse: an eigenvalue is the square of a singular value, and so is the cut-off."""
    scale = {"mean_field": 1 / net.width, "ntk": net.width**-0.5}[net.scaling]
    return torch.linalg.pinv(scale * net.hidden(x)[0].detach(), rtol=cutoff**0.5) @ y


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(("cutoff", "rank"), [(1e-2, 5), (1e-4, 8), (1e-6, 10), (1e-10, 11)])
def test_refit_is_the_pseudo_inverse_with_the_square_root_of_the_cutoff(scaling, cutoff, rank):
    net = two_layer(scaling=scaling, std=0.2, seed=4)
    s = torch.linalg.svdvals(net.hidden(X)[0].detach())
    assert (s / s[0] > cutoff**0.5).sum() == rank  # the cut-offs of this test differ in what they keep
    assert relative(refit(net, X, Y, cutoff=cutoff).v.detach(), shortest(net, X, Y, cutoff)) < 1e-14 / cutoff


def test_the_cutoff_is_one_in_a_million_unless_said_otherwise():
    net = two_layer(std=0.2, seed=4)
    assert torch.equal(refit(net, X, Y).v, refit(net, X, Y, cutoff=1e-6).v)
    assert not torch.equal(refit(net, X, Y).v, refit(net, X, Y, cutoff=1e-4).v)


def test_refit_of_a_stack_is_that_of_its_runs_each_on_its_own_data():
    x, y = normal(2, 3, N, D, seed=6), normal(2, 3, N, seed=7)
    stack = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3), std=torch.tensor([0.3, 1.0, 3.0]))
    together = refit(stack, x, y)
    assert together.runs == (2, 3)
    for i, net in enumerate(runs_of(stack)):
        alone = refit(net, x.flatten(0, 1)[i], y.flatten(0, 1)[i])
        assert relative(together.v.detach().flatten(0, 1)[i], alone.v.detach()) < 1e-10


def test_refit_changes_only_the_output_weights_of_a_copy():
    net = frozen(two_layer(), "W")
    W, v = net.W.detach().clone(), net.v.detach().clone()
    fitted = refit(net, X, Y)
    assert torch.equal(fitted.W, W) and torch.equal(net.W, W) and torch.equal(net.v, v)
    assert fitted.W is not net.W and not torch.equal(fitted.v, v)
    assert [p.requires_grad for p in fitted.parameters()] == [False, True] and fitted.v.is_leaf


def test_refit_at_the_start_is_the_random_feature_prediction():
    net = two_layer(output_std=0.0)
    Phi, Phi_new = (net.hidden(x)[0].detach() for x in (X, NEW))
    assert relative(refit(net, X, Y)(X).detach(), Y) < 1e-10
    assert relative(refit(net, X, Y)(NEW).detach(), random_feature_prediction(Phi, Y, Phi_new)) < 1e-10


def test_refit_is_least_squares_when_there_are_more_samples_than_units():
    x, y = normal(40, D, seed=8), normal(40, seed=9)
    net = refit(two_layer(), x, y)
    Phi, r = net.hidden(x)[0].detach(), (net(x) - y).detach()
    assert loss_on(net, x, y) > 0.01 and (Phi.T @ r).abs().max() < 1e-9 * (Phi.abs().T @ r.abs()).max()


def test_features_that_are_all_zero_get_no_output_weights():
    stack = two_layer(runs=(2,), activation="relu", bias=False, seed=torch.arange(2))
    with torch.no_grad():
        stack.W[1] = -stack.W[1].abs()
    x = normal(N, D, seed=8).abs()
    v = refit(stack, x, Y).v
    assert torch.equal(v[1], torch.zeros(M, dtype=torch.float64)) and torch.isfinite(v).all() and v[0].norm() > 0


def test_refit_in_float32_solves_in_float64():
    """Eigenvalues near the cut-off of 1e-6 would drown in a Gram matrix of float32."""
    options = {"std": 0.2, "seed": 4}
    net, wanted = two_layer(dtype=torch.float32, **options), refit(two_layer(**options), X, Y).v.detach()
    v = refit(net, X.float(), Y.float()).v.detach()
    assert v.dtype == torch.float32 and relative(v, wanted.float()) < 1e-3


@pytest.mark.parametrize("cutoff", [-1e-9, 1.0, 2.0, math.nan])
def test_refit_refuses_a_cutoff_that_is_no_share(cutoff):
    with pytest.raises(ValueError, match="a share of the largest eigenvalue, from 0 up to 1; got"):
        refit(two_layer(), X, Y, cutoff=cutoff)


@pytest.mark.parametrize("y", [Y[:, None], Y[:-1], Y[None], Y.float(), Y / 0], ids=["n, 1", "n - 1", "1, n", "float32", "inf"])
def test_refit_refuses_targets_that_do_not_fit(y):
    with pytest.raises(ValueError, match="targets y"):
        refit(two_layer(), X, y)


# ---- how far the features went


def test_feature_movement_by_hand():
    start = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert feature_movement(start, start) == 0
    assert feature_movement(torch.tensor([[3.0, 1.0], [2.0, 4.0]]), start).item() == pytest.approx(5**0.5 / 5)
    assert feature_movement(-2 * start, start).item() == pytest.approx(3.0)


def test_feature_movement_of_runs_with_gradients():
    W, start = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3)).W, two_layer(runs=(2, 3), seed=9).W
    got = feature_movement(W, start)
    assert got.shape == (2, 3) and not got.requires_grad
    assert got[1, 2].item() == pytest.approx(((W[1, 2] - start[1, 2]).norm() / start[1, 2].norm()).item(), rel=1e-12)


def literal_distance(W, reference):
    """The definition, unit by unit; a unit without length has no direction and no share."""
    total = sum(w @ w for w in W)
    cosine = [[(w @ u / (w.norm() * u.norm())).clamp(-1, 1) for u in reference] for w in W]
    return sum(w @ w / total * min(math.sqrt(2 * (1 - c)) for c in row) for w, row in zip(W, cosine, strict=True))


def test_weighted_cosine_distance_is_the_double_loop():
    W, reference = normal(2, 3, 7, 4, seed=1), normal(2, 3, 5, 4, seed=2)
    got = weighted_cosine_distance(W, reference)
    wanted = [literal_distance(w, u) for w, u in zip(W.flatten(0, 1), reference.flatten(0, 1), strict=True)]
    assert relative(got, torch.stack(wanted).reshape(2, 3)) < 1e-12
    one = weighted_cosine_distance(W, reference[0, 0])  # one teacher for all runs
    assert one[1, 2].item() == pytest.approx(literal_distance(W[1, 2], reference[0, 0]).item(), rel=1e-12)


E1, E2 = torch.eye(2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("W", "reference", "wanted"),
    [
        ([E1, E2], [E2, E1], 0.0),
        ([2 * E1, 5 * E1], [0.1 * E1], 0.0),
        ([E1], [-E1], 2.0),
        ([E1], [E2], 2**0.5),
        ([E1], [E1 + E2], (2 - 2**0.5) ** 0.5),
        ([3 * E1, E2], [E1], 0.1 * 2**0.5),  # the longer unit counts nine times
        ([E1, 0 * E1], [E1], 0.0),  # a unit without length does not count
    ],
)
def test_weighted_cosine_distance_by_hand(W, reference, wanted):
    assert weighted_cosine_distance(torch.stack(W), torch.stack(reference)).item() == pytest.approx(wanted, abs=1e-15)


def test_what_weighted_cosine_distance_does_not_see():
    W, reference = normal(7, 4, seed=1), normal(5, 4, seed=2)
    distance, length = weighted_cosine_distance(W, reference), torch.tensor([1.0, 1e-9, 1e9, 3.0, 1.0], dtype=torch.float64)
    order, turn = torch.tensor([3, 0, 4, 1, 2]), torch.linalg.qr(normal(4, 4, seed=5))[0]
    for W2, reference2 in [
        (W, length[:, None] * reference),
        (W, reference[order]),
        (W.flip(0), reference),
        (17 * W, reference),
        (W @ turn, reference @ turn),
        (W.repeat(2, 1), reference),
    ]:
        assert weighted_cosine_distance(W2, reference2).item() == pytest.approx(distance.item(), rel=1e-12)
    longer = torch.tensor([1, 1, 1, 1, 9, 1, 1], dtype=torch.float64)[:, None]
    for W2, reference2 in [(-W, reference), (longer * W, reference), (W, reference[:2])]:
        assert abs(weighted_cosine_distance(W2, reference2) - distance) > 1e-3


def test_weighted_cosine_distance_sees_a_small_turn():
    """An angle of 1e-9 is lost in the cosine, which differs from one by 5e-19."""
    W = torch.tensor([[1.0, 1e-9]], dtype=torch.float64)
    assert weighted_cosine_distance(W, E1[None]).item() == pytest.approx(1e-9, rel=1e-6)


def test_distances_of_weights_that_are_all_zero():
    zero = torch.zeros(3, 2, dtype=torch.float64)
    assert weighted_cosine_distance(zero, normal(4, 2)) == 0 and torch.isfinite(weighted_cosine_distance(normal(4, 2), zero))
    assert feature_movement(zero, normal(3, 2)) == 1


def test_distances_leave_their_arguments_alone_and_carry_no_gradient():
    net, teacher = two_layer(), TwoLayer(D, 2, seed=8)
    before = net.W.detach().clone(), teacher.W.detach().clone()
    assert not weighted_cosine_distance(net.W[..., :-1], teacher.W[..., :-1]).requires_grad
    assert torch.equal(net.W, before[0]) and torch.equal(teacher.W, before[1])
