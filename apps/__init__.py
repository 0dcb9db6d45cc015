"""The explorer, a Streamlit app over the library.

`explorer` starts it and holds the list of pages; each page in `views/` draws itself.
`links` ties what is chosen to the address, `state` holds what is chosen as values, `cache` keeps what was computed.
`sidebar_model` and `sidebar_problem` are the boxes at the left, `components/` what several pages show.
`text` and `widgets` put words, figures and tables on the page, `errors` turns errors into words.
`code_export` writes the script of a view, `tour` leads through five interventions.
"""
