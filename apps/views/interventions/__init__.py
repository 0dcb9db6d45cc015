"""The page Interventions.

`page` draws it; `plan` holds the plan being made and its boxes; `subject` runs it and keeps what comes of it; `result`
shows that; `tour` leads through five plans, each with a question.
"""
