"""What several readings need of one recording is computed once: kept with the recording, and gone with it."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from workbench.recording import Recording

_P = ParamSpec("_P")
_T = TypeVar("_T")


def once(function: Callable[Concatenate[Recording, _P], _T]) -> Callable[Concatenate[Recording, _P], _T]:
    """Return a function of a recording that remembers what it returned, for as long as the recording is held.

    What it returns is shared by all who ask, so it must not be written to.

    Args:
        function: Of a recording and of further arguments, hashable ones, that depends on nothing else.
    """
    kept: WeakKeyDictionary[Recording, dict[object, _T]] = WeakKeyDictionary()

    @wraps(function)
    def remembered(recording: Recording, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        held, key = kept.setdefault(recording, {}), (args, tuple(sorted(kwargs.items())))
        if key not in held:
            held[key] = function(recording, *args, **kwargs)
        return held[key]

    return remembered
