"""Many surgeries on many problems: each prompt is read once, and thought about once for every surgery."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.checkpoint import Checkpoint
from workbench.coconut import lm_head
from workbench.errors import WorkbenchError
from workbench.first_tokens import first_token_shares
from workbench.interventions.scene import Bank, Intervention, Scene
from workbench.interventions.surgery import Surgery, as_surgery
from workbench.interventions.theatre import Donors, Theatre
from workbench.problem import Problem
from workbench.prompt_batches import prompt_batches, thought_count
from workbench.prompts import with_graph
from workbench.session import Branches, Session


@dataclass(frozen=True)
class Outcome:
    """What came of one surgery on n problems, with K thoughts."""

    surgery: Surgery
    texts: tuple[str, ...]
    """The greedy answer to each problem."""
    right: Bool[np.ndarray, " n"]
    """Whether it is exactly the right one."""
    valid: Bool[np.ndarray, " n"]
    """Whether it is one of the two options and nothing else."""
    target: Float[np.ndarray, " n"]
    """Logarithm of the probability of the target as the answer, among all tokens."""
    negative: Float[np.ndarray, " n"]
    """The same of the negative."""
    thoughts: Float[np.ndarray, "n K d"] | None
    """Thoughts as fed; of one removed, what would have been fed. None where they were not kept."""
    lm_head: Float[np.ndarray, "n K nodes"] | None
    """Raw probability of each node under the LM head of thought 1..K, nan beyond a problem's nodes."""

    @property
    def wrong_option(self) -> Bool[np.ndarray, " n"]:
        """Whether the answer is the negative and nothing else: that of an entity-swapped twin or a rewrite."""
        return self.valid & ~self.right

    @property
    def preference(self) -> Float[np.ndarray, " n"]:
        """How much likelier the target is than the negative, in nats; negative where the negative is likelier."""
        return self.target - self.negative


def run_intervened(
    checkpoint: Checkpoint,
    problems: Sequence[Problem],
    surgeries: Sequence[Surgery | Sequence[Intervention]],
    thoughts: int | None = None,
    *,
    donors: Donors | None = None,
    bank: Bank | None = None,
    spaces: Mapping[str, Float[Tensor, "vocab d"]] | None = None,
    batch_size: int = 64,
    keep_thoughts: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Answer problems under each of several surgeries, after all thoughts.

    Put an empty surgery first for what the model does without: where layers are operated on, all surgeries of a call
    run under TransformerLens, whose last bits differ from those of the live model.

    Args:
        checkpoint: What is operated on.
        problems: The whole set.
        surgeries: Each a surgery, or a list of interventions in the loop.
        thoughts: Number of thoughts, K; by default as many as the model was trained with.
        donors: Problems that named donors think about, one for each of the problems: {"twin": twins}.
        bank: What was thought about the whole set without interventions; made where it is needed and not given.
        spaces: Learned directions of every token that interventions name.
        batch_size: Problems run at a time.
        keep_thoughts: Whether to keep thoughts and their LM-head values.
        on_progress: Called with the number of problems done since the last call.

    Returns:
        An outcome for each surgery, in their order; arrays in the order of the problems.

    Raises:
        WorkbenchError: There is no problem or one cannot be run, or an intervention asks for what there is not.
    """
    if not problems:
        raise WorkbenchError("There is nothing to run.", "The list of problems is empty.", "Give some problems.")
    count, asked = thought_count(checkpoint, thoughts), [as_surgery(one) for one in surgeries]
    theatre = Theatre(checkpoint, asked, count, donors, bank, problems, spaces, batch_size)
    nodes = max(len(with_graph(problem).names) for problem in problems)
    found: list[list[_Part]] = [[] for _ in asked]
    numbers: list[int] = []
    for first, prompts, order in prompt_batches(checkpoint, problems, batch_size):
        for start in range(0, len(prompts), batch_size):
            places = order[start : start + batch_size]
            batch, rows = [prompts[i] for i in places], [first + i for i in places]
            form = checkpoint.format
            opening = max(len(form.value_opening(prompt)) for prompt in batch)
            names = max(len(prompt.nodes[node]) for prompt in batch for node in prompt.graph.options)
            session = theatre.session(batch, count + opening + max(form.answer_limit, names))
            scene = theatre.scene(session, batch, rows)
            for surgery, parts in zip(asked, found, strict=True):
                with theatre.under(surgery, session, scene) as thought:
                    parts.append(_read(scene, session, thought if keep_thoughts else None, nodes))
            numbers += rows
            if on_progress:
                on_progress(len(rows))
    back = np.argsort(numbers)
    return [_outcome(surgery, parts, back) for surgery, parts in zip(asked, found, strict=True)]


@dataclass(frozen=True)
class _Part:
    """What came of one surgery on a batch."""

    texts: list[str]
    right: list[bool]
    valid: list[bool]
    candidates: Float[np.ndarray, "batch 2"]
    """Log probabilities of target and negative."""
    thoughts: Float[np.ndarray, "batch K d"] | None
    lm_head: Float[np.ndarray, "batch K nodes"] | None


@torch.inference_mode()
def _read(scene: Scene, session: Session, thoughts: Float[Tensor, "batch K d"] | None, nodes: int) -> _Part:
    """Read the answer after all thoughts, greedily and as the candidates' probabilities."""
    form, model, prompts = scene.checkpoint.format, session.model, scene.prompts
    graphs = [prompt.graph for prompt in prompts]
    spellings = [
        [prompt.nodes[graph.target], prompt.nodes[graph.negative]]
        for prompt, graph in zip(prompts, graphs, strict=True)
    ]
    count = len(session.fed) - 1
    ends = Branches(session, [count])
    logits = ends.say([[form.answer_opening(prompt)] for prompt in prompts])
    spelt = ends.spell_log(logits, spellings) if form.value_is_answer else []
    told = ends.go_on(logits, form.answer_limit, form.end)
    texts = [form.decode(prompt, ids) for prompt, (ids,) in zip(prompts, told, strict=True)]
    if not form.value_is_answer:
        session.rewind(session.end)
        ends = Branches(session, [count])
        spelt = ends.spell_log(ends.say([[form.value_opening(prompt)] for prompt in prompts]), spellings)
    heads = None
    if thoughts is not None:
        shares = lm_head(model, thoughts).softmax(-1).float().cpu().numpy()
        heads = np.full((len(prompts), thoughts.shape[1], nodes), np.nan, dtype=np.float32)
        for row, prompt in enumerate(prompts):
            heads[row, :, : len(prompt.nodes)] = first_token_shares(shares[row], prompt)
    return _Part(
        texts,
        [form.right(graph, text) for graph, text in zip(graphs, texts, strict=True)],
        [form.valid(graph, text) for graph, text in zip(graphs, texts, strict=True)],
        torch.cat(spelt).float().cpu().numpy(),
        None if thoughts is None else thoughts.float().cpu().numpy(),
        heads,
    )


def _outcome(surgery: Surgery, parts: list[_Part], back: np.ndarray) -> Outcome:
    """Put the parts of a surgery together, in the order of the problems."""
    texts = [text for part in parts for text in part.texts]
    candidates = np.concatenate([part.candidates for part in parts])[back]
    kept = [(part.thoughts, part.lm_head) for part in parts if part.thoughts is not None and part.lm_head is not None]
    return Outcome(
        surgery,
        tuple(texts[i] for i in back),
        np.array([one for part in parts for one in part.right])[back],
        np.array([one for part in parts for one in part.valid])[back],
        candidates[:, 0],
        candidates[:, 1],
        np.concatenate([thoughts for thoughts, _ in kept])[back] if kept else None,
        np.concatenate([heads for _, heads in kept])[back] if kept else None,
    )
