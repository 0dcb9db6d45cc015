"""Measurements: runs of a model over problems, scores of nodes, statistics, evaluation.

- `arrays`: a trace, the arrays of one run on one problem
- `trace`: runs that make traces, or answers alone
- `chains`: a chain in words, step by step beside the solution
- `recording`: activations of a whole set, and of its controls
- `run_labels`: the names of the model's own run and of its controls
- `scores`: values of every node, and statistics of them with chance levels
- `search_tree`: probabilities of names token by token, and the search tree of one problem
- `statistics`: bootstrap, paired tests, logistic fits, dimensionality
- `class_means`: means by node class, as tables 1 and 5 of arXiv 2505.12514
- `splits`: problems to fit lenses and probes on, apart from those they are read on
- `behaviour`: the category of a written explanation
- `effects`: what an intervention changes
- `evaluate`: the evaluation of a model, with its table of results
- `columns`: the data dictionary of all Parquet tables
- `provenance`: seed, versions, commit and digests
"""
