"""Every test file of a widget finds the visited positions of its widget in ``grid``."""

import pytest
from tests.lessons.moves import WIDGETS, name, visit


@pytest.fixture(scope="module")
def grid(request):
    """All visited positions of the widget whose tests these are."""
    own = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    return visit(next(module for module in WIDGETS if name(module) == own))
