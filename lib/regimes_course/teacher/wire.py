"""Two processes that call each other's functions: the referee, who knows what is right, and the one with a student's code.

Values cross as `torch.save` writes them. The referee reads with ``weights_only=True``, so that no message can run code, and
knows no more of the other side than what a function returned, raised, or did to its arguments. Networks and functions stay
where they are: the other side holds a copy, or a stand-in that calls back; each crossing brings the copy up to date.
"""

import builtins
import inspect
import io
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regimes.errors import Unsolvable
from regimes.networks import TwoLayer
from regimes.networks.activations import ACTIVATIONS, Activation
from regimes.training import Diverged, OutOfBatches, Trace
from regimes_course.kit.comparing import printed, stub

LARGEST = 200_000_000  # bytes of a message
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
NEVER = (KeyboardInterrupt, GeneratorExit)  # of the other side: here they would stop the referee


class Stopped(BaseException):
    """The other side is gone; ``why`` is "time", "dead" or "garbled". No `Exception`: checks catch those."""

    def __init__(self, why: str):
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Handle:
    """Stands for a network or a function."""

    kind: str
    tag: int


@dataclass(frozen=True)
class Graph:
    """A number that can be differentiated: its value, and its gradients by the parameters of the networks both sides know."""

    value: Tensor
    gradients: dict[int, dict[str, Tensor]]


@dataclass(frozen=True)
class Odd:
    """Something that cannot cross: the name of its type, and how it prints."""

    kind: str
    text: str


@dataclass(frozen=True)
class Failure:
    """An error: the names of its classes, from its own to the most general, and what it says."""

    kinds: list[str]
    args: tuple
    bare: bool = False
    trace: Trace | None = None
    tag: int | None = None


@dataclass(frozen=True)
class State:
    """What a network is now: parameters and buffers, gradients, plain attributes. Where the other side does not know it yet,
    the referee sends the network itself; a student's process names its class and its activations.
    """

    tensors: dict[str, Tensor]
    gradients: dict[str, Tensor]
    plain: dict[str, Any]
    itself: nn.Module | None = None
    kind: str = ""
    activations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A call of ``function`` with ``values`` and ``named``, or the end of one; with the state of the networks in it."""

    function: int | None
    values: Any
    named: dict[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    networks: dict[int, "State"] = field(default_factory=dict)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


NETWORKS = {_name(kind): kind for kind in (TwoLayer,)}  # that an answer may make


def _known_errors() -> dict[str, type[BaseException]]:
    ours = (Diverged, OutOfBatches, Unsolvable, torch.linalg.LinAlgError)
    own = [e for e in vars(builtins).values() if isinstance(e, type) and issubclass(e, BaseException)]
    return {_name(e): e for e in (*own, *ours) if not issubclass(e, NEVER)}


def _safe() -> list:
    """What the referee accepts, beside tensors and plain values: traces, NumPy's arrays, and the forms of this module."""
    numpy = [np._core.multiarray._reconstruct, np._core.multiarray.scalar, np.ndarray, np.dtype]
    dtypes = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8", "i4", "bool", "c16", "u1", "U1")]
    return [*numpy, *dtypes, Handle, Graph, Odd, Failure, State, Message, Trace]


class Peer:
    """One end. ``safe``: read what comes as what it is, data from somebody who cannot be trusted."""

    def __init__(self, connection: Connection, *, safe: bool):
        self.connection, self.safe = connection, safe
        self.deadline: float | None = None
        self.stopped = ""
        self.errors = _known_errors()
        self.objects: dict[int, Any] = {}  # what both sides know: networks and functions, by tag
        self.shared: set[int] = set()  # networks of which the other side has a copy
        self.theirs: set[int] = set()  # functions that live on the other side
        self.raised: dict[int, BaseException] = {}
        self.numbers = itertools.count(0 if safe else 1, 2)

    def stop(self, why: str) -> Stopped:
        """No more calls; what to raise. The first reason stays."""
        self.stopped = self.stopped or why
        return Stopped(self.stopped)

    # -- calls

    def register(self, thing: Any) -> int:
        """The tag of a network or function."""
        for tag, known in self.objects.items():
            if known is thing:
                return tag
        tag = next(self.numbers)
        self.objects[tag] = thing
        return tag

    def call(self, tag: int, *values: Any, **named: Any) -> Any:
        """Call a function of the other side."""
        return self.stand_in(tag)(*values, **named)

    def stand_in(self, tag: int) -> Callable:
        """A function that calls the other side's. An untouched stub raises here what it raised there, from this one frame."""
        if tag not in self.objects:

            def remote(*values, **named):
                bare, value = self._call(tag, values, named)
                if bare:
                    raise NotImplementedError
                return value

            self.objects[tag] = remote
            self.theirs.add(tag)
        return self.objects[tag]

    def _call(self, tag: int, values: tuple, named: dict) -> tuple[bool, Any]:
        self._send(tag, values, named)
        while (message := self._receive()).function is not None:
            self._answer(message)
        if message.failure:
            if message.failure.bare:
                return True, None
            raise self._error(message.failure)
        value, after = message.values
        for own, new in zip(values, after, strict=False):
            settle(own, new)
        return False, value

    def serve(self) -> None:
        """Answer calls until the other side hangs up."""
        while True:
            self._answer(self._receive())

    def _answer(self, message: Message) -> None:
        function = self.objects.get(message.function)
        if function is None or message.function in self.theirs or isinstance(function, nn.Module):
            raise self.stop("garbled")
        try:
            value = function(*message.values, **message.named)
        except Stopped:
            raise
        except BaseException as error:
            if self.safe and isinstance(error, NEVER):
                raise
            self._send(None, None, {}, self._failure(error))
        else:
            self._send(None, (value, list(message.values)), {})

    # -- messages

    def _send(self, function: int | None, values: Any, named: dict, failure: Failure | None = None) -> None:
        if self.stopped:
            raise Stopped(self.stopped)
        used: dict[int, nn.Module] = {}
        packed, others = self._pack(values, used), self._pack(named, used)
        networks = {tag: self._state(tag, net) for tag, net in used.items()}
        buffer = io.BytesIO()
        torch.save(Message(function, packed, others, failure, networks), buffer)
        try:
            self.connection.send_bytes(buffer.getbuffer())
        except OSError:
            raise self.stop("dead") from None

    def _receive(self) -> Message:
        try:
            left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            if not self.connection.poll(left):
                raise self.stop("time")
            raw = self.connection.recv_bytes(LARGEST)
        except (EOFError, OSError):
            raise self.stop("dead") from None
        try:
            message = self._read(raw)
            for tag, state in message.networks.items():
                self._update(tag, state)
            return Message(message.function, self._unpack(message.values), self._unpack(message.named), message.failure)
        except Exception as error:
            if not self.safe:
                raise
            raise self.stop("garbled") from error

    def _read(self, raw: bytes) -> Message:
        if not self.safe:
            return torch.load(io.BytesIO(raw), weights_only=False)
        with torch.serialization.safe_globals(_safe()):
            message = torch.load(io.BytesIO(raw), weights_only=True)
        if not isinstance(message, Message):
            raise TypeError(type(message).__name__)
        return message

    def _crosses(self, net: nn.Module) -> bool:
        return self.safe or any(net is known for known in self.objects.values()) or _name(type(net)) in NETWORKS

    def _state(self, tag: int, net: nn.Module) -> State:
        tensors = {name: t.detach() for name, t in itertools.chain(net.named_parameters(), net.named_buffers())}
        gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        plain = {name: value for name, value in vars(net).items() if type(value) in PLAIN}
        new, activations = tag not in self.shared, {}
        self.shared.add(tag)
        if new and not self.safe:
            activations = {name: value.name for name, value in vars(net).items() if isinstance(value, Activation)}
        itself = net if new and self.safe else None
        return State(tensors, gradients, plain, itself, _name(type(net)) if new else "", activations)

    def _update(self, tag: int, state: State) -> None:
        if tag not in self.objects:
            self.objects[tag] = self._made(state) if self.safe else state.itself
        self.shared.add(tag)
        net = self.objects[tag]
        own = dict(itertools.chain(net.named_parameters(), net.named_buffers()))
        for name, tensor in state.tensors.items():
            if name in own and not (own[name].shape == tensor.shape and torch.equal(own[name], tensor) and not self.safe):
                own[name].data = tensor  # what shares memory there shares it here
        for name, parameter in net.named_parameters():
            parameter.grad = state.gradients.get(name)
        for name, value in state.plain.items():
            setattr(net, name, value)

    def _made(self, state: State) -> nn.Module:
        """A network that a student's code has made."""
        net = nn.Module.__new__(NETWORKS[state.kind])
        nn.Module.__init__(net)
        vars(net).update({name: ACTIVATIONS[known] for name, known in state.activations.items()})
        for name, tensor in state.tensors.items():
            net.register_parameter(name, nn.Parameter(tensor))
        return net

    # -- values

    def _pack(self, value: Any, used: dict[int, nn.Module]) -> Any:
        if isinstance(value, nn.Module) and self._crosses(value):
            tag = self.register(value)
            used[tag] = value
            return Handle("module", tag)
        if isinstance(value, np.str_):
            return str(value)
        if isinstance(value, PLAIN) and type(value) in PLAIN or isinstance(value, np.ndarray | np.generic):
            return value
        if isinstance(value, Tensor):
            return self._pack_tensor(value)
        if isinstance(value, tuple | list) and (not self.safe or type(value) in (tuple, list)):
            return (tuple if isinstance(value, tuple) else list)(self._pack(v, used) for v in value)
        if isinstance(value, dict):
            return {self._pack(k, used): self._pack(v, used) for k, v in value.items()}
        if inspect.isroutine(value) or (self.safe and callable(value)):
            return Handle("function", self.register(value))
        if self.safe or isinstance(value, Trace):
            return value
        return Odd(type(value).__name__, printed(value, repr, 60))

    def _pack_tensor(self, value: Tensor) -> Any:
        if type(value) not in (Tensor, nn.Parameter) or value.is_leaf or value.numel() != 1:
            return value.detach().as_subclass(Tensor) if value.requires_grad and not value.is_leaf else value
        networks = {tag: dict(net.named_parameters()) for tag, net in self.objects.items() if isinstance(net, nn.Module)}
        parts = [(tag, name, p) for tag, named in networks.items() for name, p in named.items() if p.requires_grad]
        slopes = torch.autograd.grad(value, [p for *_, p in parts], retain_graph=True, allow_unused=True) if parts else []
        gradients: dict[int, dict[str, Tensor]] = {}
        for (tag, name, _), slope in zip(parts, slopes, strict=True):
            if slope is not None:
                gradients.setdefault(tag, {})[name] = slope
        return Graph(value.detach(), gradients)

    def _unpack(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return self.objects[value.tag] if value.kind == "module" or value.tag in self.objects else self.stand_in(value.tag)
        if isinstance(value, Graph):
            return self._with_slopes(value)
        if isinstance(value, Odd):
            shown = value.text
            return type(value.kind, (), {"__repr__": lambda self: shown})()
        if type(value) in (tuple, list):
            return type(value)(map(self._unpack, value))
        if type(value) is dict:
            return {self._unpack(k): self._unpack(v) for k, v in value.items()}
        return value

    def _with_slopes(self, graph: Graph) -> Tensor:
        """The same value with the same first derivatives, as a function of this side's parameters."""
        value = graph.value
        for tag, named in graph.gradients.items():
            parameters = dict(self.objects[tag].named_parameters())
            for name, slope in named.items():
                value = value + ((parameters[name] - parameters[name].detach()) * slope).sum()
        return value

    # -- errors

    def _failure(self, error: BaseException) -> Failure:
        tag = getattr(error, "_crossed", None)
        if self.safe:
            tag = len(self.raised)
            self.raised[tag] = error
        args = error.args if all(type(a) in (str, int, float, bool) for a in error.args) else (printed(error, str, 500),)
        trace = getattr(error, "trace", None)
        kinds = [_name(kind) for kind in type(error).__mro__]
        return Failure(
            kinds, args, stub(error), trace if isinstance(trace, Trace) else None, tag if isinstance(tag, int) else None
        )

    def _error(self, failure: Failure) -> BaseException:
        if self.safe and failure.tag is not None:
            return self.raised[failure.tag]  # the referee's own, come back
        base = next((self.errors[kind] for kind in failure.kinds if kind in self.errors), Exception)
        base = Exception if base is BaseException else base
        name = failure.kinds[0].rpartition(".")[2]
        kind = base if base.__name__ == name else type(name, (base,), {})
        error = kind.__new__(kind, *failure.args) if base is not Diverged else kind.__new__(kind)
        error.args = failure.args
        if failure.trace is not None:
            error.trace = failure.trace  # type: ignore[attr-defined]
        if not self.safe:
            error._crossed = failure.tag  # type: ignore[attr-defined]
        return error


def settle(own: Any, new: Any) -> None:
    """Make an argument what the other side made of it."""
    if isinstance(own, Tensor) and isinstance(new, Tensor):
        if own.shape == new.shape and own.dtype == new.dtype and not torch.equal(own, new):
            own.detach().copy_(new)
    elif isinstance(own, np.ndarray) and isinstance(new, np.ndarray):
        if own.shape == new.shape:
            own[...] = new
    elif isinstance(own, list) and isinstance(new, list):
        if len(own) == len(new):
            for i, (a, b) in enumerate(zip(own, new, strict=True)):
                own[i] = b if isinstance(b, int | float | str) else a
                settle(a, b)
        else:
            own[:] = new
    elif isinstance(own, dict) and isinstance(new, dict):
        for key in new:
            settle(own.get(key), new[key])
