"""Models: prompts, checkpoints, the Coconut recurrence, cached sessions, TransformerLens."""
