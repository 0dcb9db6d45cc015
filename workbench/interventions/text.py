"""Plans written down: as YAML, as a piece of an address, and as the Python code that makes them.

An address reads `project:nodes=on_path,negative;at=1,2~noise:strength=0.5`, with `freeze~` in front where later
thoughts are frozen: kinds and fields are words, so that it can be edited by hand. It is data: nothing in it is ever
run. What older versions wrote is read too.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, get_args, get_origin
from urllib.parse import quote, unquote

import yaml

from workbench.errors import WorkbenchError, unknown
from workbench.interventions import layers, thoughts
from workbench.interventions.base import KINDS, Intervention
from workbench.interventions.plan import Plan
from workbench.settings import build, parse_yaml

KIND_MODULES = (thoughts, layers)
"""Modules whose kinds enter `base.KINDS` when they are imported."""

FORMER_FIELDS = {"dose": "strength", "donor": "source"}
"""Names that fields had before, and have now."""

ADDRESS_SAFE = ":;,=~%"
"""Beside letters, digits and `-_.`, all that an address holds. A link keeps it readable with
`urllib.parse.quote(address, safe=":;,=~")`; undone, it is the same text again."""

MOST_ADDRESS = 4000
"""Characters of the longest address read."""

_FREEZE, _FORMERLY = "freeze", "frozen"
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?(e-?\d{1,3})?", re.ASCII)


def to_yaml(plan: Plan) -> str:
    """Return a plan as YAML; fields that have their default are left out."""
    steps = [{"kind": one.kind} | {name: _plain(value) for name, value in _said(one)} for one in plan.interventions]
    return yaml.safe_dump({_FREEZE: plan.freeze, "interventions": steps}, sort_keys=False, allow_unicode=True)


def from_yaml(text: str) -> Plan:
    """Read a plan, or a plain list of interventions, from YAML.

    Raises:
        WorkbenchError: It is none; the nearest right word is named.
    """
    try:
        raw = parse_yaml(text)
    except ValueError as error:
        raise _no_plan(str(error)) from error
    raw = {"interventions": raw} if isinstance(raw, list) else raw
    if not isinstance(raw, dict) or not isinstance(raw.get("interventions", []), list):
        raise _no_plan(f"it is {raw!r:.80}, not a list of interventions")
    strange = [key for key in raw if key not in (_FREEZE, _FORMERLY, "interventions")]
    freeze = raw.get(_FREEZE, raw.get(_FORMERLY, False))
    if strange or not isinstance(freeze, bool):
        raise _no_plan(f"{strange[0]!r:.80} is no key of it" if strange else "freeze must be true or false")
    return Plan(tuple(_made(number, step) for number, step in enumerate(raw.get("interventions", []), 1)), freeze)


def to_address(plan: Plan) -> str:
    """Return a plan as text for a link; empty for one that does nothing."""
    parts = [_FREEZE] if plan.freeze else []
    for one in plan.interventions:
        said = ";".join(f"{name}={_spelt(value)}" for name, value in _said(one))
        parts.append(f"{one.kind}:{said}" if said else one.kind)
    return "~".join(parts)


def from_address(text: str) -> Plan:
    """Read what `to_address` wrote.

    Raises:
        WorkbenchError: It is not that; the nearest right word is named.
    """
    if len(text) > MOST_ADDRESS:
        raise _no_plan(f"it has {len(text)} characters, at most {MOST_ADDRESS} are read")
    parts = text.split("~") if text else []
    freeze = parts[:1] in ([_FREEZE], [_FORMERLY])
    steps = []
    for number, part in enumerate(parts[freeze:], 1):
        kind, _, said = part.partition(":")
        step: dict[str, Any] = {"kind": kind}
        for pair in said.split(";") if said else []:
            name, equals, value = pair.partition("=")
            if not equals or name in step:
                raise _no_plan(f"intervention {number} has {pair!r:.80}, which is no new field=value")
            step[name] = _read(_kind(kind), FORMER_FIELDS.get(name, name), value)
        steps.append(_made(number, step))
    return Plan(tuple(steps), freeze)


def to_code(plan: Plan) -> str:
    """Return the lines of Python that make a plan, imports first; the last one is `plan = ...`.

    Kinds that `workbench` does not list as public are imported from their modules.
    """
    public = import_module("workbench").PUBLIC  # which imports this module when a kind is first asked for
    imports, steps = ["import workbench as wb"], ""
    for one in plan.interventions:
        name, module = type(one).__name__, type(one).__module__
        if public.get(name) == module:
            name = f"wb.{name}"
        else:
            imports.append(f"from {module} import {name}")
        steps += f"        {name}({', '.join(f'{field}={value!r}' for field, value in _said(one))}),\n"
    freeze = "    freeze=True,\n" if plan.freeze else ""
    listed = f"    (\n{steps}    ),\n" if steps else ""
    made = f"plan = wb.Plan(\n{listed}{freeze})" if listed or freeze else "plan = wb.Plan()"
    return "\n".join([*dict.fromkeys(imports), "", made])


def _said(one: Intervention) -> Iterator[tuple[str, Any]]:
    """Yield the fields that do not have their default."""
    for field in fields(one):
        value = getattr(one, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _spelt(value: Any) -> str:
    """Write a value with the characters of an address."""
    if isinstance(value, tuple):
        return ",".join(map(_spelt, value))
    if isinstance(value, bool):
        return str(value).lower()
    # `quote` leaves "~" as it is, which separates interventions here.
    return quote(value, safe="").replace("~", "%7E") if isinstance(value, str) else repr(value)


def _read(kind: type[Intervention] | None, name: str, value: str) -> Any:
    """Read a value as its field has it; what fits no field is left for `settings.build` to refuse."""
    wanted = next((field.type for field in fields(kind) if field.name == name), str) if kind else str
    inside = get_args(wanted)[0] if get_origin(wanted) is tuple else wanted

    def one(text: str) -> Any:
        if inside is bool and text in ("true", "false"):
            return text == "true"
        if inside in (int, float) and _NUMBER.fullmatch(text):
            return float(text) if inside is float else int(text) if text.lstrip("-").isdecimal() else text
        return unquote(text)

    if get_origin(wanted) is tuple:
        return [one(text) for text in value.split(",")] if value else []
    return one(value)


def _made(number: int, raw: Any) -> Intervention:
    """Build an intervention from its kind and fields."""
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        raise _no_plan(f"intervention {number} is {raw!r:.80}, without a kind")
    kind = _kind(raw["kind"])
    if kind is None:
        raise unknown("intervention", raw["kind"][:40], KINDS)
    given: dict[str, Any] = {
        FORMER_FIELDS.get(str(key), str(key)): value for key, value in raw.items() if key != "kind"
    }
    return build(kind, given, f'intervention "{kind.kind}"')


def _kind(name: str) -> type[Intervention] | None:
    """Return the kind of a name, be it a former one; None where there is none."""
    return KINDS.get(name) or next((kind for kind in KINDS.values() if name in kind.former), None)


def _no_plan(
    why: str, do: str = "See the interventions in docs, or copy the link or code of a plan."
) -> WorkbenchError:
    return WorkbenchError("This is no plan of interventions.", f"{why[:300]}.", do)
