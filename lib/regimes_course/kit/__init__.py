"""What lessons are made with: checks, widgets, figures, the ledger of claims, the parts of a page."""

import sys
from importlib.util import find_spec

if missing := [name for name in ("IPython", "PIL", "anywidget", "matplotlib", "nbformat") if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"The course needs more than the library: {', '.join(missing)}. To install what is missing: "
        f'"{sys.executable}" -m pip install "regimes[course]"'
    )
