"""The one error a user meets: what happened, why, and what to do about it."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_LISTED = 50
"""Faults printed one by one in a message; the rest are counted."""
LONGEST_MESSAGE, LONGEST_PART = 2000, 400
"""Characters of a whole message, and of what happened or what to do in it. What is wrong with a file may be as long as
the file."""
LONGEST_LISTING = 200_000
"""The same of a message that lists every tensor of a file that does not fit."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""A layer's number in the name of a tensor."""
_MOST_PARTS = 32
"""Parts of a name, between dots, that are compared one by one."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal would obey; line breaks and tabs stay."""


class WorkbenchError(Exception):
    """A mistake a user can mend.

    The explorer shows it without a traceback; the command line prints it and exits with status 2. However large or
    strange what it quotes is, the message has at most `longest` characters, and all of them can be printed.

    Args:
        what: What could not be done, one sentence.
        why: The reason, naming the file, item, field or value.
        do: The next thing to try.
        longest: Characters of the whole message.

    Examples:
        >>> try:
        ...     wb.load_problems("relesed")
        ... except wb.WorkbenchError as error:
        ...     print(error.do)
        Did you mean "released"?
    """

    def __init__(self, what: str, why: str, do: str, *, longest: int = LONGEST_MESSAGE) -> None:
        what, do = (shorten(_printable(part), LONGEST_PART) for part in (what, do))
        rest = longest - len(self._joined(what, "", do))
        why = shorten(_printable(why), rest)
        super().__init__(what, why, do)
        self.what = what
        self.why = why
        self.do = do

    @staticmethod
    def _joined(what: str, why: str, do: str) -> str:
        return f"{what}\n  why: {why}\n  do:  {do}"

    def __str__(self) -> str:
        """Return the three parts on lines of their own."""
        return self._joined(self.what, self.why, self.do)


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


def grouped(faults: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each fault of a tensor; names that differ only in a number between dots share a line.

    Args:
        faults: Names of tensors, and what is wrong with each.

    Examples:
        >>> from workbench.errors import grouped
        >>> grouped([("wte.weight", "missing"), *((f"h.{layer}.ln_1.bias", "missing") for layer in (0, 1, 2, 5))])
        ['wte.weight: missing', 'h.{0-2,5}.ln_1.bias: missing']
    """
    rows = list(dict.fromkeys((tuple(name.split(".", _MOST_PARTS)), about) for name, about in faults))
    for place in range(max((len(parts) for parts, _ in rows), default=0)):
        alike: dict[tuple[tuple[str, ...], bool, tuple[str, ...], str], set[str]] = {}
        for parts, about in rows:
            is_number = bool(_NUMBER.fullmatch("".join(parts[place : place + 1])))
            end = place + is_number
            alike.setdefault((parts[:place], is_number, parts[end:], about), set()).update(parts[place:end])
        rows = [((*begin, *_ranges(found), *end), about) for (begin, _, end, about), found in alike.items()]
    return [f"{'.'.join(parts)}: {about}" for parts, about in rows]


def _ranges(found: set[str]) -> list[str]:
    """Return no number or one as it is, and several as "{0-3,7}"."""
    numbers = set(map(int, found))
    begins, ends = (sorted(one for one in numbers if one + step not in numbers) for step in (-1, 1))
    said = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(begins, ends, strict=True)]
    return [f"{{{','.join(said)}}}"] if len(numbers) > 1 else said


def clip(text: str, limit: int = 80) -> str:
    """Return the text, cut to `limit` characters for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shorten(text: str, limit: int) -> str:
    """Return the text, the middle left out where it has more than `limit` characters: its end may count the rest.

    Examples:
        >>> from workbench.errors import shorten
        >>> shorten("item 1, item 2, item 3, and 47 more", 24)
        'item 1, item 2… 47 more'
    """
    if len(text) <= limit:
        return text
    end = limit // 3
    return f"{text[: limit - end - 2].rstrip()}… {text[len(text) - end :].lstrip()}"


def _printable(text: str) -> str:
    """Return the text with characters that no file can hold, or that a terminal would obey, as escapes."""
    whole = text.encode("utf-8", "backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", whole)
