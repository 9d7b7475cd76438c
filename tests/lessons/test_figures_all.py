"""What every figure of every lesson promises: a picture that can be read and a sentence with its numbers.

The modules named test_figures_lesson... hold the data and ask what is particular: where the numbers stand.
"""

import re
import sys
from functools import cache
from inspect import isfunction, signature

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from regimes_course.lesson00 import figures as lesson00
from regimes_course.lesson01 import figures as lesson01
from regimes_course.lesson02 import figures as lesson02
from regimes_course.lesson03 import figures as lesson03
from regimes_course.lesson04 import figures as lesson04
from regimes_course.lesson05 import figures as lesson05
from regimes_course.lesson06 import figures as lesson06
from regimes_course.lesson07 import figures as lesson07
from regimes_course.lesson08 import figures as lesson08
from regimes_course.lesson09 import figures as lesson09
from tests.kit.test_plotting import is_black, is_level, is_marks, is_measured, is_predicted, labels
from tests.lessons.lesson00 import test_figures_lesson00
from tests.lessons.lesson01 import test_figures_lesson01
from tests.lessons.lesson02 import test_figures_lesson02
from tests.lessons.lesson03 import test_figures_lesson03
from tests.lessons.lesson04 import test_figures_lesson04
from tests.lessons.lesson05 import test_figures_lesson05
from tests.lessons.lesson06 import test_figures_lesson06
from tests.lessons.lesson07 import test_figures_lesson07
from tests.lessons.lesson08 import test_figures_lesson08
from tests.lessons.lesson09 import test_figures_lesson09

LESSONS = (lesson00, lesson01, lesson02, lesson03, lesson04, lesson05, lesson06, lesson07, lesson08, lesson09)
DATA = {
    "00": test_figures_lesson00.FIGURES,
    "01": test_figures_lesson01.FIGURES,
    "02": test_figures_lesson02.FIGURES,
    "03": test_figures_lesson03.FIGURES,
    "04": test_figures_lesson04.FIGURES,
    "05": test_figures_lesson05.FIGURES,
    "06": test_figures_lesson06.FIGURES,
    "07": test_figures_lesson07.FIGURES,
    "08": test_figures_lesson08.FIGURES,
    "09": test_figures_lesson09.FIGURES,
}
WITH_SENTENCES = (
    test_figures_lesson00,
    test_figures_lesson02,
    test_figures_lesson04,
    test_figures_lesson05,
    test_figures_lesson06,
    test_figures_lesson09,
)
NAMES = [f"{lesson}/{name}" for lesson, figures in DATA.items() for name in figures]
WITHOUT_THEORY = {
    "00/widths",
    "01/spectra",
    "03/phases",
    "03/witness",
    "05/starts",
    "05/floors",
    "05/limits",
    "05/left_over",
    "05/rest",
    "05/two_starts",
    "05/noise",
    "07/block",
    "07/chosen",
    "07/matched",
    "09/curves",
}
ONE_COLOUR_A_METHOD = {"01/race"}  # Gauss-Newton at two steps
TWO_OUTCOMES = {"03/narrow"}  # its runs are many: those that are stuck are dashed, in orange
WITHOUT_LEGEND = {
    "00/climb",
    "00/widths",
    "01/hero",
    "01/circle",
    "01/newtons_plane",
    "02/narrow",
    "02/starts",
    "03/hero",
    "04/conditions",
    "04/adam",
    "05/hero",
    "05/two_starts",
    "05/noise",
    "06/hero",
    "06/two_scalings",
    "07/exactness",
    "07/block",
    "07/matched",
    "07/next_batch",
    "08/hero",
    "08/pushed",
    "08/central",
    "08/breaks",
    "09/curves",
}  # the sentence, the names at the axis or a legend of the figure say what is what

every = pytest.mark.parametrize("name", NAMES)


@cache
def made(name):
    lesson, which = name.split("/")
    figure, says = DATA[lesson][which]()
    figure.canvas.draw()  # what cannot be drawn fails here, not in the lesson
    return figure, says


def drawn(ax):
    """The lines with data; of a legend's sample, which has none, nothing is asked."""
    return [line for line in ax.lines if len(line.get_xdata())]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.__name__.split(".")[1][-2:])
def test_every_function_that_makes_a_figure_is_here(lesson):
    functions = {name: f for name in lesson.__all__ if isfunction(f := getattr(lesson, name))}
    makers = {name for name, f in functions.items() if signature(f).return_annotation == tuple[Figure, str]}
    assert makers == set(DATA[lesson.__name__.split(".")[1][-2:]])


@every
def test_the_sentence_is_one_and_carries_numbers(name):
    says = made(name)[1]
    assert re.search(r"\d", says) and says.rstrip(")").endswith(".") and len(says.split()) > 10
    assert not re.search(r"\b(nan|inf|tensor)\b", says)


@every
def test_panels_are_named_and_legible(name):
    figure = made(name)[0]
    assert isinstance(figure, Figure) and figure.get_size_inches().max() <= 11.5
    for ax in figure.axes:
        place, named = (
            ax.get_subplotspec(),
            [any(map(is_name, ticks)) for ticks in (ax.get_xticklabels(), ax.get_yticklabels())],
        )
        assert ax.get_xlabel() or named[0] or not (place and place.is_last_row())
        assert ax.get_ylabel() or ax.get_title() or named[1] or not (place and place.is_first_col())
        assert ax.get_xlabel() or ax.get_ylabel() or ax.get_title() or any(named)
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    legends = [labels(ax) for ax in figure.axes if ax.get_legend()]
    assert (legends and min(map(len, legends)) >= 2) or name in WITHOUT_LEGEND


def is_name(tick):
    return re.match("[A-Za-z]{2}", tick.get_text())


@every
def test_all_that_is_drawn_can_be_seen(name):
    for ax in made(name)[0].axes:
        for line in drawn(ax):
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            assert np.isfinite(x).all() and np.isfinite(y).all()
            assert ax.get_yscale() == "linear" or (y > 0).all() or line.get_transform() != ax.transData
        assert all(np.isfinite(path.vertices).all() for band in ax.collections for path in band.get_paths())


@every
def test_a_line_is_measured_or_predicted_or_a_level(name):
    lines = [line for ax in made(name)[0].axes for line in drawn(ax)]
    for line in lines:
        kinds = [kind(line) for kind in (is_measured, is_predicted, is_level, is_marks)]
        assert sum(kinds) == 1 or (name in TWO_OUTCOMES and not is_black(line)), line
    assert any(map(is_measured, lines))
    assert any(is_predicted(line) or is_marks(line) for line in lines) == (name not in WITHOUT_THEORY)
    assert not any("predicted" in str(line.get_label()) for line in lines if is_measured(line))


@every
def test_the_series_of_a_panel_differ_in_colour_and_in_marker(name):
    for ax in made(name)[0].axes:
        series = {str(line.get_label()): line for line in drawn(ax) if is_measured(line)}
        looks = [(s.get_color(), s.get_marker()) for label, s in series.items() if not label.startswith("_")]
        markers = [marker for _, marker in looks if marker != "None"]
        assert len(set(looks)) == len(looks) and len(set(markers)) == len(markers)
        assert len({colour for colour, _ in looks}) == len(looks) or name in ONE_COLOUR_A_METHOD


@every
def test_pyplot_keeps_nothing(name):
    assert made(name)[0].canvas.manager is None
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []


SAYS = {maker: words for module in WITH_SENTENCES for maker, words in module.SAYS.items()}


@pytest.mark.parametrize("maker", SAYS, ids=lambda maker: maker.__name__)
def test_the_sentence_has_the_numbers_of_the_data(maker):
    says = maker()[1]
    assert [words for words in SAYS[maker] if words not in says] == []


def test_every_sentence_is_compared_here_or_where_its_figure_is():
    here = {maker for lesson in ("00", "02", "04", "05", "06", "09") for maker in DATA[lesson].values()}
    assert here == set(SAYS)
