"""The forward pass of a training step written out for Qwen2 and Llama: the arithmetic of `ModelPass`, less work.

The edges of a graph are most of the tokens, and every question asked of it reads the same ones. The prefix runs once,
and the questions attend to it. What is saved:

- the last layer computes nothing but keys and values where no hidden state is read (all of the prefix);
- questions have an axis of their own, so that no scores are computed between them;
- prefix and question keys stay apart: two blocks of scores, one softmax, no copy of the prefix per question.

Matrix products run in bf16 where asked; the residual stream, norms and softmax in fp32.
`benchmarks/training_step.py` compares it with `ModelPass` (1.5 times as fast on one core in bf16, reference sizes);
it stays as long as it is 1.3 times as fast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from workbench.model.adapters import update_of
from workbench.train.forward import ForwardPass


def supports(model: PreTrainedModel) -> bool:
    """Say whether a model is one that `FastPass` computes: Qwen2 or Llama in their plain form."""
    config = model.config
    return (
        config.model_type in ("qwen2", "llama")
        and config.hidden_act == "silu"
        and config.rope_parameters["rope_type"] == "default"
        and not (getattr(config, "attention_dropout", 0) or getattr(config, "mlp_bias", False))
        and not set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
        and all(layer.self_attn.o_proj.bias is None for layer in cast(Any, model.base_model).layers)
        and getattr(config, "head_dim", None) in (None, config.hidden_size // config.num_attention_heads)
    )


@dataclass(frozen=True)
class Matrix:
    """One or several matrices that read the same, joined, with the low-rank updates that some may have beside them."""

    weight: Float[Tensor, "out d"]
    bias: Float[Tensor, " out"] | None
    inner: Float[Tensor, "r d"] | None
    outer: Float[Tensor, "out r"] | None

    @classmethod
    def of(cls, modules: Sequence[nn.Module], dtype: torch.dtype) -> "Matrix":
        """Join modules, cast once; gradients flow back to whatever of them is trained."""
        held: Any = modules
        updates = [update_of(module) for module in modules]
        biases = [module.bias for module in held if module.bias is not None]
        inner = outer = None
        if any(update is not None for update in updates):
            inner = torch.cat([update[0] for update in updates if update]).to(dtype)
            parts = [u[1] if u else m.weight.new_zeros(len(m.weight), 0) for u, m in zip(updates, held, strict=True)]
            outer = torch.block_diag(*parts).to(dtype)
        weight = torch.cat([module.weight for module in held]).to(dtype)
        return cls(weight, torch.cat(biases).to(dtype) if biases else None, inner, outer)

    def __call__(self, x: Float[Tensor, "*batch d"], begin: int = 0) -> Float[Tensor, "*batch some"]:
        """Return the rows from `begin` on of the product."""
        out = F.linear(x, self.weight[begin:], None if self.bias is None else self.bias[begin:])
        if self.inner is None or self.outer is None:
            return out
        return out + F.linear(F.linear(x, self.inner), self.outer[begin:])


@dataclass(frozen=True)
class Layer:
    """The weights of one layer, joined for few large matrix products and cast once per step."""

    norm_in: Tensor
    qkv: Matrix
    """Rows q, k, v."""
    out: Matrix
    norm_mlp: Tensor
    gate_up: Matrix
    """[2 * d_mlp, d]."""
    down: Matrix

    @classmethod
    def of(cls, block: Any, dtype: torch.dtype) -> "Layer":
        """Join the weights of a decoder layer of either architecture; gradients flow back to them."""
        attention, mlp = block.self_attn, block.mlp
        return cls(
            block.input_layernorm.weight,
            Matrix.of((attention.q_proj, attention.k_proj, attention.v_proj), dtype),
            Matrix.of((attention.o_proj,), dtype),
            block.post_attention_layernorm.weight,
            Matrix.of((mlp.gate_proj, mlp.up_proj), dtype),
            Matrix.of((mlp.down_proj,), dtype),
        )


KeyValue = tuple[Tensor, Tensor]
Turn = tuple[Float[Tensor, "... d_head"], Float[Tensor, "... d_head"]]
"""Cosine and signed sine of the rotary angles, the two halves of each head alike."""


class FastPass(ForwardPass):
    """The forward pass of a model that `supports` knows; arguments as `ForwardPass`."""

    def _begin(self, prefix: Int[Tensor, "G T"]) -> None:
        model: Any = self.model
        self.layers = [Layer.of(block, self.dtype) for block in model.base_model.layers]
        self.norm: Tensor = model.base_model.norm.weight
        self.eps: float = model.config.rms_norm_eps
        self.rope_base: float = model.config.rope_parameters["rope_theta"]
        self.heads: int = model.config.num_attention_heads
        self.key_heads: int = model.config.num_key_value_heads
        self.d_head = self.layers[0].out.weight.shape[1] // self.heads
        self.prefix: list[KeyValue] = []
        """For each layer, keys and values [G, heads, T, d_head]."""
        self.kept: list[list[KeyValue]] = [[] for _ in self.layers]
        """For each layer and pass, keys and values [G, heads, M, t, d_head]."""
        self.padding: Tensor | None = None
        """What is added to the scores of the prefix, [G, 1, 1, T]: -inf at padding; None where there is none."""
        self.begins: Tensor | int = self.length
        """Position of the first column after the prefix, [G, 1] where padding makes it differ."""
        x, column = self.embed(prefix), self._range(self.length)
        turn, future = self._turn(column[None]), column[None, :] > column[:, None]
        for layer in self.layers:
            q, k, v = self._project(layer, x, turn, keys_only=layer is self.layers[-1])
            self.prefix.append((k, v))
            if q is not None and self.length:
                scores = (q @ k.transpose(-1, -2)).float().masked_fill(future, -torch.inf)
                x = self._after_attention(layer, x, scores.softmax(-1).to(self.dtype) @ v)

    def _turn(self, position: Int[Tensor, "#G t"]) -> Turn:
        exponent = torch.arange(0, self.d_head, 2, dtype=torch.float32, device=self.device) / self.d_head
        angle = position[..., None, None].float() * self.rope_base**-exponent
        sine = angle.sin()
        return torch.cat([angle.cos()] * 2, -1).to(self.dtype), torch.cat([-sine, sine], -1).to(self.dtype)

    def _project(
        self, layer: Layer, x: Float[Tensor, "G t d"], turn: Turn, keys_only: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return queries (scaled), keys and values [G, heads, t, d_head] of the residual stream."""
        h = F.rms_norm(x, x.shape[-1:], layer.norm_in, self.eps).to(self.dtype)
        asking = 0 if keys_only else self.heads
        out = layer.qkv(h, self.d_head * (self.heads - asking)).unflatten(-1, (-1, self.d_head))
        turned, (cosine, sine) = out[:, :, : -self.key_heads], turn
        turned = (turned * cosine + turned.roll(self.d_head // 2, -1) * sine).transpose(1, 2)
        k, v = turned[:, asking:], out[:, :, -self.key_heads :].transpose(1, 2)
        if self.key_heads < self.heads:  # several heads ask one head's keys
            k, v = (part.repeat_interleave(self.heads // self.key_heads, 1) for part in (k, v))
        return None if keys_only else turned[:, :asking] * (1 / math.sqrt(self.d_head)), k, v

    def _after_attention(self, layer: Layer, x: Tensor, attended: Float[Tensor, "G heads t d_head"]) -> Tensor:
        """Add attention output and MLP to the residual stream."""
        x = x + layer.out(attended.transpose(1, 2).flatten(2)).float()
        h = F.rms_norm(x, x.shape[-1:], layer.norm_mlp, self.eps).to(self.dtype)
        gate, up = layer.gate_up(h).chunk(2, -1)
        return x + layer.down(F.silu(gate) * up).float()

    def _run(
        self, inputs: Tensor, position: Tensor, hidden: Tensor, read: int, keep: bool
    ) -> Float[Tensor, "G M read d"]:
        graphs, branches, t, d = inputs.shape
        place = self.begins + position.expand(1 if len(position) == 1 else graphs, branches, t).flatten(1)
        turn = self._turn(place)
        mask = torch.zeros(hidden.shape, device=self.device).masked_fill_(hidden, -torch.inf)[:, None]
        x = inputs.flatten(1, 2)
        for layer, prefix, earlier in zip(self.layers, self.prefix, self.kept, strict=True):
            last = layer is self.layers[-1]
            q, k, v = self._project(layer, x, turn, keys_only=last and read == 0)
            k, v = (part.unflatten(2, (branches, t)) for part in (k, v))
            own_k, own_v = (torch.cat(parts, 3) for parts in zip(*earlier, (k, v), strict=True))
            if keep:
                earlier.append((k, v))
            if q is None:
                return inputs[:, :, :0]
            if last and read < t:
                rows = (self._range(branches)[:, None] * t + torch.arange(t - read, t, device=self.device)).flatten()
                q, x, mask = q[:, :, rows], x[:, rows], mask[..., t - read :, :]
            far = (q @ prefix[0].transpose(-1, -2)).float()
            far = far if self.padding is None else far + self.padding
            near = (q.unflatten(2, (branches, -1)) @ own_k.transpose(-1, -2)).float() + mask
            share = torch.cat([far, near.flatten(2, 3)], -1).softmax(-1).to(self.dtype)
            own = share[..., self.length :].unflatten(2, (branches, -1)) @ own_v
            x = self._after_attention(layer, x, share[..., : self.length] @ prefix[1] + own.flatten(2, 3))
        return F.rms_norm(x, (d,), self.norm, self.eps).unflatten(1, (branches, read))

    def _keep(self, graphs: int) -> None:
        self.prefix = [(k[:graphs], v[:graphs]) for k, v in self.prefix]
        self.kept = [[(k[:graphs], v[:graphs]) for k, v in passes] for passes in self.kept]
        self.padding = None if self.padding is None else self.padding[:graphs]
        self.begins = self.begins if isinstance(self.begins, int) else self.begins[:graphs]

    def _repeat(self, answers: int) -> None:
        if self.branches == answers:
            self._join_prefix()
            return
        self.kept = [
            [(k.repeat_interleave(answers, 2), v.repeat_interleave(answers, 2)) for k, v in passes]
            for passes in self.kept
        ]

    def _join_prefix(self) -> None:
        """Let the columns of each graph's only question be part of its prefix: its copies share keys and values."""
        pairs = zip(self.prefix, self.kept, strict=True)
        joined = [zip(prefix, *((k[:, :, 0], v[:, :, 0]) for k, v in passes), strict=True) for prefix, passes in pairs]
        self.prefix = [(torch.cat(k, 2), torch.cat(v, 2)) for k, v in (tuple(one) for one in joined)]
        ends = self.begins + self.fed
        if self.pads is not None:
            pads, own = self.pads[:, :1], self._range(self.fed)
            padded = torch.zeros(self.graphs, self.fed, device=self.device).masked_fill(own < pads, -torch.inf)
            before = padded.new_zeros(self.graphs, 1, 1, self.length) if self.padding is None else self.padding
            self.padding, ends = torch.cat([before, padded[:, None, None]], -1), ends - pads
        elif self.padding is not None:
            self.padding = F.pad(self.padding, (0, self.fed))
        self.begins, self.length = ends, self.length + self.fed
        self.kept, self.widths = [[] for _ in self.layers], []
        self.pads: Int[Tensor, "G M"] | None = None
