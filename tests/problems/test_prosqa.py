"""Problems in and out: official files, bare questions, and what a user is told when they are wrong."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.problems import shortcuts as blind
from workbench.problems.english import question_text
from workbench.problems.files import load_problems, save_problems
from workbench.problems.prosqa import make_problem, parse_question
from workbench.problems.validator import check
from workbench.problems.variants import edge_rewrites, entity_swap

NAMES = ("Tom", "Alex", "terpus", "brimpus", "lempus", "gorpus", "scrompus")
EDGES = ((5, 6), (0, 2), (3, 4), (2, 3), (1, 5))
PROBLEM = make_problem("p-1", NAMES, EDGES, root=0, target=4, negative=6, target_first=False)
OFFICIAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def item(**changes: object) -> dict[str, Any]:
    official = {
        "question": PROBLEM.question,
        "answer": PROBLEM.answer,
        "steps": list(PROBLEM.steps),
        "idx_to_symbol": list(NAMES),
        "edges": [list(edge) for edge in sorted(EDGES, key=lambda edge: edge[1])],
        "root": 0,
        "target": 4,
        "neg_target": 6,
    }
    return official | changes


def write(folder: Path, content: object) -> Path:
    path = folder / "set.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        load_problems(path)
    return str(caught.value)


def test_an_official_item_loads_in_the_order_of_its_sentences(tmp_path):
    first, second = load_problems(write(tmp_path, [item(), item(id="mine", extra="left alone")]))
    assert first.id == "set-0"
    assert second.id == "mine"
    assert first.edges == EDGES
    assert first.options == (6, 4)
    assert first.question == PROBLEM.question


def test_what_is_saved_loads_again(tmp_path):
    twin = entity_swap(PROBLEM)
    assert twin is not None
    problems = [PROBLEM, twin, *edge_rewrites(PROBLEM)]
    save_problems(problems, tmp_path / "out.json")
    assert load_problems(tmp_path / "out.json") == problems
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    before = (tmp_path / "out.json").read_bytes()
    save_problems(problems, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_bytes() == before


def test_every_bad_item_is_named_at_once_and_nothing_is_loaded(tmp_path):
    broken = item()
    del broken["target"]
    text = message(
        write(
            tmp_path,
            [
                item(),
                broken,
                item(root="0", edges=[[0, 2, 3]]),
                item(neg_target=1),
                "text",
                item(answer="Tom is a gorpus."),
                item(id="same"),
                item(id="same"),
            ],
        )
    )
    path = tmp_path / "set.json"
    assert text.startswith(f"Nothing was loaded from {path}: 6 of its 8 problems are faulty.")
    lines = {line.split(",")[0].strip().removeprefix("why: "): line for line in text.splitlines() if "item " in line}
    assert "target: field required" in lines["item 1"]
    assert "root: input should be a valid integer, got '0'" in lines["item 2"]
    assert "edges[0]: list should have at most 2 items" in lines["item 2"]
    assert 'question: asks for "scrompus or lempus"' in lines["item 3"]
    assert "the problem: " in lines["item 4"]
    assert 'answer: "Tom is a gorpus." should be "Tom is a lempus."' in lines["item 5"]
    assert "id: 'same' is the id of item 6 too" in lines["item 7"]
    assert "item 0" not in lines


def test_a_fault_of_the_oracle_is_put_down_to_the_official_field(tmp_path):
    names = [*NAMES[:6], "lempus"]
    assert "item 0, idx_to_symbol: nodes 4 and 6 are both called lempus" in message(
        write(tmp_path, [item(idx_to_symbol=names)])
    )
    edges = [*item()["edges"], [2, 6]]
    text = message(write(tmp_path, [item(edges=edges)]))
    assert "neg_target: scrompus can be reached from Tom" in text
    assert "question: does not say the edge terpus → scrompus" in text


def test_long_lists_of_faults_end_in_a_count(tmp_path):
    text = message(write(tmp_path, [item(root=1)] * 70))
    assert "70 of its 70" in text
    assert "item 49," in text
    assert "item 50," not in text
    assert "and 20 more" in text
    edges = [[0, -1]] * 30
    assert "and 20 more" in message(write(tmp_path, [item(edges=edges)]))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"question": "Tom is', "seems to be cut off"),
        (b"", "The file holds none"),
        (b"[]", "The file holds none"),
        (b"{}", "The file holds none"),
        (b"[1, 2,", "not valid JSON"),
        (b'{"a": 1}\n{"a": 2}\n', "those of no known file"),
        (b'["\xff\xe9"]', "Byte 2 is not UTF-8"),
        ("[]".encode("utf-16"), "UTF-16"),
        (pickle.dumps([1]), "pickle"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x1f\x8brest", "gzip"),
        (b"PAR1", "Parquet"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    text = message(path)
    assert reason in text
    assert str(path) in text
    assert "\n  do:  " in text


def test_paths_that_are_no_file(tmp_path, monkeypatch):
    assert "It is a directory" in message(tmp_path)
    assert "No such file" in message(tmp_path / "absent.json")
    monkeypatch.setattr("workbench.problems.files.MOST_BYTES", 10)
    assert "MB are allowed" in message(write(tmp_path, [item()]))


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = tmp_path / "set.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([item()]).encode())
    assert len(load_problems(path)) == 1


def test_a_bare_question_becomes_a_problem():
    problem = parse_question(PROBLEM.question)
    assert check(problem) == []
    assert problem.question == PROBLEM.question
    assert problem.answer == "Tom is a lempus."
    assert problem.steps == PROBLEM.steps
    assert [problem.names[node] for node in problem.options] == ["scrompus", "lempus"]
    assert (
        problem.id == parse_question(PROBLEM.question).id != parse_question(PROBLEM.question.replace("Tom", "Max")).id
    )


def test_white_space_and_articles_are_read_generously():
    text = "Tom is an impus.\n\n Every   impus is a lempus.Alex is a gorpus. Is Tom a gorpus or a lempus"
    problem = parse_question(text)
    assert problem.answer == "Tom is a lempus."
    assert check(problem) == []


SENTENCES = "Tom is a terpus. Every terpus is a lempus. Alex is a gorpus. "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'the last sentence must ask, as in "Is Tom a lempus or scrompus?"'),
        (SENTENCES, "the last sentence must ask"),
        (SENTENCES + "Every lempus rorpus. Is Tom a lempus or gorpus?", 'sentence 4 ("Every lempus rorpus")'),
        (
            "Is Tom a lempus or gorpus? " + SENTENCES,
            'sentence 1 ("Is Tom a lempus or gorpus") asks, but is not the last',
        ),
        (SENTENCES + "Tom is a terpus. Is Tom a lempus or gorpus?", 'sentence 4 ("Tom is a terpus") repeats'),
        (SENTENCES + "Every Tom is a gorpus. Is Tom a lempus or gorpus?", "another sentence makes Tom an entity"),
        (
            SENTENCES + "Every lempus is a Tom. Is Tom a lempus or gorpus?",
            "puts the entity Tom where a concept belongs",
        ),
        (SENTENCES + "Every lempus is a lempus. Is Tom a lempus or gorpus?", "says that lempus is a lempus"),
        (SENTENCES + "Is Max a lempus or gorpus?", "Max is asked about, but no sentence mentions it"),
        (SENTENCES + "Is Tom a lempos or gorpus?", "lempos is asked about, but no sentence mentions it"),
        (SENTENCES + "Is terpus a lempus or gorpus?", 'no sentence has the form "terpus is a ..."'),
        (SENTENCES + "Is Tom a lempus or terpus?", "more than one does"),
        (SENTENCES + "Is Tom a lempus or lempus?", "both options are lempus"),
        (SENTENCES + "Is Tom a gorpus or Alex?", "none does"),
        (
            SENTENCES + "Every lempus is a brimpus. Every brimpus is a terpus. Is Tom a lempus or gorpus?",
            "go in a circle: ",
        ),
        ("x" * 600_000, "600000 characters"),
        (" ".join(f"Every c{n} is a c{n + 1}." for n in range(300)), "names are more than the 256 allowed"),
        (
            "Tom is a lempus. Every lempus is a Every. Alex is a gorpus. Is Tom a Every or gorpus?",
            "is called 'Every', which is not one plain word",
        ),
        ("Is is a lempus. Alex is a gorpus. Is Is a lempus or gorpus?", "is called 'Is', which is not one plain word"),
    ],
)
def test_a_wrong_question_is_refused_by_its_sentence(text, reason):
    with pytest.raises(WorkbenchError) as caught:
        parse_question(text)
    assert reason in caught.value.why, caught.value.why
    assert caught.value.what == "This is not a ProsQA question."


def test_all_wrong_sentences_are_named_at_once():
    with pytest.raises(WorkbenchError) as caught:
        parse_question("Foo. Bar. " + SENTENCES + "Is Tom a lempus or gorpus?")
    assert 'sentence 1 ("Foo")' in caught.value.why
    assert 'sentence 2 ("Bar")' in caught.value.why


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from(PROBLEM.question.split()), max_size=30).map(" ".join))
def test_any_text_is_a_sound_problem_or_a_clear_refusal(text):
    try:
        faults = check(parse_question(text))
    except WorkbenchError:
        return
    assert faults == []


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official ProsQA files are not beside the project")
def test_the_official_files_load_clean_and_show_their_published_moments():
    valid = load_problems(OFFICIAL / "prosqa_valid.json")
    test = load_problems(OFFICIAL / "prosqa_test_part.json")
    assert (len(valid), len(test)) == (300, 250)
    again = [parse_question(problem.question) for problem in valid]
    assert [problem.answer for problem in again] == [problem.answer for problem in valid]
    rendered = [question_text(problem.names, problem.edges, problem.root, problem.options) for problem in valid + test]
    assert rendered == [problem.question for problem in valid + test]
    scores = {name: round(100 * value, 1) for name, value in blind.blind_accuracies(valid).items()}
    assert scores == {
        "nearest source": 92.5,
        "nearest source, then ancestors": 93.5,
        "farthest source": 71.7,
        "more ancestors": 69.8,
        "lower in-degree": 66.7,
        "larger index": 60.3,
        "first listed": 48.0,
    }
    assert sum(map(blind.shortcut_resistant, valid)) == 38
    assert all(entity_swap(problem) for problem in valid + test)
    assert sum(bool(edge_rewrites(problem)) for problem in test) == 205
