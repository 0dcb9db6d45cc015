"""Many questions on one graph in one differentiable pass: the training step's inner loop.

The edges of a graph are most of the tokens, and every question asked of it reads the same ones. So the prefix runs
once, and M branches attend to it: `<prefix> [question 1, thoughts, answers] ... [question M, thoughts, answers]`,
each blind to the others. The arithmetic is that of an unmodified Hugging Face Qwen2 or Llama model with the same
weights (tests hold the two together); only the order of the work differs:

- the last layer computes nothing but keys and values where no hidden state is read (all of the prefix);
- matrix products run in bf16 where asked, the residual stream, norms and softmax in fp32;
- prefix and branch keys stay apart: two blocks of scores, one softmax, no copy of the prefix per question.
"""

import math
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.errors import WorkbenchError

SUPPORTED = ("qwen2", "llama")


@dataclass
class Layer:
    """The weights of one layer, joined for few large matrix products and cast once per step."""

    norm_in: Tensor
    qkv: Tensor
    """[3 * d, d], rows q, k, v."""
    qkv_bias: Tensor | None
    out: Tensor
    norm_mlp: Tensor
    gate_up: Tensor
    """[2 * d_mlp, d]."""
    down: Tensor


@dataclass
class Weights:
    """All weights of a model as one step uses them; gradients flow back to the model's own parameters."""

    layers: list[Layer]
    embedding: Float[Tensor, "vocab d"]
    head: Float[Tensor, "vocab d"]
    norm: Float[Tensor, " d"]
    heads: int
    eps: float
    rope_base: float
    dtype: torch.dtype
    """Of the matrix products."""

    @classmethod
    def of(cls, model: PreTrainedModel, dtype: torch.dtype) -> "Weights":
        """Join and cast the weights of a Qwen2 or Llama model.

        Raises:
            WorkbenchError: If the architecture is another one, or shares keys between heads.
        """
        config = model.config
        if config.model_type not in SUPPORTED or config.num_key_value_heads != config.num_attention_heads:
            raise WorkbenchError(
                f"The packed step cannot run a {config.model_type} model.",
                "it knows Qwen2 and Llama with as many key heads as query heads",
                "train a model that `workbench.train.init.build_model` makes",
            )
        body: Any = model.base_model  # one of the two architectures above, which share their attribute names
        layers = []
        for block in body.layers:
            attention, mlp = block.self_attn, block.mlp
            projections = (attention.q_proj, attention.k_proj, attention.v_proj)
            biases = [p.bias for p in projections if p.bias is not None]
            layers.append(
                Layer(
                    block.input_layernorm.weight,
                    torch.cat([p.weight for p in projections]).to(dtype),
                    torch.cat(biases).to(dtype) if biases else None,
                    attention.o_proj.weight.to(dtype),
                    block.post_attention_layernorm.weight,
                    torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).to(dtype),
                    mlp.down_proj.weight.to(dtype),
                )
            )
        return cls(
            layers,
            body.embed_tokens.weight,
            cast(nn.Linear, model.get_output_embeddings()).weight,
            body.norm.weight,
            config.num_attention_heads,
            config.rms_norm_eps,
            config.rope_parameters["rope_theta"],
            dtype,
        )


@dataclass
class Memory:
    """Keys and values so far: those of the shared prefix, and those of the branches."""

    prefix: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Per layer, keys and values [graphs, heads, prefix, d_head]."""
    branch: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)
    """Per layer, one pair [graphs, heads, tokens, d_head] per pass."""


def rotary(
    position: Int[Tensor, "..."], d_head: int, base: float, dtype: torch.dtype
) -> tuple[Float[Tensor, "... d_head"], Float[Tensor, "... d_head"]]:
    """Return cosine and signed sine of the rotary angles, the two halves of each head alike."""
    frequency = base ** (-torch.arange(0, d_head, 2, dtype=torch.float32) / d_head)
    angle = position[..., None].float() * frequency
    sine = angle.sin()
    return torch.cat([angle.cos()] * 2, -1).to(dtype), torch.cat([-sine, sine], -1).to(dtype)


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn queries or keys [graphs, tokens, heads, d_head] to their positions."""
    return x * cosine + x.roll(x.shape[-1] // 2, -1) * sine


class Packed:
    """One batch under way: G graphs with M questions each.

    Args:
        weights: What to run.
        prefix: Token ids of the graphs [G, T].
        branches: Questions per graph, M.
    """

    def __init__(self, weights: Weights, prefix: Int[Tensor, "G T"], branches: int) -> None:
        self.weights, self.branches, self.graphs = weights, branches, len(prefix)
        self.d_head = weights.layers[0].out.shape[1] // weights.heads
        self.length = prefix.shape[1]
        self.memory = Memory(branch=[[] for _ in weights.layers])
        self.owner: list[Int[Tensor, " tokens"]] = []
        """Branch of every branch token so far, a tensor per pass."""
        self.when: list[Int[Tensor, " tokens"]] = []
        """Its position within the branch."""
        self._run_prefix(F.embedding(prefix, weights.embedding))

    def _run_prefix(self, x: Float[Tensor, "G T d"]) -> None:
        w, last = self.weights, len(self.weights.layers) - 1
        turn = rotary(torch.arange(self.length)[None, :, None], self.d_head, w.rope_base, w.dtype)
        future = torch.ones(self.length, self.length, dtype=torch.bool).triu(1)
        for index, layer in enumerate(w.layers):
            q, k, v = self._project(layer, x, turn, keys_only=index == last)
            self.memory.prefix.append((k, v))
            if q is not None:
                scores = (q @ k.transpose(-1, -2)).float().masked_fill(future, -torch.inf)
                x = self._after_attention(layer, x, scores.softmax(-1).to(w.dtype) @ v)

    def _project(
        self, layer: Layer, x: Tensor, turn: tuple[Tensor, Tensor], keys_only: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return queries (scaled), keys and values [G, heads, tokens, d_head] of the residual stream [G, tokens, d]."""
        w = self.weights
        h = F.rms_norm(x, x.shape[-1:], layer.norm_in, w.eps).to(w.dtype)
        parts = 2 if keys_only else 3
        weight, bias = layer.qkv, layer.qkv_bias
        if keys_only:
            d = weight.shape[0] // 3
            weight, bias = weight[d:], None if bias is None else bias[d:]
        out = F.linear(h, weight, bias).view(*x.shape[:2], parts * w.heads, self.d_head)
        turned = rotate(out[:, :, : (parts - 1) * w.heads], *turn).transpose(1, 2)
        v = out[:, :, (parts - 1) * w.heads :].transpose(1, 2)
        if keys_only:
            return None, turned, v
        return turned[:, : w.heads] * (1 / math.sqrt(self.d_head)), turned[:, w.heads :], v

    def _after_attention(self, layer: Layer, x: Tensor, attended: Float[Tensor, "G heads t d_head"]) -> Tensor:
        """Add attention output and MLP to the residual stream."""
        w = self.weights
        x = x + F.linear(attended.transpose(1, 2).flatten(2), layer.out).float()
        h = F.rms_norm(x, x.shape[-1:], layer.norm_mlp, w.eps).to(w.dtype)
        gate, up = F.linear(h, layer.gate_up).chunk(2, -1)
        return x + F.linear(F.silu(gate) * up, layer.down).float()

    def embed(self, ids: Int[Tensor, "G M t"]) -> Float[Tensor, "G M t d"]:
        """Return the input embeddings of tokens."""
        return F.embedding(ids, self.weights.embedding)

    def feed(self, inputs: Float[Tensor, "G M t d"], start: int, *, read_last: int) -> Float[Tensor, "G M read_last d"]:
        """Run t more tokens of every branch, which later passes will see.

        Args:
            inputs: Input embeddings, or thoughts.
            start: Position of the first of them within its branch.
            read_last: Of how many tokens at the end the hidden states are wanted; the last layer computes no others.

        Returns:
            Hidden states after the final norm: what the LM head reads, and the next thought.
        """
        branches, t = inputs.shape[1:3]
        owner, step = torch.arange(branches).repeat_interleave(t), torch.arange(t).repeat(branches)
        self.owner.append(owner)
        self.when.append(start + step)
        hidden = torch.cat(self.owner)[None, :] != owner[:, None]
        hidden[:, -len(owner) :] |= step[None, :] > step[:, None]
        return self._run(inputs, (start + step)[None], hidden, read_last, keep=True)

    def ask(self, inputs: Float[Tensor, "G M t d"], after: Int[Tensor, "G M t"]) -> Float[Tensor, "G M t d"]:
        """Run tokens that each stand alone after some position of their branch; later passes do not see them.

        Args:
            inputs: Input embeddings.
            after: Per token, the position in its branch after which it stands; it sees nothing later.
        """
        alone = ~torch.eye(inputs.shape[1] * inputs.shape[2], dtype=torch.bool)
        return self._aside(inputs, after, (after + 1).flatten(1), alone)

    def say(self, inputs: Float[Tensor, "G M t d"], after: Int[Tensor, "G M"]) -> Float[Tensor, "G M t d"]:
        """Run t tokens one after another from some position of their branch on; later passes do not see them.

        Args:
            inputs: Input embeddings.
            after: Per branch, the position after which its tokens stand.
        """
        branches, t = inputs.shape[1:3]
        owner, step = torch.arange(branches).repeat_interleave(t), torch.arange(t)
        position = (after[..., None] + 1 + step).flatten(1)
        step = step.repeat(branches)
        other = (owner[None, :] != owner[:, None]) | (step[None, :] > step[:, None])
        return self._aside(inputs, after[..., None].expand(-1, -1, t), position, other)

    def _aside(
        self,
        inputs: Float[Tensor, "G M t d"],
        after: Int[Tensor, "G M t"],
        position: Int[Tensor, "G tokens"],
        hidden_here: Bool[Tensor, "tokens tokens"],
    ) -> Float[Tensor, "G M t d"]:
        """Run tokens that see their branch's past up to `after`, and of this pass what is not `hidden_here`."""
        owner = torch.arange(inputs.shape[1]).repeat_interleave(inputs.shape[2])
        other = torch.cat(self.owner)[None, :] != owner[:, None]
        late = torch.cat(self.when)[None, None, :] > after.flatten(1)[:, :, None]
        hidden = torch.cat([other | late, hidden_here.expand(len(inputs), -1, -1)], -1)
        return self._run(inputs, position, hidden[:, None], inputs.shape[2], keep=False)

    def _run(
        self, inputs: Float[Tensor, "G M t d"], position: Tensor, hidden: Bool[Tensor, "..."], read: int, keep: bool
    ) -> Float[Tensor, "G M read d"]:
        """Run tokens at some positions of their branches, blind to the branch tokens that are `hidden`."""
        w, (graphs, branches, t, d) = self.weights, inputs.shape
        turn = rotary(self.length + position[..., None], self.d_head, w.rope_base, w.dtype)
        mask = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        x = inputs.flatten(1, 2)
        for layer, prefix, earlier in zip(w.layers, self.memory.prefix, self.memory.branch, strict=True):
            last = layer is w.layers[-1]
            q, k, v = self._project(layer, x, turn, keys_only=last and read == 0)
            own_k, own_v = (torch.cat(parts, 2) for parts in zip(*earlier, (k, v), strict=True))
            if keep:
                earlier.append((k, v))
            if q is None:
                return inputs[:, :, :0]
            if last and read < t:
                rows = (torch.arange(branches)[:, None] * t + torch.arange(t - read, t)).flatten()
                q, x, mask = q[:, :, rows], x[:, rows], mask[..., rows, :]
            blocks = [(q @ prefix[0].transpose(-1, -2)).float(), (q @ own_k.transpose(-1, -2)).float() + mask]
            share = torch.cat(blocks, -1).softmax(-1).to(w.dtype)
            attended = share[..., : self.length] @ prefix[1] + share[..., self.length :] @ own_v
            x = self._after_attention(layer, x, attended)
        return F.rms_norm(x, (d,), w.norm, w.eps).view(graphs, branches, read, d)

    def first(self, graphs: int) -> "Packed":
        """Return the same batch with only its first graphs, sharing keys and values: for side branches of a few."""
        part = object.__new__(Packed)
        part.__dict__.update(self.__dict__, graphs=graphs)
        part.memory = Memory(
            [(k[:graphs], v[:graphs]) for k, v in self.memory.prefix],
            [[(k[:graphs], v[:graphs]) for k, v in passes] for passes in self.memory.branch],
        )
        part.owner, part.when = list(self.owner), list(self.when)
        return part

    def logits(self, hidden: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch vocab"]:
        """Return the LM head's logits, in fp32 (bf16 would round a logit of 20 to 1/8)."""
        return F.linear(hidden, self.weights.head)
