"""A model as two vectors, and the layout of a module's tensors in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from fedlit.errors import InputError


@dataclass(frozen=True)
class Model:
    """The trained numbers of a module, as vectors of the module's widest floating-point type. A complex number is two
    numbers, its real and its imaginary part.

    Frozen parameters, which no fit trains, are in neither vector and are never sent. Integer buffers are in neither,
    because they cannot be averaged.
    """

    weights: Tensor  # (..., P): the trained parameters, changed by an optimiser
    statistics: Tensor  # (..., S): floating-point buffers, changed by forward passes; averaged, never optimised

    def __getitem__(self, index: Any) -> Model:
        """The models at `index` of a stack's leading axes: of (K, P), [k] gives (P,) and a list of n numbers (n, P)."""
        return tree_map(lambda t: t[index], self)

    def __add__(self, other: Model) -> Model:
        """The sums of weights and of statistics, as all arithmetic here; a model (P,) broadcasts over a stack (K, P).

        >>> x, y = Model(torch.tensor([1.0, 2.0]), torch.empty(0)), Model(torch.tensor([3.0, 4.0]), torch.empty(0))
        >>> (0.5 * (x + y)).weights
        tensor([2., 3.])
        """
        return tree_map(torch.add, self, other)

    def __sub__(self, other: Model) -> Model:
        return tree_map(torch.sub, self, other)

    def __mul__(self, factor: float | Tensor) -> Model:
        """Weights and statistics times a number, or times (K, 1) for a factor a client."""
        return tree_map(lambda t: t * factor, self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> Model:
        return tree_map(lambda t: t / divisor, self)

    def __neg__(self) -> Model:
        return tree_map(torch.neg, self)

    def zeros_like(self) -> Model:
        """A Model of the same shapes, all zero."""
        return tree_map(torch.zeros_like, self)

    def expand(self, k: int) -> Model:
        """This model, (P,) and (S,), for each of `k` clients: (K, P) and (K, S), views."""
        return tree_map(lambda t: t.expand(k, -1), self)

    def sum_clients(self) -> Model:
        """The sum over the clients: (K, P) to (P,)."""
        return tree_map(lambda t: t.sum(0), self)

    def mean_clients(self, weights: Tensor | None = None) -> Model:
        """The mean over the clients, (K, P) to (P,): sum_k w_k m_k / sum_k w_k.

        Args:
            weights: w, (K, 1), such as the clients' `examples`; None: all 1.
        """
        if weights is None:
            return tree_map(lambda t: t.mean(0), self)
        return (self * weights).sum_clients() / weights.sum()

    def dot(self, other: Model) -> Tensor:
        """The inner product of the weights, (..., 1). Statistics are no part of it: nothing is optimised over them."""
        return (self.weights * other.weights).sum(-1, keepdim=True)

    def norm(self) -> Tensor:
        """The Euclidean norm of the weights, (..., 1)."""
        return self.weights.norm(dim=-1, keepdim=True)


def tree_map(f: Callable[..., Tensor], value: Any, *others: Any) -> Any:
    """`f` on every tensor of a tree: of a Model, of a dict of trees, or on the tensor itself.

    >>> tree_map(torch.add, {"a": torch.ones(2)}, {"a": torch.ones(2)})
    {'a': tensor([2., 2.])}
    """
    if isinstance(value, Model):
        return Model(
            f(value.weights, *(o.weights for o in others)), f(value.statistics, *(o.statistics for o in others))
        )
    if isinstance(value, Mapping):
        return {k: tree_map(f, v, *(o[k] for o in others)) for k, v in value.items()}
    return f(value, *others)


def stack(trees: Sequence[Any]) -> Any:
    """K trees of one structure as one tree whose tensors have a new leading axis K (see `tree_map`)."""
    first = trees[0]
    if isinstance(first, Model):
        return Model(torch.stack([t.weights for t in trees]), torch.stack([t.statistics for t in trees]))
    if isinstance(first, Mapping):
        return {k: stack([t[k] for t in trees]) for k in first}
    return torch.stack(list(trees))


def unstack(tree: Any, k: int) -> list[Any]:
    """A tree of tensors (K, ...) as K trees: the reverse of `stack`."""
    return [tree_map(lambda t: t[r], tree) for r in range(k)]  # noqa: B023


def select(model: Model, where: Model) -> Model:
    """The numbers at the positions `where` (a Model of bools, (P,) and (S,)): a short model."""
    return tree_map(lambda t, w: t[..., w], model, where)


def merge(where: Model, part: Model, rest: Model) -> Model:
    """The full model with the short model `part` at the positions `where` and the short model `rest` elsewhere."""

    def merged(mask: Tensor, part: Tensor, rest: Tensor) -> Tensor:
        vector = part.new_empty(*torch.broadcast_shapes(part.shape[:-1], rest.shape[:-1]), len(mask))
        vector[..., mask], vector[..., ~mask] = part, rest
        return vector

    return tree_map(merged, where, part, rest)


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor with its real and imaginary parts along a new last axis of two; another tensor as it is."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def as_complex(parts: Tensor) -> Tensor:
    """A copy, the reverse of `as_real` of a complex tensor."""
    return torch.complex(parts[..., 0], parts[..., 1])


class Layout:
    """The positions of a module's trained parameters and floating-point buffers in a Model. A complex tensor counts as
    its `as_real`.

    Attributes:
        weights: name -> shape of the trained parameters, in the order of the vector.
        statistics: name -> shape of the floating-point buffers, in the order of the vector.
        counters: names of the other buffers (integers and bools).
        names: name -> all names of that tensor, one for each module that holds it (tied weights, a submodule that is
            registered twice); the key is the first name.
        last_layer: name of the layer with parameters that runs last, if known (see `fedlit.user_module.probe`).
    """

    def __init__(self, module: nn.Module, last_layer: str | None = None, thawed: Collection[str] = ()):
        """
        Args:
            thawed: names of parameters that are frozen now and that a fit trains.
        """
        parameters = dict(module.named_parameters())
        buffers = dict(module.named_buffers())
        self._complex = {n for n, t in [*parameters.items(), *buffers.items()] if t.is_complex()}
        self.weights = {n: as_real(p).shape for n, p in parameters.items() if p.requires_grad or n in thawed}
        self.statistics = {n: as_real(b).shape for n, b in buffers.items() if as_real(b).is_floating_point()}
        self.counters = [n for n in buffers if n not in self.statistics]
        self.last_layer = last_layer
        if not self.weights:
            raise InputError(f"{type(module).__name__} has no parameter that requires a gradient: nothing to train")
        self.names: dict[str, list[str]] = {}
        self._kinds: dict[str, type[nn.Module]] = {}  # name -> type of the module that holds it
        first_names = {id(t): name for name, t in [*parameters.items(), *buffers.items()]}
        for prefix, holder in module.named_modules(remove_duplicate=False):
            for n, t in [*holder.named_parameters(recurse=False), *holder.named_buffers(recurse=False)]:
                name = f"{prefix}.{n}" if prefix else n
                self.names.setdefault(first_names[id(t)], []).append(name)
                self._kinds.setdefault(first_names[id(t)], type(holder))
        trained = [t for n, t in [*parameters.items(), *buffers.items()] if n in self.weights or n in self.statistics]
        self.dtype = max((as_real(t).dtype for t in trained), key=lambda d: torch.finfo(d).bits)
        self.device = trained[0].device
        self._weight_sizes = [shape.numel() for shape in self.weights.values()]

    @property
    def size(self) -> int:
        """P, the number of trained numbers."""
        return sum(self._weight_sizes)

    def read(self, module: nn.Module) -> Model:
        """A copy of the module's numbers, (P,) and (S,)."""
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        return Model(self._vector(parameters, self.weights), self._vector(buffers, self.statistics))

    def _vector(self, tensors: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
        parts = [as_real(tensors[n].detach()).reshape(-1).to(self.dtype) for n in names]
        return torch.cat(parts) if parts else torch.empty(0, dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def write(self, module: nn.Module, model: Model) -> None:
        """Copy (P,) and (S,) into the module's tensors."""
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        for name, value in self.tensors(model.weights).items():
            parameters[name].copy_(value)
        for name, value in self.tensors(model.statistics, self.statistics).items():
            buffers[name].copy_(value)

    def pieces(self, vector: Tensor, shapes: Mapping[str, torch.Size] | None = None) -> dict[str, Tensor]:
        """Named views (..., *shape) of a vector (..., P), or (..., S) with `shapes=layout.statistics`.

        A last axis of length 1 is one number for all positions, and gives views of shape (..., 1, ..., 1).
        """
        shapes = self.weights if shapes is None else shapes
        lead = vector.shape[:-1]
        if vector.shape[-1] == 1:
            return {n: vector.reshape((*lead, *(1,) * len(s))) for n, s in shapes.items()}  # a tuple: () is a scalar's
        sizes = self._weight_sizes if shapes is self.weights else [s.numel() for s in shapes.values()]
        parts = vector.split(sizes, -1)
        return {n: v.reshape((*lead, *s)) for (n, s), v in zip(shapes.items(), parts, strict=True)}

    def tensors(self, vector: Tensor, shapes: Mapping[str, torch.Size] | None = None) -> dict[str, Tensor]:
        """As `pieces`, with the complex tensors of the module as complex ones."""
        return {n: as_complex(v) if n in self._complex else v for n, v in self.pieces(vector, shapes).items()}

    def named(self, model: Model) -> dict[str, Tensor]:
        """All named tensors of a model (..., P), (..., S), as the module has them."""
        return self.tensors(model.weights) | self.tensors(model.statistics, self.statistics)

    def where(self, patterns: str | Sequence[str] = (), kinds: tuple[type[nn.Module], ...] = ()) -> Model:
        """A Model of bools, (P,) and (S,): True if a name of the tensor fits a pattern or its module is one of `kinds`.

        A pattern is a sequence of whole segments of a name, with `*` and `?` as in file names: `net.1` fits
        `net.1.weight` but not `net.10.weight`; `layer4.*.conv?` fits `layer4.0.conv1.weight`. All names of a tied
        tensor are tried.

        Raises:
            InputError: a pattern fits no name.
        """
        given = [patterns] if isinstance(patterns, str | int | float) else patterns
        patterns = [str(pattern) for pattern in given]  # in YAML the layer 3 of nn.Sequential is a number
        all_names = [n for names in self.names.values() for n in names]
        for pattern in patterns:
            if not any(_fits(pattern, n) for n in all_names):
                raise InputError(
                    f"the pattern {pattern!r} fits no name in the model; its names are {_listed(all_names)}"
                )

        def mask(shapes: Mapping[str, torch.Size]) -> Tensor:
            flags = [
                torch.full(
                    (s.numel(),),
                    issubclass(self._kinds[n], kinds) or any(_fits(p, m) for p in patterns for m in self.names[n]),
                )
                for n, s in shapes.items()
            ]
            return (torch.cat(flags) if flags else torch.zeros(0, dtype=torch.bool)).to(self.device)

        return Model(mask(self.weights), mask(self.statistics))


def _fits(pattern: str, name: str) -> bool:
    parts, segments = pattern.split("."), name.split(".")
    starts = range(len(segments) - len(parts) + 1)
    return any(all(fnmatchcase(s, w) for s, w in zip(segments[i:], parts, strict=False)) for i in starts)


def _listed(names: Sequence[str], limit: int = 12) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
