"""Shapes and types of the library are checked while the tests run, at a cost that tests can bear.

jaxtyping's import hook (`addopts` in pyproject.toml) puts its decorator on every function and dataclass. It binds the
arguments of every call, and compiles two functions anew wherever one is defined, an inner one each time that the outer
one runs: together more than half of the time of the tests. A function without arrays among its annotations has no
shapes to bind: beartype alone, which checks the same types, does for it.
"""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any

import jaxtyping
from beartype import beartype

jaxtyped = jaxtyping.jaxtyped
"""The decorator of jaxtyping itself."""

_INNER: dict[types.CodeType, tuple[dict[str, Any], types.FunctionType]] = {}
"""Annotations and checked function, by the code of an inner function: it is defined again and again."""


def has_shapes(hint: Any) -> bool:
    """Whether an annotation may name an array of jaxtyping; one that is written as text may."""
    if isinstance(hint, str | typing.ForwardRef):
        return True
    if isinstance(hint, list | tuple):  # the arguments of a Callable
        return any(map(has_shapes, hint))
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(has_shapes, typing.get_args(hint)))


def checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return a decorator that checks what `jaxtyping.jaxtyped` checks."""

    def decorate(made: Any) -> Any:
        if inspect.isclass(made):
            if not is_dataclass(made) or has_shapes(list(typing.cast(Any, made.__init__).__annotations__.values())):
                return jaxtyped(made, typechecker=typechecker)
            if "__init__" in vars(made):
                setattr(made, "__init__", _switched(beartype(made.__init__), made.__init__))  # noqa: B010
            return made
        if not inspect.isfunction(made) or has_shapes(list(made.__annotations__.values())):
            return jaxtyped(made, typechecker=typechecker)
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

    @wraps(made)
    def called(*args: Any, **kwargs: Any) -> Any:
        return (made if jaxtyping.config.jaxtyping_disable else check)(*args, **kwargs)

    return called


jaxtyping.jaxtyped = checked  # type: ignore[assignment]
