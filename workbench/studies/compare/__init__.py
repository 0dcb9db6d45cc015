"""Comparisons: methods, seeds and tasks trained and measured on the same problems, in one page."""
