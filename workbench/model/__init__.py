"""Models that reason in continuous thoughts: prompts, the recurrence, checkpoints, hooks.

- `prompts`: what every prompt format does; a problem as token ids.
- `formats`: the formats `edges`, `words` and `text`, and where edges and options stand in a prompt.
- `recurrence`: how a thought is made, what is fed of what is read: a value in `config.coconut`.
- `coconut`: the loop, differentiable and without tricks; the reference of all other runs.
- `session`: the same on a cache that can be rewound, branches after any number of thoughts, and the loop over a set.
- `engines`: where the batches of that loop run, in this process or on a Ray cluster.
- `checkpoint`: models on disk and on the hub, loaded with checks.
- `importing`: model files of other projects become checkpoints.
- `reader`: the second language model of SIM-CoT, which says a thought in words.
- `lens`: TransformerLens hooks and caches over every thought, residual streams, the logit lens.
"""
