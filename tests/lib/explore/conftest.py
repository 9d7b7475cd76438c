"""Every test file of a widget finds the visited positions of its widget in ``grid``."""

from importlib import import_module

import pytest
from moves import visit


@pytest.fixture(scope="module")
def grid(request):
    """All visited positions of the widget whose tests these are."""
    return visit(import_module(f"regimes.explore.{request.module.__name__.removeprefix('test_')}"))
