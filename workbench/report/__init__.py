"""Batch reports: a problem set becomes tables (Parquet) and a page (HTML) that opens offline.

report.json          what went in, and whether it is complete
problems.parquet     a row per problem: answers, controls, candidate mass
traces.parquet       a row per problem and number of thoughts: vector, answer, continuation, decoded tokens
scores.parquet       a row per problem, readout, thought and node
statistics.parquet   a row per problem, readout and thought
evaluation.json      the overall figures with intervals and chance levels
index.html, plotly.min.js
readings/NAME.parquet, readings.html   where readings were asked for, a table for each and their page
"""

from workbench.report.build import Options, write_report

__all__ = ["Options", "write_report"]
