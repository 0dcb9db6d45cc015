"""The five stops of the guided tour: what is done on which bundled problem, and what is asked. Never what happened.

All are problems that the best query-blind rule gets wrong, picked by hand among these, so that a right answer says
something; which of them are typical is for a whole set to say.
"""

from dataclasses import dataclass

from workbench.interventions.base import Control


@dataclass(frozen=True)
class Stop:
    """A plan with a question."""

    title: str
    problem: str
    """Id in the set `set`."""
    plan: str
    """Its address."""
    after: int
    """Number of thoughts shown first."""
    control: Control
    question: str
    """`{root}`, `{target}` and `{negative}` are the problem's."""
    why: str
    """What an answer would speak for or against, whichever it is."""
    set: str = "released"


STOPS: dict[str, Stop] = {
    one.title: one
    for one in (
        Stop(
            "1 Whose thought?", "released-431", "transplant:at=1", 1, "random direction",
            "Thought 1 is taken from the **twin**: the same sentences, but its question asks about somebody else, for "
            "whom {negative} would be right. The prompt of {root} is not touched, and thoughts 2 to 6 are thought anew "
            "after the change. What does the model answer now?",
            "If it follows the donor, the first thought carries whose search it is; if it does not, what is read after "
            "it, or the prompt, does.",
        ),
        Stop(
            "2 The last one", "released-431", "transplant:at=6", 6, "random direction",
            "The same donor and the same problem, but now the **last** thought is the twin's, and the five before it "
            "are the model's own. What does it answer?",
            "Beside the first stop this tells which thoughts the answer still hangs on once all have been thought.",
        ),
        Stop(
            "3 Off the path", "released-434", "project:nodes=all_on_path", 1, "other nodes",
            "Every node on a shortest path from {root} to {target} is **taken out of every thought**; the target "
            "itself stays in. The control takes out as many other nodes at the same hops. What does the model answer?",
            "If the nodes on the path carry the search, losing them should cost the answer, and losing as many others "
            "should not.",
        ),
        Stop(
            "4 By the book", "released-45", "superpose:nodes=frontier;at=1", 1, "other nodes",
            "Theory says that thought 1 is the **superposition of the frontier**: the sum of the directions of all "
            "nodes one step from {root}. Thought 1 is replaced by exactly that, evenly weighted, as long as it was. "
            "The control is a sum over as many other concepts. Does the model go on as if nothing had happened?",
            "If the sum is all that a thought carries, nothing should change; what is lost is what the thought carried "
            "beside it, or in other weights.",
        ),
        Stop(
            "5 Tip the scales", "released-402", "move:at=1", 1, "other nodes",
            "In thought 1 the component along the **nodes on the path** is taken out and put along nodes of the "
            "**other side**, which lead to {negative} and which {root} does not reach. The control moves between other "
            "nodes. What does the model answer?",
            "A change of the answer would say that what a thought holds along these directions is used.",
        ),
    )
}  # fmt: skip
"""By title, in order."""
