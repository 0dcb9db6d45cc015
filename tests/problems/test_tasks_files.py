"""Official files of every kind are read, and what is wrong with one is said all at once."""

import json
from pathlib import Path

import pytest

from tests.conftest import chain
from workbench.errors import WorkbenchError
from workbench.problems.files import load_any, load_items, load_problems, save_items, save_problems, task_of
from workbench.problems.problem import Item
from workbench.problems.sets import generate_items as generate
from workbench.problems.sets import make_task_sets

QUESTION = "Every wumpus is an impus. Alex is a wumpus. Impuses are not shy."
QUERY = "True or false: Alex is shy."
PROOF = [
    "Alex is a wumpus.",
    "Every wumpus is an impus.",
    "Alex is an impus.",
    "Impuses are not shy.",
    "Alex is not shy.",
]
STEPS = ("Alex is a wumpus. Every wumpus is an impus.", "Alex is an impus. Impuses are not shy.", "Alex is not shy.")
EXAMPLE = {"question": QUESTION, "query": QUERY, "chain_of_thought": PROOF, "answer": "False"}
ASKED = "Out of 600 people, 30% walk and 10% run. How many?"
SUMS = ["<<600*30/100=180>>", "<<600*10/100=60>>", "<<180+60=240>>"]
ICOT = f"{ASKED}||{' '.join(SUMS)} #### 1,240\n"


def write(tmp_path: Path, content: object, name: str = "few.json") -> Path:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(WorkbenchError) as error:
        load_items(path)
    return str(error.value)


GSM = Item("few-0", ASKED, "1240", tuple(SUMS), "gsm8k", ("180", "60", "240"))
PRONTO = Item("few-0", f"{QUESTION} {QUERY}", "False", STEPS, "prontoqa", (), ("True", "False"))
SOLUTION = (
    "He walks 600*30/100=<<600*30/100=180>>180.\nThey run <<600*10/100=60>>60.\nAll: <<180+60=240>>240\n#### 1,240"
)
MATH = {"problem": "What is $1+1$?", "solution": "Add.\n\nIt is $\\boxed{2}$.", "answer": "2", "subject": "Algebra"}


@pytest.mark.parametrize(
    ("content", "item"),
    [
        (ICOT, GSM),
        ("\ufeff" + ICOT + "\n", GSM),
        ([{"question": ASKED, "steps": SUMS, "answer": "1240"}], GSM),
        (json.dumps({"question": ASKED, "steps": SUMS, "answer": "1240"}) + "\n", GSM),
        ([{"question": ASKED, "cot": " ".join(SUMS), "answer": "1240"}], GSM),
        (json.dumps({"question": ASKED, "answer": SOLUTION}), GSM),
        ({"example1": {"test_example": EXAMPLE, "in_context_example0": EXAMPLE}}, PRONTO),
        ([{"question": f"{QUESTION} {QUERY}", "steps": list(STEPS), "answer": "False"}], PRONTO),
        (
            json.dumps({**MATH, "level": 2, "unique_id": "test/algebra/1.json"}),
            Item("test/algebra/1.json", "What is $1+1$?", "2", ("Add.", "It is $\\boxed{2}$."), "math"),
        ),
        (
            [{"question": ASKED, "cot": "He walks 2.5 miles. Then he rests.", "answer": "3"}],
            Item("few-0", ASKED, "3", ("He walks 2.5 miles.", "Then he rests."), "gsm8k"),
        ),
        ({"data": [{"question": ASKED, "steps": SUMS, "answer": "1240"}]}, GSM),
        # One's own problems are not called GSM8k.
        (
            [{"question": "Who?", "steps": ["Ann or Bo."], "answer": "Bo", "options": ["Ann", "Bo"]}],
            Item("few-0", "Who?", "Bo", ("Ann or Bo.",), "own", (), ("Ann", "Bo")),
        ),
        ([{"question": "Who?", "steps": ["Ann."], "answer": "Bo"}], Item("few-0", "Who?", "Bo", ("Ann.",), "own")),
        ([{"question": "How?", "steps": ["So."], "answer": "3"}], Item("few-0", "How?", "3", ("So.",), "own")),
    ],
)
def test_every_official_form(tmp_path: Path, content: object, item: Item) -> None:
    assert load_items(write(tmp_path, content)) == [item]


def test_json_lines_of_several(tmp_path: Path) -> None:
    line = json.dumps({"question": ASKED, "answer": "Well.\n#### 7"})
    items = load_items(write(tmp_path, f"{line}\n\n{line}\n", "gsm.jsonl"))

    assert [(item.id, item.answer) for item in items] == [("gsm-0", "7"), ("gsm-1", "7")]


@pytest.mark.parametrize("task", ["prontoqa", "arithmetic"])
def test_what_is_saved_comes_back(tmp_path: Path, task: str) -> None:
    items = generate(task, 20, 1)
    save_items(items, tmp_path / "mine.json")

    assert load_items(tmp_path / "mine.json") == items == load_any(tmp_path / "mine.json")


def test_a_file_of_graphs_is_known_as_such(tmp_path: Path) -> None:
    save_problems([chain(0, 2)], tmp_path / "graphs.json")

    assert load_any(tmp_path / "graphs.json") == [chain(0, 2)]
    assert "Its problems are of ProsQA and have graphs" in message(tmp_path / "graphs.json")


WORDS = {"question": chain(0, 2).question, "steps": list(chain(0, 2).steps), "answer": chain(0, 2).answer}


@pytest.mark.parametrize("as_file", ["list", "lines", "data", "question alone"])
def test_prosqa_without_its_graph_is_no_gsm8k_the_graph_is_in_its_words(tmp_path: Path, as_file: str) -> None:
    rows = [WORDS if as_file != "question alone" else {"question": WORDS["question"]}] * 2
    content = {"lines": "\n".join(map(json.dumps, rows)), "data": {"data": rows}}.get(as_file, rows)
    first, second = load_problems(write(tmp_path, content))

    assert (first.id, second.id) == ("few-0", "few-1")
    for name in ("question", "steps", "answer"):
        assert getattr(first, name) == getattr(chain(0, 2), name)
    for node in ("root", "target", "negative"):
        assert first.names[getattr(first, node)] == chain(0, 2).names[getattr(chain(0, 2), node)]
    assert task_of([first]) == "prosqa"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([WORDS | {"answer": "Sally is a rempus."}], "item 0, answer: "),
        (
            [WORDS | {"question": "Bo walks. Is Tom a lempus or scrompus?"}],
            "this is ProsQA without its graph, and none",
        ),
        ([WORDS, {"question": ASKED, "steps": SUMS, "answer": "1240"}], "Of its 2 problems 1 have graphs"),
    ],
)
def test_what_asks_as_prosqa_is_never_taken_for_another_task(tmp_path: Path, content: object, reason: str) -> None:
    with pytest.raises(WorkbenchError, match=reason):
        load_any(write(tmp_path, content))


def test_problems_that_must_have_graphs_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="1 of 1 are of the task gsm8k and have none, few-0 among them"):
        load_problems(write(tmp_path, ICOT))


def test_data_sets_are_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "mine" / "sums").mkdir(parents=True)
    for split, answer in (("train", "1"), ("test", "2")):
        write(
            tmp_path / "mine" / "sums",
            json.dumps({"question": ASKED, "answer": f"Well.\n#### {answer}"}),
            f"{split}.jsonl",
        )

    for name, answer in (("mine/sums", "2"), ("mine/sums@train", "1")):
        assert [(item.task, item.answer) for item in load_items(Path(name))] == [("gsm8k", answer)]
    assert "Its splits are train, test" in message(Path("mine/sums@dev"))
    assert "Cannot read the data set mine/none" in message(Path("mine/none"))


SHIPPED = Path(__file__).resolve().parents[2] / "fixtures" / "tasks"


def test_the_sets_that_ship_are_made_again_byte_by_byte(tmp_path: Path) -> None:
    made = make_task_sets(tmp_path)
    assert made == {
        "prontoqa.json": 200, "arithmetic.json": 200, "arithmetic_small.json": 1000,
        "arithmetic_small_validation.json": 200,
    }  # fmt: skip
    for name in made:
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()
        assert (SHIPPED / name).stat().st_size < 350_000


def test_no_small_problem_is_watched_and_judged() -> None:
    judged, watched = (
        {item.question for item in load_items(SHIPPED / f"arithmetic_small{end}.json")} for end in ("", "_validation")
    )

    assert not judged & watched


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ("no bars here", ["It is neither JSON nor iCoT's text."]),
        ("", ["The file holds none."]),
        ("[]", ["The file holds none."]),
        (ICOT + "no bars here", ["1 of its 2 problems", 'item 1, question: no "||" ends it in "no bars here"']),
        ("Why?||<<1+2=3>>", ['answer: no "####" begins it in "<<1+2=3>>"']),
        ("Why?||so <<1+2=3>> then #### 3", ['steps: "so  then" stands outside of "<<...>>"']),
        ("||<<1+2=3>> ####", ["question: it is empty; answer: it is empty"]),
        ('[{"question": "Why?", "steps": ["a"]', ["It is not valid JSON", "cut off"]),
        ('{"example1": {"test_example": ', ["It is not valid JSON", "cut off"]),
        (
            '{"question": "Why?", "answer": "#### 3"}\n{"question": "W',
            ["item 1, the problem: its line is not valid JSON"],
        ),
        ({"a": 1}, ["It is one JSON object with the fields a, not a list of problems."]),
        ([1], ["the problem: it is int, not an object with fields"]),
        ([{"prompt": "x"}], ["the problem: its fields, prompt, are those of no known file"]),
        ([{"question": "Why?", "answer": "because"}], ['answer: it does not end with "#### " and a number']),
        ([{"question": "Why?", "answer": "so ####"}], ["does not end with"]),
        (
            [{"question": "Why?", "steps": ["a", 3], "answer": 4}],
            ["steps[1]: input should be a valid string, got 3", "; answer: "],
        ),
        ([{"question": " ", "steps": [], "answer": "4"}], ["question: string should have at least 1 character"]),
        ([{"question": "Why?", "steps": [], "answer": "4", "id": "two words"}], ["id: "]),
        ([{"question": "W?", "steps": [], "answer": "4", "id": "a"}] * 2, ["item 1, id: 'a' is the id of item 0 too"]),
        ({"example1": {"test_example": {**EXAMPLE, "answer": "True"}}}, ['answer: "True" should be "False"']),
        ({"e": {"test_example": {"question": "Q."}}}, ["test_example.query: field required"]),
        ([{"problem": "x", "solution": "y"}], ["answer: field required"]),
        (
            [{"task": "arithmetic", "id": "a", "question": "1 and 2?", "answer": "4", "steps": ["<<1+2=4>>"]}],
            ["comes to 3"],
        ),
        (
            [{"task": "prontoqa", "id": "a", "question": "Who?", "answer": "True", "steps": []}],
            ["question: sentence 1"],
        ),
    ],
)
def test_everything_wrong_with_a_file_is_said(tmp_path: Path, content: object, reasons: list[str]) -> None:
    path = write(tmp_path, content)
    text = message(path)

    assert str(path) in text
    assert "\n  do:  " in text
    for reason in reasons:
        assert reason in text
