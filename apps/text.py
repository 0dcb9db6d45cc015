"""Text for markdown: shown as it is, whatever is in it."""

import re


def plain(text: object) -> str:
    """Return a text so that markdown shows it as it is: a link, a question, a file or the model wrote it.

    Only what markdown or Streamlit reads as a mark is escaped; lines are joined.
    """
    return re.sub(r"([\\`*_{}\[\]<>()#+\-!|$~:&])", r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """Return a text as code in a line of markdown, whatever marks it holds."""
    joined = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", joined)), default=0))
    space = " " if joined.startswith("`") or joined.endswith("`") else ""
    return f"{fence}{space}{joined}{space}{fence}"


def plural(count: int, word: str) -> str:
    """Return "1 thought", "2 thoughts"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def no_thoughts(name: str, purpose: str, more: str = "") -> str:
    """Return that a run thinks no thoughts, and what to do where there must be some."""
    return (
        f"**{plain(name)} thinks no thoughts here**, so {purpose}. Choose a run that was trained with thoughts, or "
        f"more than 0 of them{more}."
    )


def said(answer: object) -> str:
    """Return an answer as markdown shows it, "nothing" where there is none."""
    return plain(str(answer).strip() or "nothing")
