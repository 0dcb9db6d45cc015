"""What a user gets who has no checkout: `python -m tests.wheel` builds the wheel, installs it apart and uses it.

Pip unpacks the wheel into a folder of its own, without dependencies: they are those of this Python. From an empty
folder follow the version, an evaluation and a trace of the shipped run on shipped problems, and a check of the types of
a script that uses the package. A hook ends a command at its first use of the network, in itself or a Python that it
starts. The command ends with status 1 where anything does not hold. Building asks a package index for hatchling.
"""

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
RUN, SET, ASKED = "reference", "released", 20
"""What ships, and how many of its problems are evaluated."""
ALONE = """
import sys

def refuse(event, given):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        if event == "socket.getaddrinfo" or not isinstance(given[-1], (str, bytes)):  # a path is no network
            sys.stderr.write(f"network: {event} {given!r}\\n")
            raise SystemExit("This command used the network.")

sys.addaudithook(refuse)
"""
"""The file `sitecustomize.py`, which each Python runs first."""
SCRIPT = """
from typing import reveal_type
import workbench as wb

reveal_type(wb.load().answer(wb.load_problems()))
wb.load(1)
"""
"""The type of the first call must be known, the second call be refused."""


def version_here() -> str:
    """Return the version of the checkout."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def built(folder: Path) -> Path:
    """Build the wheel of the checkout into a folder, and return it.

    Raises:
        RuntimeError: It does not build.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    (wheel,) = folder.glob(f"coconut_workbench-{version_here()}-*.whl")
    return wheel


def checks(wheel: Path) -> Iterator[tuple[str, str]]:
    """Yield each thing that must hold of a wheel, and what is wrong with it, empty where nothing is."""
    names = zipfile.ZipFile(wheel).namelist()
    about = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
    yield "it has its licence", "" if any(name.endswith("LICENSE") for name in names) else "no LICENSE"
    yield "it says that it is typed", "" if "workbench/py.typed" in names else "no py.typed"
    yield "it names the project's pages", "" if "\nProject-URL: " in about else "no Project-URL"
    size = wheel.stat().st_size / 1e6
    yield f"it is below 50 MB ({size:.1f})", "" if size < 50 else "too large"
    with TemporaryDirectory() as place:
        installed, empty = Path(place, "installed"), Path(place, "empty")
        empty.mkdir()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
        subprocess.run([*command, str(installed), str(wheel)], check=True)
        (installed / "sitecustomize.py").write_text(ALONE)
        yield from _used(installed, empty)


def _used(installed: Path, empty: Path) -> Iterator[tuple[str, str]]:
    """Yield what must hold of an installed wheel, used from an empty folder."""
    # Nothing of a hub's or of this project's settings: whoever installs the wheel has none.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("WORKBENCH_", "HF_", "PYTHON"))}

    def ask(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**kept, "PYTHONPATH": str(installed)}
        return subprocess.run([sys.executable, *command], cwd=empty, env=environment, capture_output=True, text=True)

    def fault(done: subprocess.CompletedProcess[str], holds: bool) -> str:
        quiet = "network:" not in done.stderr
        return "" if holds and quiet and not done.returncode else (done.stderr or done.stdout)[-300:] or "other output"

    hook = ask("-c", "import socket; socket.create_connection(('127.0.0.1', 9))")
    yield "the network is watched", "" if "network: socket.getaddrinfo" in hook.stderr else "it is not"
    place = ask("-c", "import workbench; print(workbench.__file__)")
    yield "the installed package is used", fault(place, place.stdout.startswith(str(installed)))
    version = ask("-m", "workbench", "--version")
    yield "workbench --version", fault(version, version_here() in version.stdout)
    shipped = installed / "workbench" / "bundled" / "fixtures" / "problems" / f"{SET}.json"
    (empty / "some.json").write_text(json.dumps(json.loads(shipped.read_text())[:ASKED]))
    evaluated = ask("-m", "workbench", "evaluate", RUN, "some.json", "--json", "figures.json")
    done = not evaluated.returncode and json.loads((empty / "figures.json").read_text())["n"] == ASKED
    yield f"workbench evaluate {RUN}, {ASKED} problems of {SET}", fault(evaluated, bool(done))
    traced = ask("-m", "workbench", "trace", RUN, SET, "--json", "trace.json")
    yield f"workbench trace {RUN} {SET}", fault(traced, (empty / "trace.json").exists())
    (empty / "script.py").write_text(SCRIPT)
    options = ["--search-path", str(installed), "--python-interpreter-path", sys.executable]
    command = [sys.executable, "-m", "pyrefly", "check", "--preset", "default", *options, "script.py"]
    typed = subprocess.run(command, cwd=empty, capture_output=True, text=True)
    known = "revealed type: Answers" in typed.stdout and "bad-argument-type" in typed.stdout
    yield "a script that uses it has its types checked", "" if known else (typed.stdout + typed.stderr)[-300:]
    left = {path.name for path in empty.iterdir()} - {"some.json", "figures.json", "trace.json", "script.py"}
    yield "the commands left nothing behind", ", ".join(sorted(left))


def main(wheel: Annotated[Path | None, typer.Argument(help="A wheel; by default one is built.")] = None) -> None:
    """Build the wheel, install it apart, use it."""
    wrong = 0
    with TemporaryDirectory() as folder:
        for point, fault in checks(wheel or built(Path(folder))):
            wrong += bool(fault)
            typer.echo(f"{'✗' if fault else '✓'} {point}{f': {fault}' if fault else ''}")
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
