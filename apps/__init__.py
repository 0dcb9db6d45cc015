"""The Streamlit explorer. It holds no mathematics: it calls the library and shows what comes back."""
