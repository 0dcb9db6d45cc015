"""One step of training on random graphs, many questions of each, for every method."""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from workbench.batches import GraphBatch, question_batch
from workbench.chains import STEP_TOKENS
from workbench.curriculum import Stage, draw_edges, removed_tokens
from workbench.methods import find_method
from workbench.objective import Ask, Result, packed_loss
from workbench.packed import Weights
from workbench.train_config import TrainConfig


class PackedStep(nn.Module):
    """Draws batches of graphs and runs them packed.

    A batch depends on configuration, step and process alone: all methods see the same graphs and questions. Only where
    slots are supervised, `walk_share` of the batches have no candidates; the other methods could learn nothing from
    such a batch, and get an ordinary one of as many questions.

    Args:
        model: What is trained.
        config: How.
    """

    def __init__(self, model: PreTrainedModel, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.config, self.method = model, config, find_method(config.method)
        self.dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32

    def draw(self, stage: Stage, step: int, rank: int) -> GraphBatch:
        """Draw the batch of one step and process."""
        config, plan = self.config, self.config.curriculum
        rng = np.random.default_rng([config.seed, rank, step])
        # The shape of a batch is drawn from the step alone, so that no process waits for another's larger one.
        shared = np.random.default_rng([config.seed, 1 << 20, step])
        widening = step >= plan.widen_from if plan.by == "clock" else stage.thoughts == plan.thoughts
        share = plan.walk_share if step < plan.late_from else plan.walk_share_late
        drawn = shared.random() < share if widening else share > 0
        walks = plan.walks if drawn and self.method.heads != "none" else 0
        edges = draw_edges(stage, plan, shared)
        return question_batch(
            rng,
            graphs=config.graphs,
            questions=config.questions,
            edges=edges,
            thoughts=max(plan.thoughts, *plan.hop_weights),
            hop_weights=plan.hop_weights if widening else {h: 1.0 + 0.3 * h for h in range(1, 7)},
            special=plan.special if edges >= 16 and not walks else 0.0,
            walks=walks,
        )

    def ask(self, stage: Stage) -> Ask:
        """Return how a batch is asked at a stage of the curriculum."""
        plan = self.config.curriculum
        return Ask(
            stage.thoughts if self.method.curriculum else plan.thoughts,
            self.method,
            self.config.mixing,
            removed_tokens(plan, stage, STEP_TOKENS),
            plan.chain_graphs,
        )

    def forward(self, batch: GraphBatch, stage: Stage, generator: torch.Generator) -> Result:
        """Return the loss of a batch and what was measured on the way."""
        device = self.model.device
        with torch.device(device):  # masks and positions are made there too
            return packed_loss(Weights.of(self.model, self.dtype), batch.to(device), self.ask(stage), generator)
