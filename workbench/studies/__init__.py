"""Studies: report, audit, comparison, reproduction, stopping."""
