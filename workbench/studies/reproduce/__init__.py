"""Claims of the literature, measured here."""
