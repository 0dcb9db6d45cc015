"""The one error a user meets: what happened, why, and what to do about it."""


class WorkbenchError(Exception):
    """A mistake a user can mend.

    The explorer shows it without a traceback; the command line prints it and exits with status 2.

    Args:
        what: What could not be done, one sentence.
        why: The reason, naming the file, item, field or value.
        do: The next thing to try.
    """

    def __init__(self, what: str, why: str, do: str) -> None:
        super().__init__(what, why, do)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        """Return the three parts on lines of their own."""
        return f"{self.what}\n  why: {self.why}\n  do:  {self.do}"
