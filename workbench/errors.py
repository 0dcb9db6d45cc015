"""The one error a user meets: what happened, why, and what to do about it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_LISTED = 50
"""Faults printed one by one in a message; the rest are counted."""


class WorkbenchError(Exception):
    """A mistake a user can mend.

    The explorer shows it without a traceback; the command line prints it and exits with status 2.

    Args:
        what: What could not be done, one sentence.
        why: The reason, naming the file, item, field or value.
        do: The next thing to try.

    Examples:
        >>> try:
        ...     wb.load_problems("relesed")
        ... except wb.WorkbenchError as error:
        ...     print(error.do)
        Did you mean "released"?
    """

    def __init__(self, what: str, why: str, do: str) -> None:
        super().__init__(what, why, do)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        """Return the three parts on lines of their own."""
        return f"{self.what}\n  why: {self.why}\n  do:  {self.do}"


def unknown(kind: str, name: object, known: Iterable[object], do: str = "Use one of these names.") -> WorkbenchError:
    """Return the error for a name that is not among those known; the caller raises it.

    Args:
        kind: What is named, one noun: "method".
        name: The name that was given.
        known: The names there are, in the order in which to list them.
        do: The next thing to try, where no known name is near the given one.

    Examples:
        >>> print(unknown("method", "cocnut", ["coconut", "cot"]))
        There is no method "cocnut".
          why: The methods are coconut, cot.
          do:  Did you mean "coconut"?
    """
    names = [str(one) for one in known]
    near = get_close_matches(str(name), names, n=1)
    plural = kind[:-1] + "ies" if kind.endswith("y") else f"{kind}s"
    why = f"The {plural} are {', '.join(names)}." if names else f"There are no {plural}."
    return WorkbenchError(f'There is no {kind} "{name}".', why, f'Did you mean "{near[0]}"?' if near else do)


def listed(reasons: Sequence[str], most: int = MOST_LISTED) -> list[str]:
    """Return the first reasons for a message, and a count of the rest."""
    rest = len(reasons) - most
    return [*reasons[:most], f"and {rest} more"] if rest > 0 else list(reasons)


def clip(text: str, limit: int = 80) -> str:
    """Return the text, cut to `limit` characters for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
