"""What lessons are made with: checks, widgets, figures, the ledger of claims, the parts of a page."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

if missing := [name for name in ("IPython", "PIL", "anywidget", "matplotlib", "nbformat") if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"The course needs more than the library: {', '.join(missing)}. To install what is missing: "
        f'"{sys.executable}" -m pip install "regimes[course]"'
    )

_HOME = {  # what a page takes from here by one line; each name is loaded when it is first asked for
    "Ledger": "ledger",
    "at_scale": "page",
    "digits3": "words",
    "evidence": "stored",
    "guess": "page",
    "median": "words",
    "seeds": "page",
    "show": "page",
    "span": "words",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """The names of a page, from the modules where they stand."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
