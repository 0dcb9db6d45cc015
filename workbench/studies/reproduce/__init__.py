"""The claims of the literature (`../literature.yaml`), measured on the bundled runs.

- bounds: what is measured for each claim and where it must lie, and problems generated for it
- material: the runs, their problems, and what was already measured of them
- methods: accuracy, and thoughts removed, changed or exchanged
- values: what is said after k thoughts, and the values of nodes
- superposition: what is inside a thought: attention, inner products, sums, norms and probes
- page: each claim measured and judged, and the table of all
"""
