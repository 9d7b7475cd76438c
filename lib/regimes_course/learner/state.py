"""The variables of a kernel on disk: `paper` has them written after each cell, so that a killed run goes on from there."""

import importlib
import marshal
import os
import pickle
import random
import re
import sys
from pathlib import Path
from types import CellType, FunctionType, ModuleType

import numpy as np
import torch
from IPython import get_ipython

HISTORY = re.compile(r"_+|_i*\d*|_[doi]h")  # what IPython remembers of earlier cells
DRESS = ("__defaults__", "__kwdefaults__", "__qualname__", "__module__", "__dict__")


def save(path: str) -> None:
    """Write the variables of the kernel that this runs in, and its random states, in one move.

    All are written together, so that what was one object stays one. Raises whatever pickle does when one cannot be written.
    """
    shell = get_ipython()
    shown = {name: value for name, value in shell.user_ns.items() if not HISTORY.fullmatch(name)}
    mine = {name: value for name, value in shown.items() if shell.user_ns_hidden.get(name) is not value}
    randoms = torch.get_rng_state(), np.random.get_state(), random.getstate()
    draft = Path(path).with_name("draft")  # one name: of those that fail only the last is left
    with draft.open("wb") as file:
        torch.save((mine, randoms, shell.execution_count), file, pickle_module=sys.modules[__name__])
    os.replace(draft, path)


def load(path: str) -> None:
    """Make the variables of this kernel what they were when `path` was written; changes nothing if it raises."""
    shell = get_ipython()
    mine, randoms, shell.execution_count = torch.load(path, weights_only=False)
    shell.user_ns.update(mine)
    for put, state in zip((torch.set_rng_state, np.random.set_state, random.setstate), randoms, strict=True):
        put(state)


class Pickler(pickle.Pickler):
    """Writes also modules and what has no name to import it by: the functions of a notebook, inner functions, lambdas."""

    def reducer_override(self, thing):
        """How to make the thing again; NotImplemented for all that pickle can write itself."""
        if isinstance(thing, ModuleType):
            return importlib.import_module, (thing.__name__,)
        if isinstance(thing, type) and thing.__module__ == "__main__":
            raise pickle.PicklingError(f"the class {thing.__qualname__} is defined in the notebook")
        if isinstance(thing, CellType):
            return _cell, (), *((thing.cell_contents, None, None, _fill) if thing != CellType() else ())
        if isinstance(thing, FunctionType) and not _importable(thing):
            code = marshal.dumps(thing.__code__)
            dress = {name: getattr(thing, name) for name in DRESS}
            return _function, (code, thing.__globals__["__name__"], thing.__closure__), dress, None, None, _dress
        return NotImplemented


def _importable(function: FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    return function.__module__ != "__main__" and getattr(module, function.__qualname__, None) is function


def _function(code: bytes, module: str, closure: tuple | None) -> FunctionType:
    """The function in its module, whose variables it sees as they change: in a notebook, those of the later cells too."""
    return FunctionType(marshal.loads(code), vars(importlib.import_module(module)), closure=closure)


def _dress(function: FunctionType, dress: dict) -> None:
    for name, value in dress.items():
        setattr(function, name, value)


def _cell() -> CellType:
    return CellType()  # which pickle does not find under its name


def _fill(cell: CellType, contents) -> None:
    cell.cell_contents = contents
