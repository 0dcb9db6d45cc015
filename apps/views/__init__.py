"""The pages, each with a function `draw`. A folder named `pages` would be run by Streamlit as pages of its own."""
