"""Changes made while a model thinks, and runs under them.

- `base`: what an intervention is; every kind by its name; what an intervention knows of its batch.
- `thoughts`: kinds that change what is fed as a thought.
- `layers`: kinds that act inside the layers: attention knocked out, activations ablated or patched.
- `nodes`: sets of a problem's nodes by name.
- `plan`: several interventions in order, and what they can change at all.
- `run`: answers of a problem set under plans, and the runner for every other experiment.
- `controls`: controls of a plan on one problem, and its answers at several strengths.
- `text`: plans as YAML, as links and as Python.
"""
