import pytest
import torch

from regimes.directions import gauss_newton
from regimes.linear_network import (
    balanced_init,
    draw_gram,
    final_norm,
    follow_gram,
    gauss_newton_factor,
    imbalance,
    orthogonal_init,
    six_inits,
    what_the_data_see,
)
from regimes.metrics import row_space
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, GradientDescent
from tests.lib.cases import normal, relative
from tests.lib.linear_cases import DATA, FACTORS, D, M, N, X, data, lambda_of, network, state

# ---- the row space


@pytest.mark.parametrize(("name", "rank"), [("independent rows", 7), ("dependent rows", 5), ("more rows than columns", 4)])
def test_the_row_space_splits_the_inputs(name, rank):
    x, d = DATA[name], DATA[name].shape[1]
    space = row_space(x)
    basis = torch.cat([space.inside, space.outside], 1)
    assert space.rank == rank and space.W.shape == (len(x), rank) and space.outside.shape == (d, d - rank)
    assert relative(basis.T @ basis, torch.eye(d, dtype=x.dtype)) < 1e-14
    assert relative(space.W @ torch.diag(space.s) @ space.inside.T, x) < 1e-14
    assert (x @ space.outside).abs().max() < 1e-14 if d > rank else space.outside.numel() == 0
    assert (space.s > 0).all() and (space.s.diff() < 0).all()


@pytest.mark.parametrize("runs", [(), (2, 3)])
def test_split_puts_the_hidden_weights_together_again(runs):
    space, U = row_space(DATA["dependent rows"]), normal(*runs, D, M, seed=3)
    U1, U2 = space.split(U)
    assert U1.shape == (*runs, 5, M) and U2.shape == (*runs, 7, M)
    assert relative(space.inside @ U1 + space.outside @ U2, U) < 1e-14
    assert relative(DATA["dependent rows"] @ space.inside @ U1, DATA["dependent rows"] @ U) < 1e-13


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("q", [1, 3])
def test_min_norm_is_the_pseudo_inverse_and_the_target_is_whitened(name, q):
    x, y = data(name, q)
    space = row_space(x)
    assert relative(space.min_norm(y), torch.linalg.pinv(x) @ y) < 1e-12
    assert relative(x @ space.min_norm(y), space.W @ space.target(y)) < 1e-13


def test_the_cutoff_decides_what_counts_as_zero():
    x = torch.zeros(3, 5, dtype=torch.float64)
    x[0, 2], x[1, 0], x[2, 4] = 3.0, 3e-6, 3e-11
    assert [row_space(x).rank, row_space(x, cutoff=1e-5).rank, row_space(x, cutoff=1e-12).rank] == [2, 1, 3]
    assert row_space(1e-30 * x).rank == 2  # a share of the largest


@pytest.mark.parametrize("x", [X[0], X[None], torch.zeros(3, 2)], ids=["vector", "stack", "zero"])
def test_the_row_space_refuses(x):
    with pytest.raises(ValueError, match="that of one matrix .n, d. that is not zero; got shape"):
        row_space(x)


# ---- the imbalance


@pytest.mark.parametrize("runs", [(), (2, 3)])
@pytest.mark.parametrize("m", [3, 8, 9, 10, 50], ids=lambda m: f"m={m}")
def test_imbalance_is_the_spectrum_of_the_wide_matrix(m, runs):
    U1, V = normal(*runs, 6, m, seed=1), normal(*runs, 3, m, seed=2, std=0.8)  # r + q = 9
    wide = torch.linalg.eigvalsh(lambda_of(U1, V))
    got = imbalance(U1, V)
    assert got.shape == (*runs, min(m, 9)) and (got.diff() > 0).all()
    zeros = torch.zeros(*runs, m - got.shape[-1], dtype=got.dtype)
    assert relative(torch.cat([got, zeros], -1).sort(-1).values, wide) < 1e-13


def test_imbalance_has_no_more_positive_eigenvalues_than_rows_of_u():
    lam = imbalance(normal(6, 50, seed=1), normal(3, 50, seed=2))
    assert (lam > 1e-9).sum() == 6 and (lam < -1e-9).sum() == 3


# ---- Gram matrices that are drawn

KURTOSIS = 6  # of an entry, at most, for m >= 4: how far a sample variance scatters


@pytest.mark.parametrize(("m", "alpha"), [(4, 0.0), (5, 0.3), (300, 0.75)])
def test_drawn_gram_matrices_have_the_mean_and_variance_of_wisharts(m, alpha):
    size, draws = 4, 20_000
    G = draw_gram(m, alpha, size, draws, seed=1) * m ** (2 * alpha)
    eye = torch.eye(size, dtype=torch.float64)
    variance = m * (1 + eye)  # m off the diagonal, 2 m on it
    assert G.shape == (draws, size, size) and G.dtype == torch.float64 and torch.equal(G, G.mT)
    assert ((G.mean(0) - m * eye).abs() < 4.5 * (variance / draws).sqrt()).all()
    assert ((G.var(0) / variance - 1).abs() < 4.5 * ((KURTOSIS - 1) / draws) ** 0.5).all()


def test_drawn_gram_matrices_are_those_of_drawn_rows():
    """The determinant tells Bartlett's factor from any other with the same mean: it is a product of chi-squares."""
    m, size, draws = 9, 4, 20_000
    rows = normal(draws, size, m, seed=3, mean=0.0, std=1.0)
    drawn, literal = (torch.logdet(G) for G in (draw_gram(m, 0.0, size, draws, seed=1), rows @ rows.mT))
    error = ((drawn.var() + literal.var()) / draws) ** 0.5
    assert abs(drawn.mean() - literal.mean()) < 4 * error and abs(drawn.var() / literal.var() - 1) < 0.1


def test_draws_come_from_their_seed_and_any_width_costs_the_same():
    first, again, other = (draw_gram(10**7, 0.5, 5, 3, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first[0], first[1])
    assert relative(first, torch.eye(5, dtype=torch.float64).expand(3, 5, 5)) < 3e-3


def test_widths_below_the_number_of_rows_are_refused():
    assert draw_gram(5, 0.5, 5, 2, seed=1).shape == (2, 5, 5)
    with pytest.raises(ValueError, match="a Gram matrix of 5 rows is drawn for widths from 5 on; got m = 4"):
        draw_gram(4, 0.5, 5, 2, seed=1)


# ---- the closed forms


@pytest.mark.parametrize("name", FACTORS)
def test_gram_matrices_of_runs_are_followed_side_by_side_and_left_as_they_are(name):
    y, space = normal(N, 3, seed=2), row_space(X)
    factor, G = FACTORS[name](space.s, space.target(y)), draw_gram(64, 0.5, 10, 6, seed=1).reshape(2, 3, 10, 10)
    before, together = G.clone(), follow_gram(G, factor, 3, 0.02, 20)
    assert torch.equal(G, before) and torch.equal(follow_gram(G, factor, 3, 0.02, 0), G)
    for i in range(6):
        alone = follow_gram(G.flatten(0, 1)[i], factor, 3, 0.02, 20)
        assert relative(together.flatten(0, 1)[i], alone) < 1e-12


def test_a_network_too_narrow_for_its_targets_takes_the_least_squares_step_of_whitened_data():
    """With fewer units than outputs no step removes the residual; what is left is measured in whitened coordinates."""
    x, y = data("independent rows", 3)
    space, relatives = row_space(x), []
    for rows in (space.W @ space.inside.T, x):
        space, net = row_space(rows), network(x, 3, width=2, std=0.5)
        U1, _, V = state(net, space)
        F = gauss_newton_factor(space.s, space.target(y))(U1 @ V.T, U1 @ U1.T, V @ V.T)
        dU, dV = (-t for t in gauss_newton(net, rows, y, singular="drop").tensors)
        assert relative(space.split(dU)[0], F @ V) < 1e-10
        relatives.append(relative(dV, F.T @ U1))
    assert relatives[0] < 1e-10 and relatives[1] > 0.1


def test_the_sylvester_equation_of_runs_is_solved_side_by_side():
    space, y = row_space(X), normal(N, 3, seed=2)
    factor, U1, V = gauss_newton_factor(space.s, space.target(y)), normal(2, 4, N, M, seed=3), normal(2, 4, 3, M, seed=4)
    F = factor(U1 @ V.mT, U1 @ U1.mT, V @ V.mT)
    assert F.shape == (2, 4, N, 3)
    assert relative(F[1, 2], factor(U1[1, 2] @ V[1, 2].T, U1[1, 2] @ U1[1, 2].T, V[1, 2] @ V[1, 2].T)) < 1e-12


def test_pairs_that_are_dead_are_dropped_and_those_that_are_small_are_kept():
    space, y = row_space(X), normal(N, 3, seed=2)
    factor, nothing = gauss_newton_factor(space.s, space.target(y)), torch.zeros(3, M, dtype=torch.float64)

    def solve(U1):
        F = factor(U1 @ nothing.T, U1 @ U1.T, nothing @ nothing.T)
        return F, U1 @ U1.T @ F - space.target(y) / space.s[:, None]

    assert torch.equal(solve(torch.zeros(N, M, dtype=torch.float64))[0], torch.zeros(N, 3, dtype=torch.float64))
    live = torch.tensor([1.0, 1, 1, 1, 1, 0, 0], dtype=torch.float64)[:, None]
    F, missed = solve(live * normal(N, M, seed=3))
    assert missed[:5].abs().max() < 1e-12 and F[5:].abs().max() < 1e-12  # what dead rows would have to give is left
    _, missed = solve((live + 1e-4) * normal(N, M, seed=3))  # eigenvalues down to 1e-8 of the largest
    assert missed.abs().max() < 1e-6


# ---- starts


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("name", DATA)
def test_special_starts_are_what_their_names_say(name, q):
    x, y = data(name, q)
    space, eye = row_space(x), torch.eye(row_space(x).rank + q, dtype=x.dtype)
    product = 0.9 * space.target(y)
    net = TwoLayerLinear.stack([orthogonal_init(space, q, M, seed=1), balanced_init(space, product, M, seed=1)])
    U1, U2, V = state(net, space)
    assert not U2.numel() or U2.abs().max() < 1e-14
    assert relative(torch.cat([V[0], U1[0]]) @ torch.cat([V[0], U1[0]]).T, eye) < 1e-14
    eigenvalues, seen = what_the_data_see(net, space)
    assert relative(eigenvalues[0], torch.cat([-torch.ones(q), torch.ones(space.rank)]).double()) < 1e-13
    assert eigenvalues[1].abs().max() < 1e-13 and relative(seen[1], product) < 1e-13
    assert torch.equal(seen, U1 @ V.mT) and not seen.requires_grad
    other = orthogonal_init(space, q, M, seed=2)
    assert not torch.allclose(other[1], V[0]) and torch.equal(other[0], orthogonal_init(space, q, M, seed=2)[0])


def test_six_starts_three_inside_the_invariant_set_and_three_outside():
    space = row_space(X)
    names, starts = zip(*six_inits(space, 3, M, 0.3, seed=5).items(), strict=True)
    U1, U2, V = state(TwoLayerLinear.stack(starts), space)
    outer, inner = (V @ U2.mT).norm(dim=(-2, -1)), (U1 @ U2.mT).norm(dim=(-2, -1))
    assert names[0] == "U2 = 0" and names[-1] == "no condition" and len(names) == 6
    assert (outer[:5] < 1e-12).all() and outer[5] > 0.5 and (inner[:3] < 1e-12).all() and (inner[3:] > 0.5).all()
    assert U2[0].abs().max() < 1e-14 and all(U2[i].norm() > 1 for i in range(1, 6))
    assert torch.equal(V[4], torch.zeros_like(V[4])) and V[:4].norm(dim=(-2, -1)).min() > 0.5
    assert relative(U1[5], U1[0]) < 1e-14 and abs(U1[5].std() / 0.3 - 1) < 0.1
    with pytest.raises(ValueError, match="rows orthogonal to all 5 rows of U2 need a width above 5; got m = 5"):
        six_inits(space, 3, 5, 0.3, seed=5)


# ---- where training ends


@pytest.mark.parametrize(
    ("newton", "make"), [(None, lambda net: GradientDescent(net, 0.02 * N)), (1.0, lambda net: GaussNewton(net, 1.0))]
)
def test_the_final_norm_is_that_of_trained_networks(newton, make):
    """In mean and spread, over starts: Gram matrices on one side, networks on the other."""
    x, y = data("independent rows", 3)
    space, runs, m = row_space(x), 100, 32
    drawn = final_norm(space, y, m, 0.5, newton=newton, draws=runs, seed=1)
    net = network(x, 3, width=m, runs=(runs,), std=m**-0.5, seed=torch.arange(runs))
    optimizer = make(net)
    for _ in range(400 if newton is None else 8):
        optimizer.step(x, y)
    trained = net.V.detach().norm(dim=(-2, -1))
    assert relative((x @ net.predictor).mean(0), y) < 1e-2
    error = ((drawn.var() + trained.var()) / runs) ** 0.5
    assert drawn.shape == (runs,) and abs(drawn.mean() - trained.mean()) < 4 * error
    assert abs(drawn.var().log() - trained.var().log()) < 0.6


def test_the_final_norm_says_when_training_does_not_end(monkeypatch):
    x, y = data("independent rows", 3)
    monkeypatch.setattr("regimes.linear_network.dynamics.follow_gram", lambda G, *_: G)
    with pytest.raises(RuntimeError, match="training has not converged after 100000 steps at m = 20, alpha = 0.5"):
        final_norm(row_space(x), y, 20, 0.5, draws=1)
