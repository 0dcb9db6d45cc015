"""YAML of others: what is too much is refused in few words, and what is read can be written."""

import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workbench.errors import LONGEST_MESSAGE, WorkbenchError, grouped, shorten
from workbench.settings import MOST_REPEATED, MOST_YAML, build, parse_yaml, read_settings


@dataclass(frozen=True)
class Inner:
    """A part of settings."""

    count: int = 1
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    """Settings."""

    name: str = ""
    on: bool = False
    inner: Inner = field(default_factory=Inner)
    numbers: tuple[int, ...] = ()
    table: dict[str, float] = field(default_factory=dict)


def laughs(levels: int) -> str:
    lines = ["name0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, levels):
        lines.append(f"name{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


def test_aliases_do_not_multiply(tmp_path: Path) -> None:
    (tmp_path / "laughs.yaml").write_text(laughs(8))
    tracemalloc.start()
    with pytest.raises(WorkbenchError, match="alias") as caught:
        build(Outer, read_settings(tmp_path / "laughs.yaml", "configuration"), "configuration")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(str(caught.value)) <= LONGEST_MESSAGE
    assert most < 10e6


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 1", "top: {a: 1, 'a': 2}", "- {x: 1, a: 2}\n- {a: 1, a: 3}"])
def test_a_key_that_is_there_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it has the key a twice"):
        parse_yaml(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {<<: *a}",
        "a: &a {x: 1}\nb: {<<: *a}",
        "b: *nowhere",
        f"a: &a {'x' * (MOST_REPEATED + 1)}\nb: *a",
        "[" * 5000,
        "- " * 5000,
        "{a: " * 3000,
        "!!python/object/apply:os.system [ls]",
        "!!bool x",
        "a: !!timestamp 2026-99-99",
        "a: 2026-02-30",
        "? [1]\n: 2",
        '"\\ud800"',
        "a: \x00",
        f"a: {'9' * 5000}",
        f"a: 0x{'f' * 5000}\nb: 1:{'9' * 6000}",
        "x" * (MOST_YAML + 1),
        "&a" * 30_000,
    ],
)
def test_what_is_no_plain_yaml_is_one_kind_of_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(WorkbenchError) as caught:
        build(Outer, read_settings(tmp_path / "settings.yaml", "configuration"), "configuration")
    assert len(str(caught.value)) <= LONGEST_MESSAGE


def test_a_short_text_may_be_repeated() -> None:
    assert parse_yaml("a: &a some words\nb: *a\nc: [*a, *a]") == {
        "a": "some words",
        "b": "some words",
        "c": ["some words", "some words"],
    }


@pytest.mark.parametrize(
    "raw",
    [
        {"inner": {"count": 10**30}},
        {"inner": {"share": "nan"}},
        {"inner": {"share": 10**400}},
        {"inner": {"count": "1" * 5000}},
        {"inner": [1]},
        {"on": 1},
        {"numbers": [True]},
        {"numbers": [[1]]},
        {"table": {1: {}}},
        {"nmae": "x" * 10**6},
        {"x" * 10**6: 1},
        {None: 1},
        {("a", "b"): 1},
        {"name": ["x" * 10**6] * 3},
        {"name": {"\x1b[2J": "\ud800"}},
    ],
)
def test_every_message_is_short_and_can_be_printed(raw: dict) -> None:
    with pytest.raises(WorkbenchError) as caught:
        build(Outer, raw, "configuration")
    message = str(caught.value)
    assert len(message) <= LONGEST_MESSAGE
    assert message.encode().decode() == message
    assert "\x1b" not in message


def test_the_three_parts_of_a_message_survive_however_long_they_are() -> None:
    message = str(WorkbenchError("What " * 10**5, "Why " * 10**5 + "and 47 more", "Do " * 10**5))
    assert len(message) == LONGEST_MESSAGE
    assert message.count("\n") == 2
    assert "and 47 more\n  do:  Do " in message
    assert shorten("12345678", 8) == "12345678"
    assert len(shorten("123456789", 8)) == 8


@pytest.mark.parametrize("place", ["directory", "pipe", "binary"])
def test_what_is_no_text_file_is_said(tmp_path: Path, place: str) -> None:
    file = {"directory": tmp_path, "pipe": Path("/dev/zero"), "binary": tmp_path / "binary"}[place]
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkbenchError, match="Cannot read the suite"):
        read_settings(file, "suite")


def test_a_group_of_names_covers_its_names_and_no_other() -> None:
    names = ["a", "a.", "a..b", "a.b", "a.1.b", "a.2.b", "a.03.b", "a.7", "a.9", f"a.{'9' * 5000}.b", "1.c", "2.c"]
    lines = [f"{name}: x" for name in ("a", "a.", "a..b", "a.b", "a.{1-2}.b", "a.03.b", "a.{7,9}", names[9], "{1-2}.c")]
    assert sorted(grouped((name, "x") for name in names)) == sorted(lines)
    assert grouped([("a.1", "x"), ("a.2", "y"), ("a.1", "x")]) == ["a.1: x", "a.2: y"]
