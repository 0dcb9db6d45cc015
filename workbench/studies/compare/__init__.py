"""Methods of training compared: a suite of runs trained, measured on the same problems and reported.

- suite: the suite file and the runs that it means
- jobs: what is left to do, and the processes that do it
- measure: what each run answers, a row per question, and how long it takes
- extras: what else is asked of a finished run, its audit card and its reading at every kept checkpoint
- outcome: from answers to figures, and all that is there of a suite
- claims: published numbers, and verdicts on the papers' claims
- cards, emerging: sections of the report about these
- page: the report, HTML and Markdown
- variants: the page of a suite of variants: a reward, a recipe, with their controls
"""
