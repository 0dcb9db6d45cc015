"""The error boundary: the one place where an error becomes words on the page, never a traceback."""

import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from traceback import extract_tb

import streamlit as st

from apps.text import plain
from workbench.errors import WorkbenchError

LOG = logging.getLogger("apps.explorer")
PACKAGES = ("coconut-workbench", "streamlit", "torch", "transformers", "plotly")


@contextmanager
def in_words() -> Iterator[None]:
    """Show what goes wrong inside the block: a user's mistake as what, why and do, all else as a fault of the app.

    Streamlit's own signals (stop, rerun) pass: they are no `Exception`.
    """
    try:
        yield
    except WorkbenchError as error:
        show(error)
    except Exception as error:  # whatever it is, the page must say it in words
        LOG.exception("The explorer failed")
        st.error(
            "**The explorer failed here, and it should not have.** The rest of the page still works.",
            icon=":material/warning:",
        )
        st.markdown(
            "Reload the page, or go back one step. If it happens again, please open an issue with the lines below; "
            "the full traceback is in the terminal that runs the explorer."
        )
        with st.expander("What to report"):
            st.code(_report(error), language=None)


def show(error: WorkbenchError) -> None:
    """Show a mistake that the user can mend."""
    reasons = [plain(line.strip()) for line in error.why.splitlines() if line.strip()]
    st.error(f"**{plain(error.what)}**", icon=":material/error:")
    with st.container(border=True):
        if len(reasons) == 1:
            st.markdown(f"**Why**  {reasons[0]}")
        else:
            st.markdown("**Why**\n" + "\n".join(f"- {reason}" for reason in reasons))
        st.markdown(f"**Do**  {plain(error.do)}")


def _report(error: Exception) -> str:
    last = extract_tb(error.__traceback__)[-1]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return "\n".join(
        [
            f"{type(error).__name__}: {str(error)[:500]}",
            f"at {Path(last.filename).name}:{last.lineno} in {last.name}",
            f"view: {dict(st.query_params)}",
            f"Python {platform.python_version()} on {sys.platform}, {packages}",
        ]
    )
