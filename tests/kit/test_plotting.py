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
