"""What the model goes on to say, and whether it answers right, when its thoughts are cut after k."""

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from workbench.figures.values import accuracy_by_thoughts, behaviour_shares
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.recording import Recording
from workbench.measure.run_labels import RUN
from workbench.problems.graph import structure
from workbench.readings.base import Reading


def behaviour_frame(recordings: Sequence[Recording]) -> pl.DataFrame:
    """Return one row per (run, problem, number of thoughts 0..K).

    Columns: run, problem, thought, steps (hops from root to target), correct and valid (the answer forced right after
    the thoughts), said (the continuation), behaviour (a value of `Behaviour`); the last two are null where the
    recording has no continuations. The beginning that was thought and not written is taken to be exactly as many steps
    as the thoughts stand for (`classify`, prefix="exact").
    """
    rows = []
    for recording in recordings:
        for problem, trace in zip(recording.problems, recording.traces, strict=True):
            right, valid, length = trace.answer_right, trace.answer_valid, structure(problem).length
            for k in range(len(right)):
                said = trace.continuations[k] if trace.continuations else None
                how = None if said is None else classify(problem, said, trace.hop(k)).value
                rows.append((recording.label, problem.id, k, length, bool(right[k]), bool(valid[k]), said, how))
    columns = {
        RUN: pl.String,
        "problem": pl.String,
        "thought": pl.Int16,
        "steps": pl.Int16,
        "correct": pl.Boolean,
        "valid": pl.Boolean,
        "said": pl.String,
        "behaviour": pl.Enum([b.value for b in Behaviour]),
    }
    return pl.DataFrame(rows, schema=columns, orient="row")


def behaviour_figures(frame: pl.DataFrame) -> list[go.Figure]:
    """Return accuracy by number of thoughts and, where continuations were recorded, the shares of the categories.

    Where there are none, `behaviour_shares` says what to do.
    """
    drawn = [accuracy_by_thoughts(frame)]
    return drawn if frame["behaviour"].null_count() else [*drawn, behaviour_shares(frame)]


READING = Reading(
    "behaviour",
    "Behaviour by number of thoughts",
    "What does the model answer, and what does it say on the way, when it must speak after k thoughts?",
    "Coconut, arXiv 2412.06769, v3, section 4, figure 3 (v1: figure 5)",
    "Accuracy: a coin between the two options. The categories have no chance level; the controls stand for it.",
    1,
    behaviour_frame,
    behaviour_figures,
)
