"""What a run is rewarded for: the section `reward` of a configuration, and the rewards by name.

A reward is a function of one answer, a number from 0 to 1. To add one, add a value to `REWARDS`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from workbench.errors import WorkbenchError, unknown
from workbench.model.prompts import Format, Prompt
from workbench.problems.graph import reachable
from workbench.problems.problem import Item, Problem

Objective = Literal["supervised", "grpo", "latent_value"]
Variety = Literal["words", "dropout", "gaussian", "gumbel", "none"]
Density = Literal["none", "sum", "mean"]


@dataclass(frozen=True)
class HeadConfig:
    """The value head of `objective: latent_value`: it predicts the reward of an answer from each of its thoughts."""

    width: int = 0
    """Of its hidden layer; 0: it is linear."""
    steps: int = 100
    """Steps in which the head alone learns; from then on the model is moved to raise its predictions."""
    learning_rate: float = 1e-3
    frozen: bool = True
    """Whether the head no longer learns once the model is moved."""


@dataclass(frozen=True)
class RewardConfig:
    """Training with a reward: `objective: grpo` (arXiv 2402.03300, 4.1) or `latent_value` (arXiv 2512.11816)."""

    score: str = "exact"
    """What is rewarded, one of `reward.REWARDS`."""
    group: int = 8
    """Answers to each problem of a step."""
    variety: Variety = "words"
    """What makes the answers to one problem differ. "words" are sampled; "dropout" also drops entries of what is fed as
    a thought, the same ones in all thoughts of an answer (after arXiv 2606.10184, which drops them inside the layers);
    "gaussian" also adds normal noise to every thought (CoLaR, arXiv 2505.16552); with "gumbel" a thought is a mean of
    the embeddings of all tokens, weighted by the LM head with Gumbel noise (SofT-GRPO, arXiv 2511.06411), and stays one
    without the noise in the trained model; with "none" nothing differs, every word is the likeliest."""
    noise: float = 0.1
    """Share of entries dropped; or the standard deviation of normal noise, in that of the start's embeddings; or how
    many times Gumbel noise is added."""
    density: Density = "none"
    """Whether thoughts are choices as words are, whose log-density is in the loss: its "sum" over the entries of a
    thought, or their "mean". With "none" the noise is held, not the thought, and the gradient flows through it."""
    temperature: float = 1.0
    """The logits of sampled words are divided by it."""
    updates: int = 1
    """Updates of the weights for the answers of one step."""
    ratio_clip: float = 0.2
    """A ratio of probabilities farther than this from 1, on the side that is rewarded, earns no more."""
    kl: float = 0.0
    """Weight of the divergence from the start, estimated at the words that were said."""
    detach: bool = False
    """Whether no gradient flows through what is fed as a thought: a control."""
    shuffle: bool = False
    """Whether the rewards of a step are shuffled over its answers: a control."""
    limit: int = 0
    """Most tokens of an answer; 0: as many as the prompt format has."""
    collapse: float = 0.5
    """The run stops where the reward on its validation problems falls below this share of its best; 0: never."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """Read by `latent_value` alone."""


@dataclass(frozen=True)
class Reply:
    """An answer to a problem."""

    problem: Problem | Item
    text: str
    """The answer, as the prompt format reads it; empty where none was given."""
    right: bool
    """Whether it is exactly the right one."""
    valid: bool
    """Whether it has the form of an answer."""

    @classmethod
    def of(cls, form: Format, prompt: Prompt, ids: list[int], says: str) -> "Reply":
        """Read the tokens that follow the forced opening of an answer ("answer") or of a chain ("chain")."""
        text = form.decode(prompt, ids) if says == "answer" else form.said_answer(prompt, ids)
        problem = prompt.problem
        return cls(problem, text, form.right(problem, text), form.valid(problem, text))


@dataclass(frozen=True)
class Reward:
    """One way to score a reply."""

    name: str
    summary: str
    function: Callable[[Reply], float]
    """From 0 to 1."""
    needs_graph: bool = False

    def __call__(self, reply: Reply) -> float:
        """Score a reply.

        Raises:
            WorkbenchError: The score is no number from 0 to 1.
        """
        value = float(self.function(reply))
        if not 0 <= value <= 1:
            raise WorkbenchError(
                f"The reward {self.name} gave {value} to an answer.",
                "A reward is a number from 0 to 1.",
                "Scale it, or correct its function.",
            )
        return value


def _names_a_reachable_node(reply: Reply) -> float:
    problem = reply.problem
    assert isinstance(problem, Problem)
    said = set(reply.text.rstrip(".").split())
    found = reachable(problem.adjacency, problem.root).nonzero()[0]
    return float(any(problem.names[node] in said for node in found if node != problem.root))


REWARDS: dict[str, Reward] = {
    reward.name: reward
    for reward in (
        Reward("exact", "1 for the right answer.", lambda reply: float(reply.right)),
        Reward("format", "1 for an answer of the right form.", lambda reply: float(reply.valid)),
        Reward(
            "exact_and_format",
            ".9 for the right answer and .1 for the right form.",
            lambda reply: 0.9 * reply.right + 0.1 * reply.valid,
        ),
        Reward("reachable", "1 for a node that can be reached from the root.", _names_a_reachable_node, True),
    )
}
"""The rewards by name."""


def find_reward(name: str) -> Reward:
    """Return a reward by its name.

    Raises:
        WorkbenchError: There is none of that name.
    """
    if name not in REWARDS:
        raise unknown("reward", name, REWARDS)
    return REWARDS[name]


def reward_faults(
    objective: Objective, config: RewardConfig, task: str, fed: str, slots: int, processes: int
) -> list[tuple[str, bool]]:
    """Return what can be wrong with the section `reward`, and whether it is.

    Args:
        objective: What is trained for.
        config: The section.
        task: Of the run.
        fed: What its method feeds in the slots (`methods.Fed`).
        slots: How many slots it has.
        processes: Of the run.
    """
    if objective == "supervised":
        return [("there is a section reward, which objective: supervised does not read", config != RewardConfig())]
    value, head = objective == "latent_value", config.head
    graphless = task in ("prontoqa", "arithmetic")
    noisy, drawn = config.variety in ("dropout", "gaussian", "gumbel"), config.variety in ("gaussian", "gumbel")
    return [
        (f"reward.updates is {config.updates}, expected 1 or more", config.updates < 1),
        (
            f"reward.group is {config.group}: an answer is judged against others to the same problem",
            config.group < 2 - value,
        ),
        ("objective: latent_value needs a method that feeds thoughts", value and fed != "hidden"),
        ("objective: latent_value needs curriculum.thoughts of 1 or more", value and fed == "hidden" and slots < 1),
        ("objective: latent_value trains in one process", value and processes > 1),
        ("reward.density is not read by objective: latent_value", value and config.density != "none"),
        ("reward.detach would leave objective: latent_value without a recurrence", value and config.detach),
        ("reward.head is read by objective: latent_value alone", not value and head != HeadConfig()),
        ("reward.head.width and reward.head.steps cannot be below 0", min(head.width, head.steps) < 0),
        (
            f"reward.score: {config.score} needs a graph, and problems of {task} have none",
            find_reward(config.score).needs_graph and graphless,
        ),
        (f"reward.temperature is {config.temperature}, expected more than 0", config.temperature <= 0),
        (f"reward.noise is {config.noise}, expected more than 0", noisy and config.noise <= 0),
        (f"reward.noise is {config.noise}, a share below 1", config.variety == "dropout" and config.noise >= 1),
        ("reward.ratio_clip and reward.kl cannot be below 0", min(config.ratio_clip, config.kl) < 0),
        (f"reward.limit is {config.limit}, expected 0 or more", config.limit < 0),
        (f"reward.collapse is {config.collapse}, expected 0 to 1", not 0 <= config.collapse <= 1),
        (f"reward.variety: {config.variety} needs a method that feeds thoughts", noisy and fed != "hidden"),
        ("reward.detach needs a method that feeds thoughts", config.detach and fed != "hidden"),
        (
            "reward.detach cuts nothing: with a density thoughts are held already",
            config.detach and config.density != "none",
        ),
        (
            f"reward.density needs thoughts that are drawn, and variety {config.variety} draws none",
            config.density != "none" and not drawn,
        ),
    ]
