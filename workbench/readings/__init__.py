"""Readings: tables computed from the recordings of a model and of its controls."""
