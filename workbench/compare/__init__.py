"""Comparisons: a suite of methods, seeds and tasks is trained, measured on the same problems, and put in one report.

suite.py      what a suite file says
plan.py       its runs, each a run directory, and how far they are
jobs.py       what is not done yet, some processes side by side
sweep.py      answers after every number of thoughts, the prompt read once
measure.py    a row per problem and question asked of a run
timing.py     seconds per problem, all methods in turn in one process
outcome.py    from rows to figures, one method at a time
paired.py     methods against Coconut on the same problems
published.py  the papers' numbers, never mixed with ours
claims.py     what the papers claim, and whether ours agree
tables.py     what the page shows, as plain values
page.py       the page, as HTML and as Markdown
build.py      from a suite to its report
"""
