"""Training: methods, configuration, data, objective, loop."""
