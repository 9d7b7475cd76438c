"""Pages of the library, one a module, from its docstrings."""

import pkgutil
from importlib import import_module

import regimes

INSIDE = ("regimes.arguments", "regimes.data", "regimes.guard", "regimes.seeds")  # what users of the library do not call
INDEX = """\
The library
===========

.. automodule:: regimes
   :no-members:

Its modules
-----------

.. list-table::
   :widths: 30 70

{rows}

.. toctree::
   :hidden:

{entries}
"""
PAGE = """\
{name}
{line}

.. automodule:: {name}
   :members:
   :exclude-members: {elsewhere}
   :show-inheritance:
"""


def modules() -> dict[str, str]:
    """Name and first line of every module with public names; of a package that gathers its modules' names, the package."""
    found, gathered = {}, set()
    for module in pkgutil.walk_packages(regimes.__path__, "regimes."):
        if module.name in INSIDE or module.name.rpartition(".")[0] in gathered:
            continue
        loaded = import_module(module.name)
        if getattr(loaded, "__all__", ()):
            found[module.name] = (loaded.__doc__ or "").strip().splitlines()[0]
            if module.ispkg:
                gathered.add(module.name)
    return found


def pages() -> dict[str, str]:
    """The text of the pages, by the path of each in the book."""
    found = modules()
    rows = "\n".join(f"   * - :doc:`{name}`\n     - {says}" for name, says in found.items())
    entries = "\n".join(f"   {name}" for name in found)
    made = {f"api/{name}.rst": _page(name, found) for name in found}
    return {"api/index.rst": INDEX.format(rows=rows, entries=entries), **made}


def _page(name: str, found: dict[str, str]) -> str:
    """The page of a module, without the names that it has from another: they stand on the page of that one."""
    module = import_module(name)
    homes = {one: getattr(getattr(module, one), "__module__", name) for one in module.__all__}
    elsewhere = sorted(one for one, home in homes.items() if home != name and home in found)
    return PAGE.format(name=name, line="=" * len(name), elsewhere=", ".join(elsewhere))
