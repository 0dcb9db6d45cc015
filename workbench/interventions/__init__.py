"""Interventions: what may be done to a thought or inside a layer, plans of several, and the runner."""
