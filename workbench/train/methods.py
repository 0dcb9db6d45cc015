"""The methods that Coconut is compared with, as data: what stands where the chain of steps was, and what is learned.

Every method sees the same problems; they differ in three things. What fills the slots between question and answer:
continuous thoughts, pause tokens, or nothing. How much of the chain is said in words, and how it disappears while
training. And what the LM head is asked to say at a slot itself. A method is one value of `Method`; to add one, add a
value to `METHODS` (CONTRIBUTING.md shows how).

Sources: Coconut, arXiv 2412.06769, section 4 and Table 1; iCoT, arXiv 2405.14838; Reasoning by Superposition,
arXiv 2505.12514.

Stage mixing: which stage of the curriculum each question is asked at, while one stage is the newest.

Without any, a model asked after fewer thoughts than the last stage has says the answer at once and its forced
language reads nothing (facebookresearch/coconut, issues 29 and 54; arXiv 2606.12689).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from workbench.catalog import FORMER_METHODS
from workbench.errors import WorkbenchError, unknown
from workbench.model.supervision import Asked

Fed = Literal["hidden", "pause", "nothing"]
"""What is fed in the slots: the last hidden state (a thought), the pause token's embedding, or there are no slots."""
Said = Literal["none", "all", "rest", "tail"]
"""What of the chain is said in words after s slots' worth of steps were removed: nothing of it, all of it whatever the
stage, the steps that are left (whole steps disappear, from the left), or what is left of its tokens (single tokens
disappear, from the left: iCoT)."""
Heads = Literal["none", "path", "frontier"]
"""What the LM head is asked at a slot: nothing, the next node of one sampled shortest path, or the uniform distribution
over all nodes at that hop. Only where the task has a graph."""


@dataclass(frozen=True)
class Method:
    """One way to train a model to answer questions whose answer takes several steps."""

    name: str
    """Key in suites and configurations."""
    title: str
    """As tables and screens call it; the paper's name where there is one."""
    fed: Fed
    said: Said
    heads: Heads
    curriculum: bool
    """Whether the chain disappears stage by stage; else training is in the last stage from the start."""
    summary: str
    """One sentence for help texts."""
    per_step: int = 1
    """Slots for each step that is removed, c."""
    smoothing: float = 0.0
    """For `tail`: the removed length is raised by o with probability ~ exp(-smoothing * o) (0: never)."""

    @property
    def speaks(self) -> bool:
        """Whether the answer comes at the end of a chain in words; else right after the slots."""
        return self.said == "all"

    @property
    def asked(self) -> Asked:
        """What the LM head of its thoughts is asked where the task has a graph."""
        if self.fed == "nothing":
            return "no thoughts"
        if self.heads != "none":
            return "next node asked" if self.heads == "path" else "frontier asked"
        return "answers alone" if self.said == "none" else "words only"

    def slots(self, steps: int) -> int:
        """Return the number of slots that stand for so many removed steps."""
        return 0 if self.fed == "nothing" else steps * self.per_step


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "coconut_words", "Coconut, words only", "hidden", "rest", "none", True,
            "The Coconut paper's own loss: only words after the thoughts are supervised, never a thought's LM head.",
        ),
        Method(
            "coconut_next_node", "Coconut, next node asked", "hidden", "rest", "path", True,
            "Each removed step is one continuous thought; its LM head is asked for the next node of the path.",
        ),
        Method(
            "pause_as_thought", "Pause as thought, next node asked", "pause", "rest", "path", True,
            "As Coconut, next node asked, but a pause token is fed where Coconut feeds the thought.",
        ),
        Method(
            "pause_words", "Pause as thought, words only", "pause", "rest", "none", True,
            "The paper's pause as thought: as Coconut, words only, but a pause token is fed where a thought would be.",
        ),
        Method("cot", "CoT", "nothing", "all", "none", False, "The chain in words, then the answer."),
        Method("no_cot", "No-CoT", "nothing", "none", "none", False, "The answer at once, and no other supervision."),
        Method(
            "icot", "iCoT", "nothing", "tail", "none", True,
            "The chain in words loses its tokens one by one, from the left.", smoothing=4.0,
        ),
        Method(
            "pause_token", "Pause token, answers alone", "pause", "none", "none", False,
            "As many pause tokens as Coconut has thoughts, then the answer; no chain, no curriculum.",
        ),
        Method(
            "coconut_without_curriculum", "Coconut without curriculum, answers alone", "hidden", "none", "none", False,
            "All thoughts and the answer from the start; the chain is never seen.",
        ),
        Method(
            "coconut_without_thought", "Coconut without thought", "nothing", "rest", "none", True,
            "Coconut's schedule, steps disappear and nothing takes their place.",
        ),
        Method(
            "coconut_frontier", "Coconut, frontier asked", "hidden", "rest", "frontier", True,
            "As Coconut, but a thought's LM head is asked for all nodes at its hop, evenly.",
        ),
        Method(
            "coconut_two", "Coconut, two thoughts per step, next node asked", "hidden", "rest", "path", True,
            "Two thoughts for each removed step; the LM head of the second is asked for the next node.", per_step=2,
        ),
    )
}  # fmt: skip
"""The methods by name, in the order of tables."""


def find_method(name: str) -> Method:
    """Return a method, by its name of today or the one it had (`catalog.FORMER_METHODS`).

    Raises:
        WorkbenchError: There is none of that name.
    """
    name = FORMER_METHODS.get(name, name)
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


NAMED = ("none", "proportional", "packed")


def mixing_share(mixing: str) -> float | None:
    """Return the probability that a dial's text stands for, None for the named kinds.

    Raises:
        WorkbenchError: It is neither a known name nor a number from 0 to 1.
    """
    if mixing in NAMED:
        return None
    try:
        share = float(mixing)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise WorkbenchError(
            f'There is no stage mixing "{mixing}".',
            f"It is one of {', '.join(NAMED)}, or the share of questions of another stage, from 0 to 1.",
            "Correct `mixing` in the configuration.",
        )
    return share


def draw_stages(
    mixing: str, stage: int, steps: Int[np.ndarray, " rows"], rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """Draw the stage of each question: how many of its steps are removed.

    - "none": the newest stage, for all.
    - a share p: with probability p any stage from 0 to as many as the chain has steps, whatever is open, and else the
      newest (`uniform_prob` of facebookresearch/coconut).
    - "proportional": stage i of the open ones with weight i + 1 (arXiv 2602.22441).
    - "packed": any open stage, evenly. (The packed step goes further and supervises all of them at once.)

    Args:
        mixing: The dial.
        stage: The newest stage that is open.
        steps: Steps of each question's chain.
        rng: Source of all randomness.
    """
    share = mixing_share(mixing)
    newest = np.full(len(steps), stage)
    if share is not None:
        return np.where(rng.random(len(steps)) < share, rng.integers(0, steps + 1), newest)
    if mixing == "none":
        return newest
    weight = np.arange(1, stage + 2, dtype=float) if mixing == "proportional" else np.ones(stage + 1)
    return rng.choice(stage + 1, len(steps), p=weight / weight.sum())
