"""Every test file of a widget finds the visited positions of its widget in ``grid``."""

import pytest

from tests.lessons.moves import NAMES, visit


@pytest.fixture(scope="module")
def grid(request):
    """All visited positions of the widget whose tests these are."""
    own = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    return visit(next(widget for widget, name in NAMES.items() if name == own))
