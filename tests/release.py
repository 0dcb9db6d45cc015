"""The checklist of a release: `make release` says what holds, and writes what is published beside the wheel.

    python -m tests.release --out dist

Into the folder go the wheel, `sbom.cdx.json` (CycloneDX: every package of the lock with version, licence and hashes)
and `licences.md`. The command ends with status 1 where anything on the list does not hold.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Annotated

import typer
from packaging.utils import canonicalize_name

from tests import wheel
from tests.wheel import ROOT, version_here

PERMISSIVE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense|HPND|CC0|0BSD|zlib|Zope", re.I)
"""Licences under which a package may be installed beside ours without a further duty but to name them."""
WEAK = {
    "certifi": "MPL-2.0, certificates as data", "fqdn": "MPL-2.0, JupyterLab only", "hypothesis": "MPL-2.0, tests only",
    "pathspec": "MPL-2.0, documentation only", "tqdm": "MPL-2.0 and MIT",
}  # fmt: skip
"""Packages under a licence that asks for changes of their own files to be published; none ships with ours."""


def locked() -> dict[str, tuple[str, list[str]]]:
    """Return version and SHA-256 hashes of every package in requirements.lock, by its normal name."""
    text = re.sub(r" *\\\n *", " ", (ROOT / "requirements.lock").read_text())
    found = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    pins = ((one[0].split("=="), [h.removeprefix("--hash=sha256:") for h in one[1:]]) for one in found)
    return {canonicalize_name(name): (version, hashes) for (name, version), hashes in pins}


def constrained() -> dict[str, str]:
    """Return the versions of constraints.txt by normal name."""
    lines = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    return {canonicalize_name(name): version for name, version in lines}


def licence(name: str) -> str:
    """Return what a package says of its licence, empty where it says nothing."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    classes = [one.split(" :: ")[-1] for one in about.get_all("Classifier") or () if one.startswith("License ::")]
    fields = about.json  # what is missing has no key
    said = str(fields.get("license_expression") or ", ".join(classes) or fields.get("license") or "")
    return said.splitlines()[0][:80] if said else ""


def sbom() -> dict[str, object]:
    """Return the bill of materials, the same for the same lock and the same packages."""
    parts = [
        {
            "type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}",
            "bom-ref": f"{name}@{version}",
            "licenses": [{"license": {"name": said}}] if (said := licence(name)) else [],
            "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
        }
        for name, (version, hashes) in sorted(locked().items())
    ]  # fmt: skip
    ours = {"type": "application", "name": "coconut-workbench", "version": version_here()}
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts, sort_keys=True))
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1,
        "metadata": {"component": ours}, "components": parts,
    }  # fmt: skip


def git(*command: str) -> str:
    """Return what git prints."""
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def checks(out: Path) -> Iterator[tuple[str, str]]:
    """Yield each point of the list, and what is wrong with it, empty where nothing is."""
    here, pins, versions = version_here(), locked(), constrained()
    yield "the working tree is clean", git("status", "--porcelain")[:200]
    cited = (ROOT / "CITATION.cff").read_text()
    yield f"CITATION.cff is of {here}", "" if f"version: {here}\n" in cited else "another version"
    logged = f"## [{here}]" in (ROOT / "CHANGELOG.md").read_text()
    yield f"CHANGELOG.md has a part for {here}", "" if logged else "its changes are under Unreleased"
    yield f"no tag v{here} is there yet", git("tag", "--list", f"v{here}").strip()
    other = [f"{name} {have}" for name, (have, _) in pins.items() if versions.get(name, have) != have.split("+")[0]]
    yield "requirements.lock has the versions of constraints.txt", ", ".join(other)
    yield "every package of the lock has a hash", ", ".join(name for name, (_, hashes) in pins.items() if not hashes)
    said = {name: licence(name) for name in pins}
    unclear = {name: text for name, text in said.items() if not PERMISSIVE.search(text) and name not in WEAK}
    yield "licences are known and permissive", ", ".join(f"{n}: {t or 'not stated'}" for n, t in unclear.items())
    try:
        made = wheel.built(out)
    except RuntimeError as error:
        yield "the wheel builds", str(error)
    else:
        yield "the wheel builds", ""
        yield from ((f"the wheel: {point}", fault) for point, fault in wheel.checks(made))
    objects = dict(line.split(": ") for line in git("count-objects", "-v").splitlines())
    clone = int(objects["size-pack"]) / 1024
    yield f"a clone is below 100 MB ({clone:.0f})", "" if clone < 100 else "history has grown"


def main(out: Annotated[Path, typer.Option(help="Folder for wheel, bill of materials and licences.")]) -> None:
    """Go through the list."""
    out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for point, fault in checks(out):
        wrong += bool(fault)
        typer.echo(f"{'✗' if fault else '✓'} {point}{f': {fault}' if fault else ''}")
    (out / "sbom.cdx.json").write_text(json.dumps(sbom(), indent=1) + "\n")
    rows = [f"| {n} | {v} | {licence(n) or 'not stated'} |" for n, (v, _) in sorted(locked().items())]
    (out / "licences.md").write_text("\n".join(["| package | version | licence |", "|---|---|---|", *rows]) + "\n")
    raise typer.Exit(bool(wrong))


if __name__ == "__main__":
    typer.run(main)
