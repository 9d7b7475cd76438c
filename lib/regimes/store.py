"""Finished work on disk: looked up by what it was made from, written atomically, checked when it is read."""

import dis
import hashlib
import io
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CellType, CodeType, EllipsisType, FunctionType, ModuleType, NoneType

import numpy as np
import torch
from torch import Tensor

__all__ = ["Store", "NoFingerprint", "fingerprint", "library"]

PLAIN = {NoneType, EllipsisType, bool, int, float, complex, str, bytes}
INSTALLED = {"site-packages", "dist-packages"}
CODE = ("code", "consts", "names", "varnames", "freevars", "cellvars", "argcount", "kwonlyargcount", "flags", "exceptiontable")


class NoFingerprint(ValueError):
    """Something has no fingerprint, because its contents cannot be read: a generator, an open file, a lock."""


@dataclass(frozen=True)
class Store:
    """A folder of results, each under the fingerprint of what it was made from. Many processes may share it."""

    folder: Path

    def load(self, key: str) -> dict | list | None:
        """What was saved under ``key``; ``None`` if nothing was, or if the file is damaged."""
        try:
            seal, packed = (self.folder / f"{key}.pt").read_bytes().split(b"\n", 1)
            whole = seal.decode() == hashlib.sha256(packed).hexdigest()
            return torch.load(io.BytesIO(packed), "cpu", weights_only=True) if whole else None
        except Exception:  # torch raises half a dozen types for what it cannot read
            return None

    def save(self, key: str, value: dict | list) -> None:
        """Keep ``value``, made of tensors, numbers, text, lists and dictionaries. After a kill the file is whole or absent."""
        packed = io.BytesIO()
        torch.save(value, packed)
        self.folder.mkdir(parents=True, exist_ok=True)
        draft, name = tempfile.mkstemp(".draft", dir=self.folder)
        with os.fdopen(draft, "wb") as file:
            file.write(hashlib.sha256(packed.getbuffer()).hexdigest().encode() + b"\n")
            file.write(packed.getbuffer())
        os.replace(name, self.folder / f"{key}.pt")


@cache
def library(*beside: Path) -> str:
    """The version of this library and of the arithmetic below it: any change of their sources makes another one.

    So does one of the packages in the folders ``beside`` it.
    """
    folders = (Path(__file__).parent, *beside)
    sources = [file.read_bytes() for folder in folders for file in sorted(folder.rglob("*.py"))]
    return fingerprint(sources, torch.__version__, np.__version__)


def fingerprint(*things) -> str:
    """The same text for the same things, in any process; a different one for different things.

    Of a function it sees the code (not comments), the defaults, and all that the code reads by name: variables it closes
    over, globals, and in the same way the functions and classes among them; of a module, its file. Of what is installed
    (this library, torch, the standard library) it sees only the name. It does not see data in files, the environment,
    global random states, names that are computed, or what a module imports in turn.

    Raises:
        NoFingerprint: if it comes to something whose contents cannot be compared.
    """
    return _Prints().of(things).hex()


class _Prints:
    """The fingerprints of things, each made from those of its parts."""

    def __init__(self):
        self.known = {}  # by id; the thing is kept as well, or its id could be given to another one

    def of(self, thing) -> bytes:
        kind = type(thing)
        sha = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} ".encode())
        if kind in PLAIN:
            sha.update(thing if kind is bytes else repr(thing).encode())
            return sha.digest()
        if id(thing) not in self.known:
            self.known[id(thing)] = (b"part of itself", thing)
            for part in self.parts(thing):
                sha.update(self.of(part))
            self.known[id(thing)] = (sha.digest(), thing)
        return self.known[id(thing)][0]

    def parts(self, thing) -> list:
        """The parts that identify this thing."""
        kind = type(thing)
        if isinstance(thing, Tensor) and thing.layout == torch.strided:
            numbers = thing.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
            return [str(thing.dtype), str(thing.device), tuple(thing.shape), thing.requires_grad, numbers]
        if kind in (list, tuple):
            return list(thing)
        if kind is dict:
            return [part for item in thing.items() for part in item]
        if kind in (set, frozenset):
            return sorted(map(self.of, thing))
        if kind is ModuleType:
            return [thing.__name__, Path(thing.__file__).read_bytes() if _own(thing.__name__) else None]
        if kind is CodeType:
            return [getattr(thing, f"co_{name}") for name in CODE]
        if kind in (classmethod, staticmethod):
            return [thing.__func__]
        if kind is property:
            return [thing.fget, thing.fset, thing.fdel]
        if isinstance(thing, FunctionType | type):
            name = [thing.__module__, thing.__qualname__]
            if "<locals>" not in thing.__qualname__ and not _own(thing.__module__ or "__main__"):
                return name
            return name + (_of_class(thing) if isinstance(thing, type) else _of_function(thing))
        return _reduced(thing)


def _own(module: str) -> bool:
    """Whether the contents of a module may change without a change of version: it is the user's, not an installed one."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module.split(".")[0] == "regimes":
        return module == "__main__"  # of a notebook, which is no file
    return not (INSTALLED & {*Path(file).parts} or Path(file).is_relative_to(sysconfig.get_path("stdlib")))


def _of_function(function: FunctionType) -> list:
    inside, names = function.__globals__, sorted(set(_reads(function.__code__)))
    around = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]  # not the empty ones
    values = {name: inside[name] for name in names if name in inside}
    return [function.__code__, values, around, function.__defaults__, function.__kwdefaults__]


def _reads(code: CodeType) -> Iterator[str]:
    """The global names that the code reads, inner functions included."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _reads(inner)


def _of_class(kind: type) -> list:
    body = {name: value for name, value in vars(kind).items() if not name.startswith("__") or isinstance(value, FunctionType)}
    body.pop("_abc_impl", None)
    return [kind.__bases__, body]


def _reduced(thing) -> list:
    """What pickle would write, which is what an object of any other kind is made of."""
    if isinstance(thing, torch.Generator):
        return [thing.get_state()]
    try:
        made = thing.__reduce_ex__(4)
    except Exception as error:  # whatever a foreign class raises there
        raise NoFingerprint(f"it depends on {thing!r}, whose contents cannot be compared ({error})") from error
    if isinstance(made, str):
        return [getattr(thing, "__module__", None), made, getattr(thing, "__wrapped__", None)]  # a cache has a function inside
    return [list(part) if isinstance(part, Iterator) else part for part in made]
