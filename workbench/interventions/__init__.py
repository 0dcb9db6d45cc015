"""Interventions as values: what is changed in a thought or an activation while the model runs."""
