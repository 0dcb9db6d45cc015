"""What the literature says of continuous thoughts, checked on bundled runs: claim, published value, ours, verdict."""
