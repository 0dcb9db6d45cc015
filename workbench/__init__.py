"""Coconut Workbench: see and test what a model that reasons in continuous thoughts is thinking."""
