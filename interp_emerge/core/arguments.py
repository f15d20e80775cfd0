"""Check of arguments where a user passes them in: a list where one name is wanted, a table where a model is wanted.

A public function is `checked`. Before it runs, the type of each argument is compared with its annotation. The first
argument that does not fit is reported on one line, with what to give instead. A word that is not among those that the
annotation lists is reported in the same way. Whether a value makes sense (that a share lies between 0 and 1, say) is
checked by the function itself. Any iterable is accepted for a list or tuple, and NumPy's numbers for Python's.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from numbers import Integral, Real
from types import FunctionType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from interp_emerge.core.errors import InputError, UnknownNameError, described, require_seed, with_article

Function = TypeVar("Function", bound=Callable[..., Any])
WANTED = {
    "HookedModel": "a model as ie.hook(model, tokenizer=tokenizer) or family.load(...) returns it",
    "PromptPairs": "pairs as ie.PromptPairs(...) or ability.sample(model) makes them",
    "Runs": "the runs of a model on some pairs, as ie.Runs(model, pairs) makes them",
    "Circuit": "a circuit such as scores.top(50) or ie.Circuit.from_edges(model, edges)",
    "EdgeScores": "scores of edges, as ie.score returns them with method='eap_ig'",
    "NodeScores": "scores of nodes, as ie.score returns them with method='activation_patching'",
    "Ability": "an ability as ie.load_ability(name) returns it",
    "Family": "a family as ie.load_family(name) returns it",
    "Module": "a causal language model of Hugging Face's transformers",
    "Graph": "a graph such as model.graph",
    "DataFrame": "a table (pandas DataFrame)",
    "Tensor": "a tensor",
    "ndarray": "a NumPy array",
    "int": "a whole number",
    "float": "a number",
    "Callable": "a function",
    "str": "text",
    "bool": "True or False",
    "NoneType": "None",
    "PathLike": "a path",
    "Path": "a path",
}
"""What an error message asks for, by the name of the type."""
NUMBERS, UNIONS = {int: Integral, float: Real}, (Union, UnionType)


def checked(function: Function) -> Function:
    """The function, with a check that raises an `InputError` if an argument does not fit its annotation."""
    signature = inspect.signature(function)
    several = {name for name, one in signature.parameters.items() if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}

    @cache
    def kinds() -> dict[str, Any]:
        written = {
            name: one.annotation for name, one in signature.parameters.items() if one.annotation is not one.empty
        }
        bare = FunctionType((lambda: None).__code__, inspect.unwrap(function).__globals__)
        bare.__annotations__ = written
        try:
            return get_type_hints(bare)
        except NameError:  # imported for the type checker only, so that circuits can be read without loading torch
            from interp_emerge.core.model import HookedModel

            return get_type_hints(bare, localns={"HookedModel": HookedModel})

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            # Too many arguments, or an unknown one: Python's own error names it.
            return function(*args, **kwargs)
        for name, value in given.items():
            if name not in several:
                _require(name, value, kinds().get(name, Any))
        return function(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]


def _require(name: str, value: object, kind: Any) -> None:
    if not fits(value, kind):
        raise InputError(f"{name} cannot be {_shown(value, kind)}; give {in_words(kind)}")
    alternatives = get_args(kind) if get_origin(kind) in UNIONS else (kind,)
    words = [word for one in alternatives if get_origin(one) is Literal for word in get_args(one)]
    if words and value not in words and not any(fits(value, one) for one in alternatives if get_origin(one) != Literal):
        raise UnknownNameError(name, value, words)
    if name == "seed" and kind is int:
        require_seed(value)


def fits(value: object, kind: Any) -> bool:
    """Whether a value fits an annotation, as far as that can be seen without using up an iterator."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    if origin in UNIONS:
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return isinstance(value, tuple({type(one) for one in inner}))
    if hasattr(kind, "array_type"):  # a tensor with a named shape
        return fits(value, kind.array_type)
    of = origin or kind
    if of is Any or not isinstance(of, type) or getattr(of, "_is_protocol", False):
        return True
    if inner and issubclass(of, Mapping):
        return isinstance(value, Mapping) and all(fits(*one) for key in value for one in _entry(value, key, inner))
    if inner and issubclass(of, Iterable):
        return _fits_items(value, of, inner)
    return isinstance(value, of)


def in_words(kind: Any) -> str:
    """What an annotation accepts, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in UNIONS:
        named = any(get_origin(one) is Literal for one in inner)
        left = {NoneType, *([int] if float in inner else []), *([str] if named else [])}
        options = [one for one in inner if one not in left]
        return " or ".join(dict.fromkeys(map(in_words, options)))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if hasattr(kind, "array_type"):
        return f"{in_words(kind.array_type)} of shape [{', '.join(kind.dim_str.split())}]"
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return f"({', '.join(map(in_words, inner))})"
    if inner and issubclass(origin, Mapping):
        return f"a dict from {in_words(inner[0])} to {in_words(inner[1])}"
    if inner and issubclass(origin, Iterable):
        return "a list" if inner[0] is Any else f"a list, each item {in_words(inner[0])}"
    name = getattr(origin or kind, "__name__", str(kind))
    return WANTED.get(name) or with_article(name)


def _entry(value: Mapping[Any, object], key: object, inner: tuple[Any, Any]) -> list[tuple[object, Any]]:
    return [(key, inner[0]), (value[key], inner[1])]


def _fits_items(value: object, of: type, inner: tuple[Any, ...]) -> bool:
    """Whether a value is a list whose items fit. One text is accepted for a list of texts."""
    single = of is tuple and inner[-1:] != (Ellipsis,)
    if isinstance(value, str):
        return not single and fits(value, inner[0])
    if not isinstance(value, list | tuple | set | frozenset | Mapping):
        return isinstance(value, Iterable)  # reading an iterator would use it up; an array has one type of item
    if isinstance(value, Mapping) and not issubclass(Mapping, of):
        return False
    if single:
        return len(value) == len(inner) and all(map(fits, value, inner))
    return all(fits(one, inner[0]) for one in value)


def _shown(value: object, kind: Any) -> str:
    """What was given, in words; for a list, with the first item that does not fit."""
    for one in get_args(kind) if get_origin(kind) in UNIONS else (kind,):
        of, inner = get_origin(one), get_args(one)
        listed = isinstance(of, type) and issubclass(of, Iterable) and not issubclass(of, Mapping | tuple)
        if listed and isinstance(value, list | tuple | Mapping):
            odd = [item for item in value if not fits(item, inner[0])]
            return f"{described(value)} with {described(odd[0])} in it" if odd else described(value)
    return described(value)
