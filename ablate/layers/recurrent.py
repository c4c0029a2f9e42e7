"""Recurrent layers with an explicit loop over time, so that seeds can be stacked: torch's own layers do not support
vmap.

They compute the same as torch's ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` with the same weights and order of gates.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """Base: sequences (N, T, inputs) → hidden states (N, T, hidden), from a zero state; ``reverse`` reads them
    backwards.

    ``input`` and ``recurrent`` are linear layers with the concatenated weights of the gates: torch's ``weight_ih`` and
    ``weight_hh``.
    """

    gates: ClassVar[int] = 1

    def __init__(self, inputs: int, hidden: int, *, reverse: bool = False) -> None:
        super().__init__()
        self.hidden, self.reverse = hidden, reverse
        self.input = nn.Linear(inputs, self.gates * hidden)
        self.recurrent = nn.Linear(hidden, self.gates * hidden)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√hidden, as in torch."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(self.hidden), 1 / math.sqrt(self.hidden))

    @abstractmethod
    def step(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next state, hidden state first, from the input's contribution to the gates (N, gates·hidden)."""

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        """The initial state."""
        return (x.new_zeros(len(x), self.hidden),)

    def forward(self, x: Tensor) -> Tensor:
        given = self.input(x)
        state = self.start(given)
        steps = given.unbind(dim=1)
        outputs = []
        for one in reversed(steps) if self.reverse else steps:
            state = self.step(one, state)
            outputs.append(state[0])
        return torch.stack(outputs[::-1] if self.reverse else outputs, dim=1)


class Rnn(Recurrent):
    """h ← tanh(W x + b + U h + c), or another activation instead of tanh: Elman 1990."""

    def __init__(
        self, inputs: int, hidden: int, *, reverse: bool = False, function: Callable[[Tensor], Tensor] = torch.tanh
    ) -> None:
        super().__init__(inputs, hidden, reverse=reverse)
        self.function = function

    def step(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (self.function(given + self.recurrent(state[0])),)


class Lstm(Recurrent):
    """Gates i, f, g, o; c ← σ(f)·c + σ(i)·tanh(g), h ← σ(o)·tanh(c): Hochreiter and Schmidhuber 1997, with the forget
    gate of Gers et al. 2000.

    ``forget`` is added to the forget gate, so that it is open at first whatever the initial biases (1 in Jozefowicz et
    al. 2015).
    """

    gates = 4

    def __init__(self, inputs: int, hidden: int, *, reverse: bool = False, forget: float = 0.0) -> None:
        super().__init__(inputs, hidden, reverse=reverse)
        self.forget = forget

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x.new_zeros(len(x), self.hidden), x.new_zeros(len(x), self.hidden))

    def step(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        i, f, g, o = (given + self.recurrent(state[0])).chunk(4, dim=-1)
        cell = torch.sigmoid(f + self.forget) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return (torch.sigmoid(o) * torch.tanh(cell), cell)


class Gru(Recurrent):
    """Gates r, z, n; h ← (1 − σ(z))·tanh(n_x + σ(r)·n_h) + σ(z)·h: Cho et al. 2014, in torch's form."""

    gates = 3

    def step(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        own = self.recurrent(state[0]).chunk(3, dim=-1)
        r, z, n = given.chunk(3, dim=-1)
        update = torch.sigmoid(z + own[1])
        new = torch.tanh(n + torch.sigmoid(r + own[0]) * own[2])
        return ((1 - update) * new + update * state[0],)


class BothWays(nn.Module):
    """A forward and a backward layer: (N, T, inputs) → (N, T, 2·hidden)."""

    def __init__(self, forwards: Recurrent, backwards: Recurrent) -> None:
        super().__init__()
        self.forwards, self.backwards = forwards, backwards

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.forwards(x), self.backwards(x)], dim=-1)


class Tokens(nn.Embedding):
    """Embeds token indices: (N, T) → (N, T, vector)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.long())


class AsSequence(nn.Module):
    """Samples as time steps (N, T, features): (N, T) has one number per step, (N, T, features) does not change, an
    image (N, C, H, W) has H rows as steps.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return x.unsqueeze(-1)
        return x if x.dim() == 3 else x.transpose(1, 2).flatten(2)


class Ends(nn.Module):
    """The final state: (N, T, hidden) → (N, hidden).

    If bidirectional, the last step of the forward layer and the first of the backward layer.
    """

    def __init__(self, both_ways: bool = False) -> None:
        super().__init__()
        self.both_ways = both_ways

    def forward(self, x: Tensor) -> Tensor:
        if not self.both_ways:
            return x[:, -1]
        half = x.shape[-1] // 2
        return torch.cat([x[:, -1, :half], x[:, 0, half:]], dim=-1)


class ClassesFirst(nn.Module):
    """(N, T, classes) → (N, classes, T), the layout of losses."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)
