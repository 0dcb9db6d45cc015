"""The explorer (`make explore`): this file starts it, `page.py` draws it."""

import streamlit as st

from apps import style

st.set_page_config("Coconut Workbench", ":material/hub:", layout="wide", menu_items={"About": "Coconut Workbench"})
style.apply()

# PyTorch and transformers take some seconds to import, once per server: the page says so instead of staying white.
with st.spinner("Starting: loading PyTorch and transformers ..."):
    from apps import page

page.draw()
