"""Model files of other projects become checkpoints.

- `convert`: one source read, asked about, built, checked and written.
- `families`: what is known of each model family's files.
- `archives`: their files read, the only place where a pickle is.
- `recomputing`: the check after an import, logits by a plain loop.
"""
