"""The tables of a report, a part of the problems at a time."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.files import replacing
from workbench.measure.behaviour import Behaviour, classify
from workbench.measure.evaluate import RESULTS_SCHEMA
from workbench.measure.scores import SCORES_SCHEMA, STATISTICS_SCHEMA
from workbench.measure.trace import Trace

TRACES_SCHEMA = 1
"""Version of the columns of `traces_frame`; raised when a column changes its name, type or meaning."""

SCHEMAS = {
    "problems": RESULTS_SCHEMA,
    "traces": TRACES_SCHEMA,
    "scores": SCORES_SCHEMA,
    "statistics": STATISTICS_SCHEMA,
}
"""The tables by name, and the version of each one's columns."""


def traces_frame(traces: Sequence[Trace]) -> pl.DataFrame:
    """Return one row per problem and number of thoughts.

    Columns:
        checkpoint, problem: names. thought: number of thoughts, 0..K.
        vector: the thought of that number, null for 0. answer: greedy answer after so many; right, valid: whether it
        is exactly right, of a valid form. answer_values: probability of each node (in their order) as the answer.
        continuation: what the model goes on to say after the step opening; behaviour: its category; both null where
        no continuation was asked for. top_tokens, top_probabilities: likeliest tokens under the LM head of that
        thought, best first, null for 0.
    The node values of the two readouts are in `scores.scores_frame`.
    """
    rows = []
    for trace in traces:
        about = {"checkpoint": trace.checkpoint, "problem": trace.problem.id}
        for k, text in enumerate(trace.answer_texts):
            said = trace.continuations[k] if trace.continuations else None
            top = trace.top_tokens[k - 1] if k else None
            rows.append(
                {
                    **about,
                    "thought": k,
                    "vector": pl.Series(trace.thoughts[k - 1]) if k else None,
                    "answer": text,
                    "right": bool(trace.answer_right[k]),
                    "valid": bool(trace.answer_valid[k]),
                    "answer_values": pl.Series(trace.answers[k]),
                    "continuation": said,
                    "behaviour": classify(trace.problem, said, trace.hop(k)).value if said is not None else None,
                    "top_tokens": [token for token, _ in top] if top is not None else None,
                    "top_probabilities": [probability for _, probability in top] if top is not None else None,
                }
            )
    schema = {
        "checkpoint": pl.String,
        "problem": pl.String,
        "thought": pl.Int16,
        "vector": pl.List(pl.Float32),
        "answer": pl.String,
        "right": pl.Boolean,
        "valid": pl.Boolean,
        "answer_values": pl.List(pl.Float32),
        "continuation": pl.String,
        "behaviour": pl.Enum([behaviour.value for behaviour in Behaviour]),
        "top_tokens": pl.List(pl.String),
        "top_probabilities": pl.List(pl.Float32),
    }
    columns = {name: [row[name] for row in rows] for name in schema}
    return pl.DataFrame(
        {name: pl.Series(name, values, dtype=schema[name]) for name, values in columns.items()}, schema=schema
    )


class TableWriter:
    """Writes a Parquet file part by part, a row group each; the file appears when all of it is written.

    Args:
        path: Of the file.
        schema: Version of its columns.
        origin: Seed, versions, commit and digests; with the version they are the file's metadata.
    """

    def __init__(self, path: Path, schema: int, origin: dict[str, object]) -> None:
        self.path, self._whole = path, ExitStack()
        self._metadata = {"schema_version": str(schema), "workbench": json.dumps(origin, sort_keys=True)}
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> "TableWriter":
        """Begin."""
        self._unfinished = self._whole.enter_context(replacing(self.path))
        return self

    def write(self, part: pa.Table) -> None:
        """Append a part; all have the same columns."""
        if self._writer is None:
            schema = part.schema.with_metadata({**(part.schema.metadata or {}), **self._metadata})
            self._writer = pq.ParquetWriter(self._unfinished, schema, compression="zstd")
        self._writer.write_table(part.replace_schema_metadata(self._writer.schema.metadata), len(part))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and give it its name if nothing went wrong."""
        if self._writer is not None:
            self._writer.close()
        self._whole.__exit__(kind, error, trace)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return a frame as an Arrow table with the types that every Parquet reader knows."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
