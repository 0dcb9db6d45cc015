"""Shapes and types of the library are checked while the tests run, at a cost that tests can bear.

jaxtyping's import hook (`addopts` in pyproject.toml) puts its decorator on every function and dataclass. It binds the
arguments of every call twice and checks them twice, and compiles two functions anew wherever one is defined, an inner
one each time that the outer one runs: together more than half of the time of the tests. Here beartype checks a call,
once, and compiles an inner function once; jaxtyping only holds the sizes of the axes of each call with arrays.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from functools import wraps
from typing import Any

import jaxtyping
from beartype import beartype

jaxtyped = jaxtyping.jaxtyped
"""The decorator of jaxtyping itself."""

AXES = jaxtyped("context")
"""Entered, every axis may have any size; what is checked within must agree on it."""

_INNER: dict[types.CodeType, tuple[dict[str, Any], types.FunctionType]] = {}
"""Annotations and checked function, by the code of an inner function: it is defined again and again."""


def has_shapes(hint: Any) -> bool:
    """Whether an annotation names an array of jaxtyping."""
    return any(isinstance(part, type) and issubclass(part, jaxtyping.AbstractArray) for part in _parts(hint))


def has_text(hint: Any) -> bool:
    """Whether a type in an annotation is written as text, which may name an array, or nothing that can be found."""
    return any(isinstance(part, str | typing.ForwardRef) for part in _parts(hint))


def _parts(hint: Any) -> Iterator[Any]:
    """Give each type of an annotation; in a list are the arguments of a Callable, the texts of a Literal are values."""
    yield hint
    if typing.get_origin(hint) is not typing.Literal:
        for part in hint if isinstance(hint, list | tuple) else typing.get_args(hint):
            yield from _parts(part)


def checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a decorator that checks what `jaxtyping.jaxtyped` checks."""

    def decorate(made: Any) -> Any:
        if inspect.isclass(made) and is_dataclass(made) and "__init__" in vars(made):
            setattr(made, "__init__", decorate(made.__init__))  # noqa: B010
        if inspect.isclass(made):
            return made
        hints = list(getattr(made, "__annotations__", {}).values())
        if not inspect.isfunction(made) or has_text(hints) or (inspect.isgeneratorfunction(made) and has_shapes(hints)):
            return jaxtyped(made, typechecker=typechecker)  # what a generator yields, it yields outside of the call
        if "<locals>" not in made.__qualname__:
            return _switched(beartype(made), made)
        before = _INNER.get(made.__code__)
        if before is None or before[0] != made.__annotations__:
            before = _INNER[made.__code__] = dict(made.__annotations__), beartype(made)
        return _switched(_again(before[1], made), made)

    return decorate


def _again(check: types.FunctionType, made: types.FunctionType) -> Callable[..., Any]:
    """Return beartype's check of a function with another one of the same code in its place."""
    if "__beartype_func" not in (check.__kwdefaults__ or {}):  # nothing to check
        return made
    copy = types.FunctionType(check.__code__, check.__globals__, check.__name__, check.__defaults__, check.__closure__)
    copy.__kwdefaults__ = {**(check.__kwdefaults__ or {}), "__beartype_func": made}
    return copy


def _switched(check: Callable[..., Any], made: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with its check, which jaxtyping's own switch turns off."""

    shapes = has_shapes(list(made.__annotations__.values()))

    @wraps(made)
    def called(*args: Any, **kwargs: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return made(*args, **kwargs)
        if not shapes:
            return check(*args, **kwargs)
        with AXES:
            return check(*args, **kwargs)

    return called


jaxtyping.jaxtyped = checked  # type: ignore[assignment]
