"""Runs the code of a page or a docstring, one statement after the other."""

import ast
from collections.abc import Iterator
from typing import Any

from tests.docs.prepared import Prepared


def run(code: str, names: dict[str, Any], prepared: Prepared, where: str) -> Iterator[tuple[int, Any]]:
    """Runs the code with `names`, which it may change, and with what is prepared for names that it does not define.

    Gives the last line of each statement, counted from 1, and its value: that of an expression, else None.
    """
    for statement in ast.parse(code).body:
        names_of = [one for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)]
        for name in {one.id for one in names_of} - {*names}:
            if name in prepared:
                names[name] = prepared[name]
        value = None
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), where, "eval"), names)
        else:
            exec(compile(ast.Module([statement], []), where, "exec"), names)
        yield statement.end_lineno or 0, value
