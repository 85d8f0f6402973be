"""The mutations of a Python file: each constant, operator and sign changed, one at a time.

    3 -> 4, -1 -> 0, 0.5 -> 1.5, True -> False, "examples" -> "uniform" and back
    + and -, * and /, ** -> *, and or, & and |, each comparison negated, a sign or a `not` left out

Left out: annotations, defaults of arguments (the YAML has them too, and a test compares), texts, and refusals, which
are `raise` and the `if` above it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
WORDS = {"examples": "uniform", "uniform": "examples"}


@dataclass(frozen=True)
class Mutation:
    """`parent`'s field (at an index, in a list) holds another node."""

    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    line: int
    before: str
    after: str

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The tree is changed inside, and as before afterwards."""
        old = self._put(self.node)
        try:
            yield
        finally:
            self._put(old)

    def _put(self, node: Any) -> Any:
        value = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, node)
            return value
        old, value[self.index] = value[self.index], node
        return old


def mutations(tree: ast.Module) -> Iterator[Mutation]:
    """All mutations of a parsed file, in its order."""
    yield from _below(tree)


def _below(parent: ast.AST) -> Iterator[Mutation]:
    for field, index, node in _children(parent):
        if _is_left_out(parent, field, node):
            continue
        if (changed := _changed(node)) is not None:
            at = node if hasattr(node, "lineno") else parent
            ast.copy_location(changed, at)
            ast.fix_missing_locations(changed)
            whole = parent if not isinstance(node, ast.expr) else node
            mutation = Mutation(parent, field, index, changed, at.lineno, ast.unparse(whole), "")  # type: ignore[attr-defined]
            with mutation.applied():
                after = ast.unparse(parent if whole is parent else changed)
            yield Mutation(parent, field, index, changed, mutation.line, mutation.before, after)
        if not _is_signed_number(node):
            yield from _below(node)


def _children(parent: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if isinstance(value, ast.AST):
            yield field, None, value
        elif isinstance(value, list):
            yield from ((field, index, node) for index, node in enumerate(value) if isinstance(node, ast.AST))


def _is_left_out(parent: ast.AST, field: str, node: ast.AST) -> bool:
    refusal = isinstance(node, ast.Raise) or (
        isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise) and not node.orelse
    )
    text = isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return refusal or text or field in ("annotation", "returns", "defaults", "kw_defaults", "decorator_list", "bases")


def _is_signed_number(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
        and isinstance(node.operand.value, int | float)
    )


def _changed(node: ast.AST) -> ast.AST | None:
    """What takes the node's place; None if the node stays."""
    if _is_signed_number(node):
        return ast.Constant(1 - node.operand.value)  # type: ignore[attr-defined]
    if isinstance(node, ast.UnaryOp):
        return node.operand
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            return ast.Constant(not value)
        if isinstance(value, int | float):
            return ast.Constant(value + 1)
        return ast.Constant(WORDS[value]) if isinstance(value, str) and value in WORDS else None
    opposite = OPERATORS.get(type(node))
    return opposite() if opposite else None
