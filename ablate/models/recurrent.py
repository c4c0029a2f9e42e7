"""Recurrent networks for sequences of tokens or numbers: rnn, lstm, gru."""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field

from ablate.models.blocks import sequence
from ablate.models.mlp import Width
from ablate.models.model import Model
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.dataset import Spec
    from ablate.layers.recurrent import Recurrent


class RecurrentModel(Model):
    """``embedding`` or ``sequence``, then ``rnn1``, ``rnn2``, …, ``last`` and ``output``.

    With ``embedding``, samples (T,) are tokens, otherwise T numbers; (T, features) has T steps; an image (C, H, W) has
    H rows as steps. The loop over time is explicit, so that seeds can be stacked; the results equal those of torch's
    layers.
    """

    hidden: tuple[Width, ...] = Field(default=(64,), min_length=1, description="units of each recurrent layer")
    embedding: int = Field(default=0, ge=0, description="embedding dimension; 0: inputs are already numeric")
    tokens: int | None = Field(
        default=None,
        ge=1,
        description="vocabulary size; null: from the data, or the number of outputs",
    )
    predict: Literal["last", "each"] = Field(
        default="last", description="last: one prediction for the sequence; each: one per step, (N, outputs, T)"
    )
    both_ways: bool = Field(default=False, description="use bidirectional layers")
    dropout: Annotated[float, Range(ge=0, lt=1)] = Field(
        default=0.0, description="dropout probability between and after the layers"
    )

    @property
    def answers_places(self) -> bool:
        return self.predict == "each"

    @property
    def takes_tokens(self) -> bool:
        return self.embedding > 0

    def for_data(self, name: str, spec: Spec) -> Self:
        """Takes the vocabulary size from the data, unless ``tokens`` is set. Raises ValueError if it is too small."""
        if spec.vocabulary and not self.embedding:
            raise ValueError(
                "model.embedding (=0) must be at least 1, because the data are tokens. Set it to 16, for example."
            )
        told = super().for_data(name, spec)
        known = len(spec.vocabulary)
        if known and self.tokens is None:
            return told.model_copy(update={"tokens": known})
        if known and self.tokens is not None and self.tokens < known:
            raise ValueError(
                f"model.tokens (={self.tokens}) must be at least the data's vocabulary size ({known}). Remove it."
            )
        return told

    def other_answer(self, places: bool) -> str:
        return f"Set 'predict: {'each' if places else 'last'}'."

    @abstractmethod
    def layer(self, inputs: int, hidden: int, reverse: bool) -> Recurrent:
        """One recurrent layer."""

    def check(self, name: str, spec: Spec) -> None:
        """Also raises ValueError if ``embedding`` is set but samples are not tokens."""
        super().check(name, spec)
        if self.embedding and not spec.vocabulary:
            raise ValueError(
                f"model.embedding (={self.embedding}) expects tokens, but the inputs are numeric. Set it to 0."
            )

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        if self.embedding and len(input_shape) != 1:
            raise ValueError(
                f"model.embedding (={self.embedding}) expects inputs of shape (T,), tokens, but got "
                f"{input_shape}. Set it to 0."
            )

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if samples do not match ``embedding``."""
        from ablate.layers.recurrent import AsSequence, BothWays, ClassesFirst, Ends, Tokens

        self.check_shape(input_shape, outputs)
        layers: dict[str, nn.Module] = {}
        if self.embedding:
            width = self.embedding
            layers["embedding"] = Tokens(self.tokens or outputs, width)
        else:
            width = input_shape[0] * prod(input_shape[2:]) if len(input_shape) > 2 else prod(input_shape[1:])
            layers["sequence"] = AsSequence()
        for i, hidden in enumerate(self.hidden, start=1):
            forwards = self.layer(width, hidden, False)
            layers[f"rnn{i}"] = BothWays(forwards, self.layer(width, hidden, True)) if self.both_ways else forwards
            if self.dropout:
                layers[f"rnn{i}_dropout"] = torch.nn.Dropout(self.dropout)
            width = hidden * (2 if self.both_ways else 1)
        if self.predict == "last":
            layers |= {"last": Ends(self.both_ways), "output": torch.nn.Linear(width, outputs)}
        else:
            layers |= {"output": torch.nn.Linear(width, outputs), "classes_first": ClassesFirst()}
        return sequence(**layers)


@register(
    "model",
    "rnn",
    card=Card(
        "Plain recurrent layers over a sequence.",
        source="Elman 1990, Finding Structure in Time; torch.nn.RNN",
        helps="For short-range dependencies; as a baseline for lstm and gru.",
        costs="Gradients vanish or explode over long sequences. Time steps are processed sequentially.",
        interacts="Use tanh rather than relu; use clip_norm if it diverges.",
    ),
)
class Rnn(RecurrentModel):
    """h ← activation(W x + b + U h + c)."""

    activation: Literal["tanh", "relu"] = Field(default="tanh", description="activation of the hidden units")

    def layer(self, inputs: int, hidden: int, reverse: bool) -> Recurrent:
        from ablate.layers.recurrent import Rnn as Layer

        return Layer(inputs, hidden, reverse=reverse, function=torch.tanh if self.activation == "tanh" else torch.relu)


@register(
    "model",
    "lstm",
    card=Card(
        "Recurrent layers with a gated memory cell.",
        source="Hochreiter and Schmidhuber 1997, Long Short-Term Memory; torch.nn.LSTM",
        helps="For text and other long sequences.",
        costs="Four times the parameters of rnn. Time steps are processed sequentially.",
        interacts="Use clip_norm with a limit of 5 or 15, without which it may diverge.",
    ),
)
class Lstm(RecurrentModel):
    """c ← σ(f)·c + σ(i)·tanh(g), h ← σ(o)·tanh(c)."""

    forget_bias: float = Field(
        default=0.0, description="added to the forget gate: 1 keeps the memory at the start of training"
    )

    def layer(self, inputs: int, hidden: int, reverse: bool) -> Recurrent:
        from ablate.layers.recurrent import Lstm as Layer

        return Layer(inputs, hidden, reverse=reverse, forget=self.forget_bias)


@register(
    "model",
    "gru",
    card=Card(
        "Recurrent layers with two gates and no cell state.",
        source="Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder; torch.nn.GRU",
        helps="For long sequences, with a quarter fewer parameters than lstm.",
        costs="Time steps are processed sequentially.",
        interacts="Use clip_norm if it diverges.",
    ),
)
class Gru(RecurrentModel):
    """h ← (1 − σ(z))·tanh(n_x + σ(r)·n_h) + σ(z)·h."""

    def layer(self, inputs: int, hidden: int, reverse: bool) -> Recurrent:
        from ablate.layers.recurrent import Gru as Layer

        return Layer(inputs, hidden, reverse=reverse)
