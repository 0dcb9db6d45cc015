"""Studies of whole models, and the pages that they write.

- artefacts: output directories that an interrupted command goes on with, and their Parquet tables
- pages: the template environment, tables of text, figures as HTML; `templates/` holds the pages
- claims: a claim, the checks it is held against, and the verdict; `literature.yaml` lists the papers' claims
- report, report_readings: a problem set run and read, as tables and pages
- stopping: rules for when to stop thinking, and how good they are
- audit: six batteries of interventions on one model, and the card that they fill
- compare: methods trained side by side and measured on the same problems
- reproduce: the claims of the literature measured on the bundled runs
"""
