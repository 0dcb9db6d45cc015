"""Keys and values of one layer, written on the spot and wound back: the cache that sessions run on."""

from typing import cast

from torch import Tensor
from transformers.cache_utils import DynamicLayer


class Tape(DynamicLayer):
    """Keys and values of one layer in a buffer that is written on the spot and can be wound back.

    The library's own layer copies everything it holds for every new token. Not for training: what is overwritten is
    lost to the gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Append keys and values [batch, heads, tokens, d_head] and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        end = self.length + key_states.shape[2]
        keys, values = (self._with_room(cast(Tensor, buffer), end) for buffer in (self.keys, self.values))
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.keys, self.values, self.length = keys, values, end
        return keys[:, :, :end], values[:, :, :end]

    def _with_room(self, buffer: Tensor, end: int) -> Tensor:
        """Return the buffer if it has enough columns, else a half larger copy."""
        if end <= buffer.shape[2]:
            return buffer
        larger = buffer.new_empty(*buffer.shape[:2], end + end // 2, buffer.shape[3])
        larger[:, :, : self.length] = buffer[:, :, : self.length]
        return larger

    def get_seq_length(self) -> int:
        """Return the number of columns written."""
        return self.length
