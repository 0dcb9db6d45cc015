"""Surgeries as YAML, as addresses and as code: round trips, and mistakes that are named."""

import random
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin
from urllib.parse import parse_qs, quote

import pytest

from workbench.errors import WorkbenchError
from workbench.interventions.base import SET_PHRASES, Intervention, Option
from workbench.interventions.layers import Ablate, Knockout, PatchLayer
from workbench.interventions.nodes import SETS
from workbench.interventions.plan import Plan
from workbench.interventions.text import KINDS, from_address, from_yaml, to_address, to_code, to_yaml
from workbench.interventions.thoughts import Add, Interpolate, Noise, Patch, Project, Remove

WORDS = ("on_path", "lempus", "a b", "é~;=,:%+&#", "12", "true", "-1", "null", "1e3", "edge-3")


def drawn(kind: type[Intervention], source: random.Random) -> Intervention:
    """Draw every field of an intervention anew, as far as its kind allows."""

    def value(wanted: object) -> object:
        if get_origin(wanted) is tuple:
            return tuple(value(get_args(wanted)[0]) for _ in range(source.randrange(4)))
        if get_origin(wanted) is Literal:
            return source.choice(get_args(wanted))
        choices = {
            int: [source.randrange(1, 99)],
            float: [0.0, -0.1, 1e-7, source.uniform(-3, 3), 999.0],
            str: WORDS,
            bool: [True, False],
        }
        return source.choice(choices[wanted])  # type: ignore[index]

    while True:
        try:
            return kind(**{field.name: value(field.type) for field in fields(kind)})  # type: ignore[arg-type]
        except WorkbenchError:
            continue


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back_exactly(kind: str) -> None:
    source = random.Random(kind)
    for _ in range(40):
        steps = tuple(drawn(KINDS[one], source) for one in (kind, *source.sample(sorted(KINDS), source.randrange(3))))
        plan = Plan(steps, source.random() < 0.5)
        assert from_yaml(to_yaml(plan)) == plan
        address = to_address(plan)
        assert from_address(address) == plan
        link = parse_qs("surgery=" + quote(address, safe=":;,=~"))
        assert link.get("surgery", [""]) == [address]
        made: dict[str, object] = {}
        exec(to_code(plan), made)
        assert made["plan"] == plan


def test_an_address_can_be_read_and_written_by_hand() -> None:
    plan = Plan((Project(("on_path", "target"), at=(1, 2)), Noise(0.5), Remove(at=(3,))), freeze=True)
    address = "freeze~project:at=1,2;nodes=on_path,target~noise:strength=0.5~remove:at=3"
    assert to_address(plan) == address
    assert (
        from_address("freeze~project:nodes=on_path,target;at=1,2~noise:strength=.5~remove:at=3".replace("=.", "=0."))
        == plan
    )
    assert (to_address(Plan()), from_address("")) == ("", Plan())
    assert from_yaml("- {kind: noise, strength: 1}\n- {kind: add, nodes: [12, lempus]}") == Plan(
        (Noise(1.0), Add(("12", "lempus")))
    )
    assert to_code(Plan((Noise(0.5),))).splitlines()[-1] == ")"


def test_what_older_versions_wrote_is_read() -> None:
    old = "frozen~transplant:at=1;donor=own~interpolate:dose=0.25~patch:part=mlp;donor=friend~ablate:dose=0.5"
    now = (
        Patch("own", at=(1,)), Interpolate(strength=0.25), PatchLayer("mlp", source="friend"), Ablate(strength=0.5)
    )  # fmt: skip
    assert from_address(old) == Plan(now, freeze=True)
    assert from_yaml("{frozen: true, interventions: [{kind: transplant, donor: own, at: [1]}]}") == Plan(now[:1], True)
    assert from_address("patch") == Plan((PatchLayer(),))
    assert to_address(from_address("transplant:donor=b")) == "patch_thought:source=b"


def test_every_set_of_nodes_has_words_for_a_description() -> None:
    assert SET_PHRASES.keys() == SETS.keys()
    assert Project(nodes=("all_on_path",)).label == "remove the shortest-path nodes of all hops"
    assert Project(nodes=("root", "7")).label == "remove the root + 7"


def test_a_new_kind_is_one_class() -> None:
    @dataclass(frozen=True)
    class Flip(Intervention, kind="flip", says="turn {nodes}", node_fields=("nodes",)):
        """The thought with its sign turned. More of it."""

        nodes: tuple[str, ...] = ("root",)
        """Which nodes."""
        strength: float = 1.0
        """Share turned."""

    try:
        one = from_address("flip:at=1,2,3;strength=0.5").interventions[0]
        assert one == Flip(strength=0.5, at=(1, 2, 3))
        assert one.described(4) == "turn the root in thoughts 1 to 3, strength 0.5"
        assert one.controls == ("other nodes", "random direction")
        assert Flip.help() == "The thought with its sign turned. More of it."
        assert Flip.options() == [
            Option("nodes", tuple[str, ...], ("root",), "Which nodes.", nodes=True),
            Option("strength", float, 1.0, "Share turned."),
        ]
    finally:
        del KINDS["flip"]
    with pytest.raises(AttributeError, match="tytle"):
        type("Wrong", (Intervention,), {}, kind="wrong", tytle="Misspelt")
    assert "wrong" not in KINDS


def test_every_field_is_documented_and_every_kind_has_words() -> None:
    for kind in KINDS.values():
        assert all(option.help.endswith(".") for option in kind.options()), kind
        assert kind.help()
        assert kind().described(3).startswith(kind.says.split(" {")[0].split("{")[0])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nois", 'Did you mean "noise"'),
        ("noise:strenth=1", "did you mean strength"),
        ("noise:strength=1;strength=2", "no new field=value"),
        ("noise:strength", "no new field=value"),
        ("noise:strength=nan", "expected float|is too large"),
        ("noise:strength=1e9", "too large"),
        ("noise:seed=1.5", "expected int"),
        ("noise:at=0", "counted from 1"),
        ("noise:at=x", "expected int"),
        ("interpolate:path=spher", "'sphere' or 'line'"),
        ("project:nodes=", None),
        ("ablate:part=mlp;heads=1", "has none"),
        ("patch:where=both", "thoughts only"),
        ("~noise", "no intervention"),
        ("noise~" * 40 + "noise", "at most|32"),
        ("noise:at=" + "1," * 3000 + "1", "at most"),
        ("__import__('os')", "no intervention"),
    ],
)
def test_a_mistake_in_an_address_is_named(text: str, named: str | None) -> None:
    if named is None:
        assert from_address(text) == Plan((Project(()),))
        return
    with pytest.raises(WorkbenchError, match=named):
        from_address(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hello", "not a list"),
        ("{freeze: 1}", "true or false"),
        ("{freze: true}", "'freze' is no key"),
        ("[{strength: 1}]", "without a kind"),
        ("[{kind: superpos}]", 'Did you mean "superpose"'),
        ("[{kind: noise, strength: a lot}]", "expected float"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: &a [1]\nb: *a", "alias"),
        ("[" * 60_000, "no plan"),
        ("-" * 70_000, "at most 64000"),
    ],
)
def test_a_mistake_in_yaml_is_named(text: str, named: str) -> None:
    with pytest.raises(WorkbenchError, match=named):
        from_yaml(text)


def test_defaults_are_sound() -> None:
    assert all(isinstance(kind(), Intervention) for kind in KINDS.values())
    assert Knockout(("edges",), layers=(1,)) == Knockout(to=("edges",), layers=(1,))
    for wrong in (
        lambda: Ablate(to="mean", where="both"),
        lambda: PatchLayer(source="mean"),
        lambda: PatchLayer(source=""),
    ):
        with pytest.raises(WorkbenchError):
            wrong()
