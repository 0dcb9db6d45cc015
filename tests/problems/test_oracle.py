"""Every kind of damage to a sound problem is found, and put down to its field."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.problems.problem import Problem
from workbench.problems.prosqa import make_problem
from workbench.problems.validator import check

NAMES = ("Tom", "Alex", "terpus", "brimpus", "lempus", "gorpus", "scrompus")
EDGES = ((0, 2), (2, 3), (3, 4), (1, 5), (5, 6), (0, 3))
SOUND = make_problem("p", NAMES, EDGES, root=0, target=4, negative=6, target_first=True)


def test_a_sound_problem_has_no_fault():
    assert check(SOUND) == []
    assert SOUND.steps == ("Tom is a brimpus.", "Every brimpus is a lempus.")


def with_edges(*edges: tuple[int, int]) -> Problem:
    return make_problem("p", NAMES, edges, root=0, target=4, negative=6, target_first=True)


@pytest.mark.parametrize(
    ("problem", "field", "reason"),
    [
        (replace(SOUND, names=(*NAMES[:6], "lempus")), "names", "nodes 4 and 6 are both called lempus"),
        (replace(SOUND, names=(*NAMES[:6], "two words")), "names", "node 6 is called 'two words'"),
        (replace(SOUND, names=tuple(f"n{i}" for i in range(300))), "names", "300 nodes are more than the 256"),
        (replace(SOUND, edges=(*EDGES, (3, 7))), "edges", "edge [3, 7]: node 7 does not exist (7 nodes)"),
        (replace(SOUND, edges=(*EDGES, (3, 3))), "edges", "edge [3, 3] joins brimpus to itself"),
        (replace(SOUND, edges=(*EDGES, (0, 2))), "edges", "edge [0, 2] is there twice"),
        (replace(SOUND, root=9), "root", "node 9 does not exist"),
        (replace(SOUND, target=-1), "target", "node -1 does not exist"),
        (replace(SOUND, negative=4), "negative", "the same node"),
        (replace(SOUND, entities=(0,)), "entities", "[0] should be [0, 1]"),
        (replace(SOUND, options=(4, 5)), "options", "not the target and the negative"),
        (with_edges(*EDGES, (4, 2)), "edges", "cycle: "),
        (replace(SOUND, root=3), "root", "brimpus is not an entity: it has the parent"),
        (with_edges(*EDGES[:2], *EDGES[3:]), "target", "lempus cannot be reached from Tom"),
        (with_edges(*EDGES, (2, 6)), "negative", "scrompus can be reached from Tom"),
        (replace(SOUND, edges=EDGES[:-1]), "question", "says Tom → brimpus, which is no edge"),
        (replace(SOUND, edges=(*EDGES, (2, 5))), "question", "does not say the edge terpus → gorpus"),
        (replace(SOUND, edges=EDGES[::-1]), "edges", "not in the order of the question's sentences"),
        (replace(SOUND, root=1), "question", 'asks about "Tom", but the root is Alex'),
        (replace(SOUND, options=(6, 4)), "question", 'asks for "lempus or scrompus", but the options are scrompus'),
        (replace(SOUND, question="Tom is a terpus"), "question", "the last sentence must ask"),
        (replace(SOUND, answer="Tom is a scrompus."), "answer", 'should be "Tom is a lempus."'),
        (replace(SOUND, answer=""), "answer", 'should be "Tom is a lempus."'),
        (replace(SOUND, steps=()), "steps", "the steps end at Tom, not at the target lempus"),
        (replace(SOUND, steps=("Tom is a brimpus.", "gibberish")), "steps", "step 2"),
        (replace(SOUND, steps=("Tom is a brimpus.", "Every gorpus is a lempus.")), "steps", "no edge of the graph"),
        (replace(SOUND, steps=("Tom is a brimpus.", "Every terpus is a lempus.")), "steps", "not go on from brimpus"),
        (replace(SOUND, steps=("Tom is a brimpus.", "brimpus is a lempus.")), "steps", "worded otherwise"),
        (
            replace(SOUND, steps=("Tom is a terpus.", "Every terpus is a brimpus.", "Every brimpus is a lempus.")),
            "steps",
            "3 steps, but the shortest path has 2",
        ),
    ],
)
def test_damage_is_found_and_put_down_to_its_field(problem, field, reason):
    assert any(fault.field == field and reason in fault.reason for fault in check(problem)), check(problem)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "id": st.just("p"),
            "question": st.text() | st.just(SOUND.question),
            "answer": st.text(),
            "steps": st.lists(st.text(), max_size=3).map(tuple),
            "names": st.lists(st.sampled_from(NAMES), max_size=7).map(tuple),
            "edges": st.lists(st.tuples(st.integers(-2, 8), st.integers(-2, 8)), max_size=6).map(tuple),
            "root": st.integers(-2, 8),
            "target": st.integers(-2, 8),
            "negative": st.integers(-2, 8),
            "options": st.tuples(st.integers(-2, 8), st.integers(-2, 8)),
            "entities": st.lists(st.integers(-2, 8), max_size=3).map(tuple),
        }
    )
)
def test_nonsense_is_always_faulty_and_never_raises(fields):
    assert check(Problem(**fields))
