"""Figures: what is on the axes, not pixels. Predicted is dashed and black, measured solid and coloured."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from regimes.training import Trace
from regimes_course.kit import plotting as base
from regimes_course.kit import plotting as figures
from regimes_course.lesson01 import figures as lesson01

T = torch.arange(21)
RUNS = torch.tensor([0.90, 0.92, 0.97], dtype=torch.float64) ** T[:, None]  # (21 records, 3 runs)


@pytest.fixture
def ax():
    return figures.panels()[1][0]


def is_black(line):
    return to_hex(line.get_color()) == "#000000"


def has_markers(line):
    return line.get_marker() not in ("None", "")


def is_measured(line):
    coloured = not is_black(line) and to_hex(line.get_color()) != "#ffffff"
    return coloured and (line.get_linestyle() == "-" or has_markers(line))


def is_predicted(line):
    """Black, dashed; dotted for a second prediction beside it."""
    return is_black(line) and line.get_linestyle() in ("--", ":") and not has_markers(line)


def is_marks(line):
    """Black marks: single numbers that were given or predicted."""
    return is_black(line) and line.get_linestyle() == "None" and has_markers(line)


def is_level(line):
    """A constant to compare with: dotted or dash-dotted, coloured, without markers."""
    return line.get_linestyle() in (":", "-.") and not has_markers(line) and not is_black(line)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def trace(loss, lr=0.1, **measured):
    step = torch.arange(len(loss))
    return Trace(step, lr * step.double(), loss, measured)


def test_a_curve_is_the_median_in_a_band_from_the_smallest_to_the_largest_run(ax):
    assert figures.curve(ax, T, RUNS, "Gauss-Newton") is ax
    (line,), (band,) = ax.lines, ax.collections
    np.testing.assert_array_equal(line.get_xdata(), T)
    np.testing.assert_allclose(line.get_ydata(), RUNS[:, 1])
    y = band.get_paths()[0].vertices[:, 1]
    assert (y.min(), y.max()) == (RUNS[-1, 0].item(), 1.0)
    assert is_measured(line) and line.get_label() == "Gauss-Newton"
    assert (line.get_color(), line.get_marker()) == figures.LOOKS["Gauss-Newton"]


def test_a_curve_takes_run_axes_tensors_that_need_a_gradient_and_one_run(ax):
    figures.curve(ax, 0.1 * T[:, None, None].expand(21, 1, 3), RUNS[:, None].requires_grad_(), "x", look="lazy")
    figures.curve(ax, T, RUNS[:, 0].detach().numpy(), "y", color="#123456", marker="v")
    first, second = ax.lines
    np.testing.assert_allclose(first.get_xdata(), 0.1 * T)
    assert (first.get_label(), first.get_color(), first.get_marker()) == ("x", *figures.LOOKS["lazy"])
    assert (second.get_color(), second.get_marker(), len(ax.collections)) == ("#123456", "v", 1)


def test_a_prediction_is_dashed_black_and_above_the_measurement(ax):
    figures.curve(ax, T, RUNS, "measured")
    assert figures.predicted(ax, T, RUNS[:, 0]) is ax
    figures.predicted(ax, T, RUNS[:, 1], None)
    measured, theory, unnamed = ax.lines
    assert is_predicted(theory) and is_predicted(unnamed) and not is_predicted(measured)
    assert theory.get_label() == "predicted" and unnamed.get_label().startswith("_")
    assert theory.zorder > measured.zorder
    figures.legend(ax)
    assert labels(ax) == ["measured", "predicted"] and not ax.get_legend().get_frame_on()


def test_looks_differ_in_colour_and_in_marker_within_a_family():
    for family in (
        ("Gauss-Newton", "gradient descent", "damped Gauss-Newton"),
        ("feature learning", "lazy", "random features"),
    ):
        colours, markers = zip(*(figures.LOOKS[name] for name in family), strict=True)
        assert len(set(colours)) == len(set(markers)) == len(family)
    assert "#000000" not in {to_hex(colour) for colour, _ in figures.LOOKS.values()}  # black is for predictions


def test_eigenvalues_are_drawn_over_their_index_on_a_logarithmic_axis(ax):
    spectra = [torch.tensor([4.0, 2.0, 1.0]), torch.tensor([3.0, 0.5])]
    figures.eigenvalues(ax, spectra, ["κ = 1", "κ = 10"])
    assert ax.get_yscale() == "log" and "index" in ax.get_xlabel() and "eigenvalue" in ax.get_ylabel()
    for line, lam in zip(ax.lines, spectra, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(lam) + 1))
        np.testing.assert_array_equal(line.get_ydata(), lam)
    assert len({line.get_marker() for line in ax.lines}) == len({line.get_color() for line in ax.lines}) == 2


def test_panels_are_a_flat_array_of_the_size_asked():
    figure, axes = figures.panels(3, 2, size=(2.0, 1.5), sharey=True)
    assert len(axes) == 6 and [ax.figure for ax in axes] == [figure] * 6
    assert tuple(figure.get_size_inches()) == (6.0, 3.0)
    assert not axes[0].spines["top"].get_visible() and axes[0].get_shared_y_axes().joined(axes[0], axes[2])


def test_the_style_ends_with_its_context():
    before = dict(mpl.rcParams)
    with figures.style():
        assert mpl.rcParams["legend.frameon"] is False and mpl.rcParams["axes.spines.top"] is False
    figures.panels()
    assert dict(mpl.rcParams) == before
    assert base.STYLE.keys() <= before.keys()


# Lesson 01: three conditionings, two seeds.
KAPPA = torch.tensor([1.0, 10.0, 100.0])[:, None]
STRAYS = torch.tensor([1.0, 1.5, 2.0]).double()[:, None].expand(3, 2)  # how far each conditioning is from the law
RACES = {eta: trace(STRAYS ** (T > 0)[:, None, None] * (1 - eta) ** (2.0 * T)[:, None, None], eta) for eta in (0.02, 0.1)}
DESCENT = trace(torch.stack([torch.linspace(1, end, 101) for end in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], 1).reshape(101, 3, 2))
EPS = torch.logspace(-2, 4, 7)
ACCURACY = {"accuracy": 0.5 + 0.45 * (T / 20)[:, None].expand(21, 3)}


def spectra():
    lam = torch.logspace(0, -3, 8).expand(3, 2, 8)
    return lesson01.spectra(lam, KAPPA)


def modes():
    K = torch.diag(0.9 * torch.logspace(0, -2, 20, dtype=torch.float64))
    residual = ((1 - K.diagonal()) ** T[:, None]) * 3.0
    return lesson01.modes(K, residual, residual)


def race():
    return lesson01.race(RACES, DESCENT, KAPPA)


def damping():
    damped = trace(torch.exp(-1.5 * 0.1 * T)[:, None, None].expand(21, 3, 2))
    envelope = torch.exp(-2 * damped.time), torch.exp(-damped.time)
    return lesson01.damping(damped, envelope, EPS, 0.5 / EPS, 1 / EPS)


def images():
    runs = {"Gauss-Newton": trace(RUNS**4, **ACCURACY), "gradient descent": trace(RUNS, **ACCURACY)}
    return lesson01.images(runs, T, 0.9 ** (2.0 * T))


FIGURES = {f.__name__: f for f in (spectra, modes, race, damping, images)}


def test_spectra_show_the_first_seed_and_tell_of_all():
    lam = torch.stack([torch.tensor([[k, 1.0], [10 * k, 1.0]]) for k in (1.0, 10.0, 100.0)])
    figure, says = lesson01.spectra(lam, KAPPA)
    assert labels(figure.axes[0]) == ["κ = 1", "κ = 10", "κ = 100"]
    assert [line.get_ydata()[0] for line in figure.axes[0].lines] == [1, 10, 100]
    assert "1e+00 to 1e+03 in the 6 runs" in says


def test_modes_are_shares_of_their_own_start():
    K = torch.diag(torch.tensor([0.1, 0.9, 0.4, 0.05], dtype=torch.float64))  # largest first: 1, 2, 0, 3
    residual = torch.tensor([-2.0, 5.0, 8.0, 0.1], dtype=torch.float64) * (1 - K.diagonal()) ** T[:, None]
    theory = 1.01 * residual
    figure, says = lesson01.modes(K, residual, theory, indices=(1, 2, 3, 4))
    measured, predicted = figure.axes[0].lines[::2], figure.axes[0].lines[1::2]
    for m, p, rate in zip(measured, predicted, (0.1, 0.6, 0.9, 0.95), strict=True):
        np.testing.assert_allclose(m.get_ydata(), rate ** T.numpy(), rtol=1e-12)
        np.testing.assert_allclose(p.get_ydata(), 1.01 * rate ** T.numpy(), rtol=1e-12)
    assert labels(figure.axes[0]) == ["mode 1", "mode 2", "mode 3", "mode 4", "predicted"]
    assert f"After 20 steps {0.95**20:.2g} of mode 4 is left" in says


def test_a_race_has_a_panel_a_conditioning_with_its_own_runs():
    figure, says = race()
    assert [ax.get_title() for ax in figure.axes] == ["κ = 1", "κ = 10", "κ = 100"]
    assert labels(figure.axes[0]) == ["gradient descent", "GN, η = 0.02", "GN, η = 0.1", "predicted"]
    for i, ax in enumerate(figure.axes):
        descent, slow, slow_theory, fast, fast_theory = ax.lines
        np.testing.assert_allclose(descent.get_ydata(), DESCENT.loss[:, i].mean(-1), rtol=1e-6)
        for line, theory, eta in ((slow, slow_theory, 0.02), (fast, fast_theory, 0.1)):
            np.testing.assert_allclose(theory.get_ydata(), (1 - eta) ** (2 * np.arange(21)), rtol=1e-5)
            np.testing.assert_allclose(line.get_ydata()[1:], STRAYS[i, 0].item() * theory.get_ydata()[1:], rtol=1e-5)
        assert ax.get_xlim() == (0, 100) and ax.get_yscale() == "log"
    assert "After 100 steps it has 0.1 to 0.2 of its loss left at κ = 1, and 0.5 to 0.6 at κ = 100." in says


def test_the_damping_figure_draws_both_bounds_and_the_gradient_limit():
    figure, says = damping()
    left, right = figure.axes
    assert labels(left) == ["damped Gauss-Newton", "predicted envelope"]
    assert labels(right)[0] == "measured" and "bound" in labels(right)[1]
    loss, low, high = (line.get_ydata() for line in left.lines)
    assert (low <= loss).all() and (loss <= high).all() and (low < high)[1:].all()
    np.testing.assert_allclose(right.lines[0].get_xdata(), EPS)
    np.testing.assert_allclose(right.lines[0].get_ydata(), 0.5 / EPS)
    np.testing.assert_allclose(right.lines[1].get_ydata(), 1 / EPS)
    assert "the 6 losses stay in the envelope; at time 2 they are 5.0e-02 of the start" in says


def test_the_images_figure_tells_both_accuracies():
    figure, says = images()
    left, right = figure.axes
    assert labels(left) == ["Gauss-Newton", "gradient descent", "predicted"]
    np.testing.assert_allclose(left.lines[0].get_ydata(), RUNS[:, 1] ** 4)
    np.testing.assert_allclose(right.lines[1].get_ydata(), ACCURACY["accuracy"][:, 0])
    np.testing.assert_allclose(left.lines[2].get_ydata(), 0.9 ** (2.0 * T))
    assert "Gauss-Newton on its dashed prediction; after 20 steps gradient descent has 0.12 to 0.54 of its loss left" in says
    assert "Gauss-Newton 0.950 and gradient descent 0.950" in says


def test_ticks_of_a_step_axis_do_not_pass_its_end():
    ticks = SimpleNamespace(**{name: figures.panels()[1][0] for name in ("short", "long")})
    base.step_axis(ticks.short, torch.arange(61))
    base.step_axis(ticks.long, torch.arange(2001))
    assert list(ticks.short.get_xticks()) == [0, 5, 10] and ticks.short.get_xlim() == (0, 60)
    assert list(ticks.long.get_xticks()) == [0, 5, 10, 100, 1000]


@pytest.mark.parametrize("wanted", [{"font.family": "No Such Font"}, {"font.sans-serif": ["No Such Font"]}])
def test_a_font_that_is_not_installed_is_not_asked_for(wanted, caplog):
    with mpl.rc_context(wanted):
        figures.installed_font()
        figure, axes = figures.panels()
        axes[0].set(title="words", xlabel=r"$\lambda$")
        figure.canvas.draw()
    assert not caplog.records


def test_a_font_that_is_installed_stays():
    with mpl.rc_context({"font.family": "DejaVu Serif"}):
        figures.installed_font()
        assert mpl.rcParams["font.family"] == ["DejaVu Serif"]
