"""The tasks beside ProsQA, where a problem is words alone: ProntoQA and arithmetic word problems."""
