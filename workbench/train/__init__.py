"""Training: one path from a configuration to gradients, for every task, format and method.

- `methods`: what a method feeds, says and asks; stage mixing.
- `config`: the configuration, and the schedule that moves a run on.
- `batch`: what a step runs and learns; `graphs` and `text` draw it.
- `forward`: the forward pass on any Hugging Face model; `fast`: the same for Qwen2 and Llama.
- `objective`: the loss.
- `init`: what a run begins with; `state`: what changes, saved, resumed and exported.
- `loop`: the loop; `distributed`: sharded weights; `launch`: `workbench train`.
"""
