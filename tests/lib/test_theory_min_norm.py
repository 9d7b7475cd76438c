import math

import pytest
import torch

from regimes.theory.min_norm import (
    Levels,
    imbalance_levels,
    imbalance_rate,
    margin_rate,
    random_init_bound,
    smallest_width,
    start_rate,
)
from tests.lib.cases import normal
from tests.lib.plain_flows import DOUBLE, error, flow, orthogonal, sampled, squares, trajectory

SIZES = [(4, 2, 9), (3, 1, 5), (2, 3, 6), (5, 2, 6), (3, 2, 2), (2, 4, 3), (6, 3, 4), (1, 3, 2)]  # r, q, m; some m small


def nets(r, q, m, runs=40, seed=0):
    """Random networks in the row space, small and large: ``U1 (runs, r, m)``, ``V (runs, q, m)``, ``s (runs, r)``, ``Yt``."""
    scales = 10 ** normal(2, runs, 1, 1, seed=seed, mean=-0.4, std=0.4)
    U1, V = normal(runs, r, m, seed=seed + 1, mean=0), normal(runs, q, m, seed=seed + 2, mean=0)
    s = normal(runs, r, seed=seed + 3, mean=0.2, std=0.5).exp().sort(-1, descending=True).values
    return scales[0] * U1, scales[1] * V, s, normal(runs, r, q, seed=seed + 4)


def spectrum(U1, V):
    """Eigenvalues of the ``m x m`` imbalance itself."""
    return torch.linalg.eigvalsh(U1.mT @ U1 - V.mT @ V)


def levels_of(U1, V):
    return imbalance_levels(spectrum(U1, V), U1.shape[-2], V.shape[-2])


def test_levels_of_a_spectrum_written_down():
    for eigenvalues in ([7.0, 3.0, 0.5, 0.0, -0.25, -2.0], [-2.0, 0.5, 7.0, -0.25, 3.0]):  # any order, zeros missing
        got = imbalance_levels(torch.tensor(eigenvalues, dtype=DOUBLE), r=3, q=2)
        assert [x.item() for x in got] == [0.5 + 0.25, 7 - 0.5, 2 - 0.25]
        got = imbalance_levels(torch.tensor(eigenvalues, dtype=DOUBLE), r=4, q=1)  # no fourth positive one
        assert [x.item() for x in got] == [2.0, 7.0, 0.0]
        got = imbalance_levels(torch.tensor(eigenvalues, dtype=DOUBLE), r=9, q=8)  # beyond the width
        assert [x.item() for x in got] == [0.0, 7.0, 2.0]
    assert [x.item() for x in imbalance_levels(torch.zeros(3), 2, 2)] == [0.0] * 3


@pytest.mark.parametrize(("r", "q", "m"), SIZES)
def test_levels_of_networks_in_a_stack(r, q, m):
    U1, V, _, _ = nets(r, q, m)
    lam = spectrum(U1, V)
    got = imbalance_levels(lam, r, q)
    for i in range(len(lam)):
        down, up = sorted(lam[i].tolist(), reverse=True), sorted((-lam[i]).tolist(), reverse=True)
        plus, minus = max(down[r - 1], 0) if m >= r else 0, max(up[q - 1], 0) if m >= q else 0
        wanted = (plus + minus, max(down[0], 0) - plus, max(up[0], 0) - minus)
        assert [x[i].item() for x in got] == pytest.approx(wanted, rel=1e-14)
    bare = torch.linalg.eigvalsh((torch.linalg.qr(torch.cat([V, U1], 1).mT).R * signs(r, q)) @ qr_factor(U1, V).mT)
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(imbalance_levels(bare, r, q), got, strict=True))


def signs(r, q):
    return torch.cat([-torch.ones(q, dtype=DOUBLE), torch.ones(r, dtype=DOUBLE)])


def qr_factor(U1, V):
    return torch.linalg.qr(torch.cat([V, U1], 1).mT).R


@pytest.mark.parametrize(("r", "q"), [(0, 1), (2, 0)])
def test_levels_refuse_what_has_no_rank_or_no_output(r, q):
    with pytest.raises(ValueError, match=f"both at least 1, are needed; got r={r}, q={q}"):
        imbalance_levels(torch.ones(3), r, q)


@pytest.mark.parametrize(("r", "q", "m"), [*SIZES, (1, 1, 1), (1, 1, 4)])
def test_margin_rate_bounds_the_rate_at_every_state(r, q, m):
    U1, V, s, target = nets(r, q, m)
    levels, product, smallest = levels_of(U1, V), U1 @ V.mT, s.amin(-1) ** 2
    back = s[..., None] * error(U1, V, s, target)
    rate = 2 * (squares(back @ V) + squares(back.mT @ U1)) / squares(error(U1, V, s, target))
    bound, scale = margin_rate(levels, product, smallest), s.amax(-1) ** 2 * (squares(U1) + squares(V))
    assert (rate - bound >= -1e-12 * scale).all()
    assert (bound >= imbalance_rate(levels, smallest)).all()
    if r == q == 1:
        assert ((rate - bound).abs() <= 1e-12 * scale).all()


@pytest.mark.parametrize(("r", "q", "m"), SIZES)
def test_margin_rate_bounds_the_slowest_error_and_its_formula_is_the_literal_one(r, q, m):
    U1, V, _, _ = nets(r, q, m, seed=20)
    levels, product = levels_of(U1, V), U1 @ V.mT
    slowest = 2 * (torch.linalg.eigvalsh(U1 @ U1.mT)[..., 0] + torch.linalg.eigvalsh(V @ V.mT)[..., 0])
    bound = margin_rate(levels, product, 1.0)
    assert (slowest - bound >= -1e-12 * (squares(U1) + squares(V))).all()
    for i in range(len(bound)):
        sigma = torch.linalg.svdvals(product[i]).tolist() + [0.0] * (r + q)
        D, plus, minus = (x[i].item() for x in levels)
        first = -plus + math.sqrt((plus + D) ** 2 + 4 * sigma[q - 1] ** 2)
        second = -minus + math.sqrt((minus + D) ** 2 + 4 * sigma[r - 1] ** 2)
        assert bound[i].item() == pytest.approx(first + second, rel=1e-8)


def test_margin_rate_touches_the_slowest_error_of_aligned_layers():
    """Layers with the same singular directions: the spread belongs to one mode, the margin to the other."""
    for u, v in (([2.0, 0.5], [0.3, 0.5]), ([0.5, 0.4], [1.9, 0.4])):
        U1, V = torch.diag(torch.tensor(u, dtype=DOUBLE)), torch.diag(torch.tensor(v, dtype=DOUBLE))
        slowest = 2 * (U1.diagonal().square().min() + V.diagonal().square().min())
        assert margin_rate(levels_of(U1, V), U1 @ V.T, 1.0) <= slowest
    U1, V = torch.tensor([[0.7, 0.0, 0.0], [0.0, 0.7, 0.0]], dtype=DOUBLE), torch.tensor([[0.3, 0.0, 1.1]], dtype=DOUBLE)
    wide = torch.tensor([[0.0, 0.0, 1.2], [0.4, 0.0, 0.0]], dtype=DOUBLE)
    for first, last in ((U1, V), (V, U1), (wide, V)):
        slowest = 2 * (torch.linalg.eigvalsh(first @ first.T)[0] + torch.linalg.eigvalsh(last @ last.T)[0])
        assert 0 < margin_rate(levels_of(first, last), first @ last.T, 1.0) <= slowest * (1 + 1e-12)


def test_imbalance_rate_is_the_rate_at_an_orthogonal_start_whatever_the_error():
    U1, V = orthogonal(4, 2, 9, kappa=0.7)
    target, s = normal(4, 2), torch.full((4,), 1.4, dtype=DOUBLE)
    dU, dV = flow(U1, V, s, target)
    rate = 2 * (squares(dU) + squares(dV)) / squares(target)
    assert imbalance_rate(levels_of(U1, V), 1.4**2).item() == pytest.approx(rate.item(), rel=1e-12)
    assert rate.item() == pytest.approx(2 * 1.4**2 * (0.7 + 0.7), rel=1e-12)


def test_rates_of_networks_that_stand_still_are_zero():
    nothing = Levels(*torch.zeros(3, 1, dtype=DOUBLE))
    assert margin_rate(nothing, torch.zeros(1, 2, 3, dtype=DOUBLE), 2.0).tolist() == [0.0]
    assert imbalance_rate(nothing, 2.0).tolist() == [0.0]


@pytest.mark.parametrize(("r", "q", "m"), SIZES)
def test_start_rate_is_never_above_the_decay(r, q, m):
    U1, V, s, target = nets(r, q, m, seed=40)
    near = torch.arange(len(s)) % 2 == 0  # half of the targets close to what the network does: there the margin counts
    levels, product = levels_of(U1, V), U1 @ V.mT
    target[near] = (s[..., None] * product + 0.05 * product.abs().amin((-2, -1), keepdim=True) * target)[near]
    rate = start_rate(levels, product, target, s)
    assert (rate >= imbalance_rate(levels, s.amin(-1) ** 2)).all()
    assert (rate <= margin_rate(levels, product, s.amin(-1) ** 2) * (1 + 1e-12)).all()
    if r <= q and m >= r or q <= r and m >= q:
        assert (rate > imbalance_rate(levels, s.amin(-1) ** 2) * (1 + 1e-9)).any()
    start = squares(error(U1, V, s, target))
    for t, U, W in trajectory(U1, V, s, target, 300, 0.1):
        left = squares(error(U, W, s, target)) / start
        assert ((left.log() + rate * t <= 1e-9) | (left < 1e-18)).all()  # below that, the loss is rounding


def test_start_rate_is_the_literal_formula():
    r, q, m = 3, 2, 7
    U1, V, s, target = nets(r, q, m, runs=30, seed=7)
    target = s[..., None] * (U1 @ V.mT) + 0.02 * target
    got, levels = start_rate(levels_of(U1, V), U1 @ V.mT, target, s), levels_of(U1, V)
    for i in range(30):
        distance = (target[i] - torch.diag(s[i]) @ U1[i] @ V[i].T).norm().item()
        sigma = [*torch.linalg.svdvals(target[i]).tolist(), 0.0]
        margins = [max(sigma[k - 1] - distance, 0) ** 2 / s[i].max().item() ** 2 for k in (q, r)]
        D, plus, minus = (x[i].item() for x in levels)
        braces = -plus + math.sqrt((plus + D) ** 2 + 4 * margins[0]) - minus + math.sqrt((minus + D) ** 2 + 4 * margins[1])
        assert got[i].item() == pytest.approx(s[i].min().item() ** 2 * braces, rel=1e-8)


@pytest.mark.parametrize("alpha", [0.5, 0.45])
def test_random_init_bound_holds_and_so_do_the_links_of_its_proof(alpha):
    d, r, q = 5, 3, 1
    s, target = torch.tensor([1.3, 1.0, 0.8], dtype=DOUBLE), torch.tensor([[0.9], [-0.4], [0.3]], dtype=DOUBLE)
    m = smallest_width(alpha, d=d, q=q, s=s)
    U1, U2, V = sampled(m, alpha, d, r, q, runs=60)
    level, kappa, tau = levels_of(U1, V).level, m ** (1 - 2 * alpha), math.sqrt(q + d) + math.sqrt(2 * math.log(40))
    drift = (squares(V @ U2.mT) + squares(U1 @ U2.mT)).sqrt()
    growth = s[0] * squares(error(U1, V, s, target)).sqrt() / (s[-1] ** 2 * level)
    assert (level > kappa).all() and (drift <= 2 * math.sqrt(q + r) * tau * m ** (0.5 - 2 * alpha)).all()
    assert (growth <= (1 + s[0] * target.norm() / s[-1] ** 2) / kappa).all()
    _, U, W = list(trajectory(U1, V, s, target, 900, 0.1))[-1]
    assert (squares(error(U, W, s, target)) < 1e-12).all()
    distance, bound = squares(U2 @ W.mT).sqrt(), random_init_bound(m, alpha, d=d, q=q, s=s, target=target)
    assert (distance <= growth.exp() * drift).all() and (distance <= bound).all()
    wanted = 2 * math.exp(1 + 1.3 * target.norm().item() / 0.64) ** (1 / kappa) * 2 * tau / m ** (2 * alpha - 0.5)
    assert bound == pytest.approx(wanted, rel=1e-12)


def test_the_drift_from_the_invariant_set_is_bounded_by_the_error():
    """``|Z U2^T|`` grows at most by ``exp(int sigma_1(s E))``, and that at most by what the level of imbalance allows."""
    U1, V, s, target = nets(3, 2, 8, seed=60)
    s, target, U2 = s.clamp(0.5, 1.5), 0.3 * target, normal(4, 8)
    start, integral, before, last = None, 0.0, 0.0, 0.0
    level = levels_of(U1, V).level
    most = s.amax(-1) * squares(error(U1, V, s, target)).sqrt() / (s.amin(-1) ** 2 * level)
    for t, U, W in trajectory(U1, V, s, target, 400, 0.1):
        pull = torch.linalg.matrix_norm(s[..., None] * error(U, W, s, target), 2)
        integral, before, last = integral + (t - before) * (pull + last) / 2, t, pull
        drift = (squares(W @ U2.mT) + squares(U @ U2.mT)).sqrt()
        start = drift if start is None else start
        assert (drift <= integral.exp() * start * (1 + 1e-6)).all()
    assert (integral <= most * (1 + 1e-6)).all() and (drift > 1.1 * start).any()


def test_random_init_bound_falls_with_the_width_and_with_what_may_fail():
    options = {"d": 60, "q": 3, "s": torch.ones(20, dtype=DOUBLE), "target": normal(20, 3)}
    at = [random_init_bound(m, 0.5, **options) for m in (10**4, 4 * 10**4)]
    assert at[0] / at[1] == pytest.approx(2, rel=1e-12)
    assert random_init_bound(10**4, 0.5, **options, delta=0.5) < at[0]


def test_smallest_width_written_down():
    one, tau = torch.ones(20, dtype=DOUBLE), math.sqrt(61) + math.sqrt(2 * math.log(40))
    assert smallest_width(0.5, d=60, q=1, s=one) == math.floor(16 * tau**2) + 1 == 1773
    assert smallest_width(0.4, d=60, q=1, s=one) == math.floor((16 * tau**2) ** (1 / 0.6)) + 1
    s = torch.tensor([3.0, 1.5], dtype=DOUBLE)  # max s^2 / min s^2 = 4, squared 16; times 4 q = 12
    tau = math.sqrt(13) + math.sqrt(2 * math.log(20))
    assert smallest_width(0.5, d=10, q=3, s=s, delta=0.1) == math.floor(12 * 16 * tau**2) + 1


@pytest.mark.parametrize("alpha", [0.25, 0.1, 0.51, 1.0, float("nan")])
def test_random_init_bound_refuses_what_the_theorem_does_not_cover(alpha):
    options = {"d": 6, "q": 1, "s": torch.ones(3, dtype=DOUBLE), "target": torch.ones(3, 1, dtype=DOUBLE)}
    with pytest.raises(ValueError, match=r"covers 1/4 < alpha <= 1/2; got alpha=.*use distance_law"):
        random_init_bound(10**9, alpha, **options)
    least = smallest_width(0.5, d=6, q=1, s=options["s"])
    assert random_init_bound(least, 0.5, **options) > 0
    with pytest.raises(ValueError, match=rf"alpha=0.5 the theorem covers widths from {least}; got m={least - 1}: widen"):
        random_init_bound(least - 1, 0.5, **options)
    for delta in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="delta is a probability strictly between 0 and 1; got"):
            random_init_bound(10**9, 0.5, **options, delta=delta)
