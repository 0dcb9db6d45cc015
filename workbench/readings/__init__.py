"""Readings: what the literature reads from thoughts, each a function from recordings to a table, with its controls."""
