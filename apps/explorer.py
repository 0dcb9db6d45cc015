"""The explorer (`make explore`): this file starts it, the page chosen draws itself."""

import os
from pathlib import Path

import streamlit as st

from apps import navigation, style

# One problem on a small model: a second thread gains nothing, and on a busy machine the two wait for each other (1 to
# 11 seconds a problem instead of 0.1). Read by PyTorch when it is imported; whoever sets it in the shell is heard.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# An icon by name would be fetched from the network by the browser.
ICON = Path(__file__).with_name("icon.svg").read_text()

st.set_page_config("Coconut Workbench", ICON, layout="wide", menu_items={"About": "Coconut Workbench"})
style.apply()
navigation.draw()
