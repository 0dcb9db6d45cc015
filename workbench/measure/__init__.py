"""Measurements: traces, scores of nodes, statistics, evaluation."""
