"""`python -m workbench`: the same as the command `workbench`, where that is not on the path."""

from workbench.cli import app

if __name__ == "__main__":
    app()
