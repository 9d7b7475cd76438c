"""The ODE of one-pass SGD: right-hand sides against explicit loops, solutions against another integrator, its fixed points."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from regimes.theory.online_sgd import coefficients, covariance, drift, integrate, noise, risk, second_moment
from regimes.theory.sgd_phases import start_risk, unspecialised_plateau
from regimes.theory.symmetric_committee import escape_time, integrate_symmetric, natural_path
from tests.lib.overlap_cases import drift_by_loops, fields, i2, noise_by_loops, start


def pairs(p):
    return np.triu_indices(p)


def full_noise(omega, c, p, label_noise):
    """``N`` as a matrix."""
    i, j = pairs(p)
    N = np.empty((*omega.shape[:-2], p, p))
    N[..., i, j] = N[..., j, i] = noise(omega, c, i, j, label_noise)
    return N


@pytest.mark.parametrize(("p", "k"), [(3, 2), (1, 4), (4, 1)])
def test_drift_and_noise_are_sums_of_integrals(p, k):
    omega, c = fields(p, k, seed=p), coefficients(p, k)
    np.testing.assert_allclose(drift(omega, c, p), drift_by_loops(omega, c, p), rtol=0, atol=1e-15)
    np.testing.assert_allclose(full_noise(omega, c, p, 0.3), noise_by_loops(omega, c, p, 0.3), rtol=0, atol=1e-15)
    total = sum(c[a] * c[b] * i2(omega, a, b) for a in range(p + k) for b in range(p + k))
    assert second_moment(omega, c) == pytest.approx(total, abs=1e-15)
    assert risk(omega, c) == pytest.approx(total / 2, abs=1e-15)


def test_coefficients_and_covariance():
    assert coefficients(2, 4).tolist() == [-0.5, -0.5, 0.25, 0.25, 0.25, 0.25]
    (Q, M), P = start(3, 2), fields(0, 2)
    omega = covariance(Q, M, P)
    assert (omega[:3, :3] == Q).all() and (omega[:3, 3:] == M).all() and (omega[3:, :3] == M.T).all()
    assert (omega[3:, 3:] == P).all()


def test_leading_axes_are_states_of_their_own():
    Q, M = (np.stack(a) for a in zip(*(start(3, 2, seed) for seed in (1, 2)), strict=True))
    omega, c = covariance(Q, M, np.eye(2)), coefficients(3, 2)
    for b in range(2):
        one = covariance(Q[b], M[b], np.eye(2))
        np.testing.assert_allclose(drift(omega, c, 3)[b], drift(one, c, 3), rtol=0, atol=1e-16)
        np.testing.assert_allclose(full_noise(omega, c, 3, 0.2)[b], full_noise(one, c, 3, 0.2), rtol=0, atol=1e-16)
        assert risk(omega, c)[b] == pytest.approx(risk(one, c), abs=1e-16)


def test_units_may_be_reordered():
    omega, c, order = fields(4, 2), coefficients(4, 2), np.array([2, 0, 3, 1, 4, 5])
    moved = omega[np.ix_(order, order)]
    np.testing.assert_allclose(drift(moved, c, 4), drift(omega, c, 4)[np.ix_(order[:4], order)], rtol=0, atol=1e-16)
    N = full_noise(omega, c, 4, 0.1)
    np.testing.assert_allclose(full_noise(moved, c, 4, 0.1), N[np.ix_(order[:4], order[:4])], rtol=0, atol=1e-16)


@pytest.mark.parametrize("k", [2, 5])
def test_at_the_solution_nothing_moves_but_by_label_noise(k):
    omega, c = covariance(np.eye(k), np.eye(k), np.eye(k)), coefficients(k, k)
    assert np.abs(drift(omega, c, k)).max() < 1e-16 and np.abs(full_noise(omega, c, k, 0.0)).max() < 1e-16
    assert risk(omega, c) == 0
    N = full_noise(omega, c, k, 1.0)
    np.testing.assert_allclose(np.diag(N), 0.3675526, atol=5e-8)
    np.testing.assert_allclose(N[~np.eye(k, dtype=bool)], 1 / np.pi, atol=1e-15)


@pytest.mark.parametrize(("p", "k"), [(8, 4), (3, 5)])
def test_risk_of_orthogonal_unit_vectors(p, k):
    omega = covariance(np.eye(p), np.zeros((p, k)), np.eye(k))
    assert risk(omega, coefficients(p, k)) == pytest.approx(start_risk(p, k), abs=1e-16)


def by_loops(Q, M, P, time, eta, label_noise, both=True):
    """The same ODE integrated by DOP853 over whole matrices, with the right-hand side of the loops."""
    (p, k), c = M.shape, coefficients(*M.shape)

    def rhs(_, y):
        omega = covariance(y[: p * p].reshape(p, p), y[p * p :].reshape(p, k), P)
        J, N = drift_by_loops(omega, c, p), noise_by_loops(omega, c, p, label_noise) if both else 0.0
        return np.concatenate([(J[:, :p] + J[:, :p].T + eta * N).ravel(), J[:, p:].ravel()])

    y = solve_ivp(
        rhs, (0, time[-1]), np.concatenate([Q.ravel(), M.ravel()]), method="DOP853", t_eval=time, rtol=1e-8, atol=1e-11
    ).y.T
    return y[:, : p * p].reshape(-1, p, p), y[:, p * p :].reshape(-1, p, k)


@pytest.mark.parametrize("keep", ["both", "drift"])
def test_solution_is_that_of_another_integrator(keep):
    omega, time = fields(2, 2, seed=4), np.array([0.0, 0.7, 3.0])
    Q, M, P = omega[:2, :2], omega[:2, 2:], omega[2:, 2:]
    path = integrate(Q, M, time, eta=1.3, label_noise=0.2, P=P, keep=keep, rtol=1e-9)
    wanted = by_loops(Q, M, P, time, 1.3, 0.2, both=keep == "both")
    np.testing.assert_allclose(path.Q, wanted[0], rtol=0, atol=2e-8)
    np.testing.assert_allclose(path.M, wanted[1], rtol=0, atol=2e-8)
    assert (path.time == time).all() and (path.Q == np.swapaxes(path.Q, 1, 2)).all()
    omega = [covariance(q, m, P) for q, m in zip(*wanted, strict=True)]
    np.testing.assert_allclose(path.risk, [risk(o, coefficients(2, 2)) for o in omega], rtol=0, atol=1e-8)


def test_noise_alone_freezes_the_overlaps_with_the_teacher():
    Q, M = start(4, 2, seed=5)
    time = np.array([0.0, 0.5, 20.0])
    path = integrate(Q, M, time, eta=2.0, label_noise=0.1, keep="noise")
    assert (path.M == M).all() and path.Q[-1, 0, 0] > 2 * Q[0, 0]
    half = integrate(Q, M, 2 * time, eta=1.0, label_noise=0.1, keep="noise")
    np.testing.assert_allclose(path.Q, half.Q, rtol=1e-5)  # its natural time is eta t


@pytest.mark.parametrize(("eta", "keep", "time_scale"), [(1e-4, "drift", 1.0), (1e4, "noise", 1e-4)])
def test_either_limit_is_approached(eta, keep, time_scale):
    Q, M = start(3, 2, seed=6)
    time = time_scale * np.array([0.0, 1.0, 5.0])
    both, limit = (integrate(Q, M, time, eta=eta, label_noise=0.1, keep=k) for k in ("both", keep))
    np.testing.assert_allclose(both.Q, limit.Q, rtol=0, atol=2e-3)
    np.testing.assert_allclose(both.M, limit.M, rtol=0, atol=2e-3)


@pytest.mark.parametrize("k", [2, 4])
def test_one_unit_ends_on_the_unspecialised_plateau(k):
    path = integrate(np.eye(1), np.full((1, k), 0.15), np.array([0.0, 3000.0]), eta=1.0, keep="drift", symmetric="allow")
    assert path.risk[-1] == pytest.approx(unspecialised_plateau(k), abs=1e-11)
    assert path.Q[-1, 0, 0] == pytest.approx(1 / (2 * k - 1), rel=1e-5)
    np.testing.assert_allclose(path.M[-1], (k * (2 * k - 1)) ** -0.5, rtol=1e-5)


def test_a_symmetric_start_stays_on_the_plateau_and_is_refused():
    p, k, time = 3, 2, np.array([0.0, 300.0])
    for M in (np.zeros((p, k)), np.full((p, k), 0.2)):
        with pytest.raises(ValueError, match=r'never\s+leaves the unspecialised plateau.*symmetric="allow"'):
            integrate(np.eye(p), M, time, eta=1.0)
        stuck = integrate(np.eye(p), M, time, eta=0.1, symmetric="allow")
        assert np.ptp(stuck.M, axis=-1).max() < 1e-6
        assert stuck.risk[-1] > 0.9 * unspecialised_plateau(k)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Q": np.eye(2)}, r"for M of shape \(p, k\) = \(3, 2\)"),
        ({"P": np.eye(3)}, r"got \(3, 3\) and \(3, 3\)"),
        ({"eta": -1.0}, "eta >= 0"),
        ({"label_noise": -1e-3}, "label_noise >= 0"),
        ({"keep": "all"}, "keep in"),
        ({"M": 2 * np.eye(3)[:, :2]}, "no units have these overlaps"),
    ],
)
def test_bad_input(change, message):
    arguments = {"Q": np.eye(3), "M": 0.3 * np.eye(3)[:, :2], "time": [0.0, 1.0], "eta": 1.0} | change
    with pytest.raises(ValueError, match=message):
        integrate(**arguments)


def test_overlaps_may_lose_positivity_by_rounding():
    A = np.eye(3)[:, :2] * 1.0
    A[2] = 0.6, -0.8  # all three units in the span of the teacher: the covariance is singular
    assert integrate(A @ A.T - 1e-12 * np.eye(3), A, [0.0, 0.1], eta=1.0).risk[-1] > 0


def test_an_integrator_that_gives_up_says_when(monkeypatch):
    given_up = SimpleNamespace(success=False, message="Excess work done.")
    monkeypatch.setattr("regimes.theory.online_sgd.solve_ivp", lambda *args, **options: given_up)
    with pytest.raises(RuntimeError, match="the integrator stopped before t = 7: Excess work done"):
        integrate(*start(2, 2), [0.0, 7.0], eta=1.0)


def test_overlaps_lost_to_rounding_are_told(monkeypatch):
    lost = SimpleNamespace(success=True, t=np.array([0.0, 2.0, 7.0]), y=np.array([[1.0, np.nan, np.nan]] * 7))
    monkeypatch.setattr("regimes.theory.online_sgd.solve_ivp", lambda *args, **options: lost)
    with pytest.raises(RuntimeError, match="overlaps that no units have, before t = 2"):
        integrate(*start(2, 2), [0.0, 2.0, 7.0], eta=1.0)


def spread(K, k, q, c, e, m, n):
    """The full overlaps of equal groups."""
    group = np.repeat(np.arange(k), K)
    Q = np.where(group[:, None] == group, c, e) + (q - c) * np.eye(K * k)
    return Q, np.where(group[:, None] == np.arange(k), m, n)


FIVE = (1.1, 0.3, -0.1, 0.35, 0.1)


@pytest.mark.parametrize(("K", "k"), [(1, 2), (1, 3), (2, 2), (3, 2), (2, 3)])
def test_groups_follow_the_full_equations(K, k):
    time, options = np.array([0.0, 0.3, 2.0, 15.0]), {"eta": 1.2, "label_noise": 0.05, "rtol": 1e-9}
    five = integrate_symmetric(k, K, time, start=FIVE, **options)
    full = integrate(*spread(K, k, *FIVE), time, **options)
    np.testing.assert_allclose(five.risk, full.risk, rtol=1e-6)
    np.testing.assert_allclose(five.q, full.Q[:, 0, 0], atol=1e-7)
    np.testing.assert_allclose(five.e, full.Q[:, 0, -1], atol=1e-7)
    np.testing.assert_allclose(five.m, full.M[:, 0, 0], atol=1e-7)
    np.testing.assert_allclose(five.n, full.M[:, 0, -1], atol=1e-7)
    if K > 1:
        np.testing.assert_allclose(five.c, full.Q[:, 0, 1], atol=1e-7)


@pytest.mark.parametrize("keep", ["drift", "noise"])
def test_groups_follow_either_term(keep):
    time = np.array([0.0, 1.0, 6.0])
    five = integrate_symmetric(3, 2, time, eta=0.8, label_noise=0.05, start=FIVE, keep=keep)
    full = integrate(*spread(2, 3, *FIVE), time, eta=0.8, label_noise=0.05, keep=keep)
    np.testing.assert_allclose(five.risk, full.risk, rtol=1e-4)


def test_group_sizes_interpolate():
    time, options = np.array([0.0, 1.0, 8.0]), {"eta": 1.0, "label_noise": 0.02, "start": FIVE}
    low, middle, high = (integrate_symmetric(2, K, time, **options).risk for K in (2.0, 2.001, 2.002))
    np.testing.assert_allclose(middle, (low + high) / 2, rtol=1e-5)
    assert (np.abs(high - low) < 1e-3 * low)[1:].all()
    wide, wider = (integrate_symmetric(2, K, time, **options).risk for K in (1e6, 1e9))
    np.testing.assert_allclose(wide, wider, rtol=1e-4)


@pytest.mark.parametrize(("kappa", "delta"), [(0.0, 0.0), (0.25, 0.25), (0.5, -0.75)])
def test_a_point_of_the_phase_diagram_in_its_natural_time(kappa, delta):
    d, time = 1e4, np.array([0.0, 1.0, 30.0])
    path = natural_path(kappa, delta, d, time, k=3, students=2.0, label_noise=0.01, rtol=1e-8)
    eta = d ** -(kappa + delta)
    steps = [t * d ** (1 + kappa + delta) if kappa + delta >= 0 else t * d ** (1 + 2 * (kappa + delta)) for t in time]
    same = integrate_symmetric(
        3, 2 * d**kappa, eta / d * np.array(steps), eta=eta, label_noise=0.01, start=(1, 0, 0, 0.01, 0), rtol=1e-8
    )
    np.testing.assert_allclose(path.risk, same.risk, rtol=1e-6)
    assert (path.time == time).all() and path.m[0] - path.n[0] == d**-0.5


def test_time_of_escape_is_where_the_flow_leaves_the_plateau():
    p, k, d = 4, 2, 1e3
    time = escape_time(d, p, k)
    five = (1.0, 0.0, 0.0, d**-0.5, 0.0)
    path = integrate(*spread(p // k, k, *five), np.array([0.0, 0.99 * time, 1.01 * time]), eta=1.0, keep="drift", rtol=1e-9)
    assert path.risk[2] < unspecialised_plateau(k) / 2 < path.risk[1]
    assert escape_time(1e5, p, k) - escape_time(1e4, p, k) == pytest.approx(
        escape_time(1e6, p, k) - escape_time(1e5, p, k), rel=0.1
    )
    with pytest.raises(ValueError, match="got p=5, k=2"):
        escape_time(d, 5, 2)


@pytest.mark.parametrize(
    ("k", "students", "begin", "message"),
    [
        (1, 2.0, FIVE, "at least one student"),
        (2, 0.5, FIVE, "k >= 2"),
        (2, 2.0, (1.0, 0.0, 0.0, 0.2, 0.2), "never specialise"),
    ],
)
def test_groups_refuse(k, students, begin, message):
    with pytest.raises(ValueError, match=message):
        integrate_symmetric(k, students, [0.0, 1.0], eta=1.0, start=begin)
