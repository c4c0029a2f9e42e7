"""Text as sequences of characters or words: predict the next token, or the topic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, field_validator, model_validator

from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec
from ablate.data.documents import Documents, python_topics
from ablate.registry import Card, register
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

UNKNOWN = "<unknown>"
"""Token 0: unknown, for tokens that are rare or not in the training set."""


@register(
    "data",
    "text",
    card=Card(
        "Characters or words of a text: predict the next token or the topic.",
        source="pydoc_data.topics of Python's standard library; your own .txt file, or a folder of them",
        helps="For recurrent networks, embeddings, clipping and initialization; without a download.",
        costs="The topics of another Python release may differ, which requires new runs.",
        interacts=(
            "For rnn, lstm and gru with embedding; set predict: each in both the data and the model. Compare "
            "perplexity. group: topic keeps a topic in one split."
        ),
    ),
)
class Text(Data):
    """Inputs int64 (n, T) token indices; targets int64 (n, T) the next token of each, (n,) the token after the last, or
    (n,) topics.

    Windows of T + 1 tokens do not overlap and do not cross topics, so no position of the text is in two splits. The
    vocabulary is that of the *training* set, sorted by frequency, after 0 for all others; it is in the ``spec`` of the
    loaded data.
    """

    path: DataPath | None = Field(
        default=None,
        description="a text file (UTF-8), or a folder whose .txt files are topics; null: Python's documentation topics",
    )
    level: Literal["char", "word"] = Field(
        default="char", description="tokens: characters, or lower-case words and punctuation marks"
    )
    length: int = Field(default=64, ge=1, description="number of tokens per sample")
    task: Literal["next", "topic"] = Field(default="next", description="what to predict: the next token, or the topic")
    predict: Literal["each", "last"] = Field(
        default="each", description="each: predict the next token at each position; last: only the token after the last"
    )
    vocabulary: int | None = Field(
        default=None,
        ge=2,
        description="maximum size of the vocabulary, the most frequent tokens; null: all of the training set",
    )
    topics: int | None = Field(default=None, ge=1, description="use only the n longest topics; null: all")

    @field_validator("path")
    @classmethod
    def _file(cls, path: Path | None) -> Path | None:
        # its contents are part of a run's fingerprint, like those of a custom file
        return path or python_topics()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.task == "topic" and self.predict == "last":
            raise ValueError("predict (=last) requires task: next, but the task is topic. Remove 'predict'.")
        if self.group not in (None, "topic"):
            raise ValueError(f"group (={self.group}) must be 'topic'.")
        if self.group is not None and self.task == "topic":
            raise ValueError(
                "group (=topic) cannot be combined with task: topic, because topics would have no training "
                "samples. Remove 'group'."
            )
        return self

    def load(self) -> Parts:
        """Raises ValueError if there is no text, or too little."""
        documents = Documents.read(self.path, self.topics)
        where = shown(self.path) if self.path not in (None, python_topics()) else "Python's topics"
        words = [documents.tokens(i, self.level) for i in range(len(documents.names))]
        tokens, numbers = np.unique(np.concatenate(words), return_inverse=True)
        windows, topic = self._windows(np.split(numbers, np.cumsum([len(one) for one in words])[:-1]))
        kept = np.unique(topic)
        if self.task == "topic" and len(kept) < 2:
            raise ValueError(
                f"data.task (=topic) requires at least two topics with {self._window} tokens or more, but {where} "
                f"has {len(kept)}. Use 'task: next', or a folder of .txt files."
            )
        if len(windows) < 2:
            raise ValueError(
                f"data.length (={self.length}) gives {len(windows)} windows of {self._window} tokens in {where}, "
                "which are too few. Decrease it, or use more text."
            )
        names = tuple(documents.names[i] for i in kept)
        groups = torch.from_numpy(np.searchsorted(kept, topic))
        whole = torch.from_numpy(windows)
        # topics are the targets at this stage, so that folds can be stratified
        raw = Part(whole, groups if self.task == "topic" else whole, rows=torch.arange(len(whole)), groups=groups)
        parts = self.parts(raw, Spec((self.length,), 1, "classification"), source=where, topics=len(names))
        return self._encoded(parts, tokens, names)

    @property
    def _window(self) -> int:
        """Tokens per window: those of a sample, and the next one."""
        return self.length + (self.task == "next")

    def _windows(self, documents: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Windows (n, T + 1) and the topic of each (n,); an incomplete window at a topic's end is dropped."""
        counts = [len(one) // self._window for one in documents]
        cut = [one[: n * self._window].reshape(n, self._window) for one, n in zip(documents, counts, strict=True)]
        return np.concatenate(cut), np.repeat(np.arange(len(counts)), counts)

    def _encoded(self, parts: Parts, tokens: NDArray[np.str_], topics: tuple[str, ...]) -> Parts:
        """Tokens as indices in the training set's vocabulary, and the targets of each task."""
        assert parts.train.inputs is not None
        counts = np.bincount(parts.train.inputs.numpy().ravel(), minlength=len(tokens))
        # the most frequent first; ties in the order of their text
        order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        order = order if self.vocabulary is None else order[: self.vocabulary - 1]
        number = torch.zeros(len(tokens), dtype=torch.int64)
        number[torch.from_numpy(order)] = torch.arange(1, len(order) + 1)
        vocabulary = (UNKNOWN, *(str(token) for token in tokens[order]))

        def encoded(part: Part) -> Part:
            assert part.inputs is not None
            windows = number[part.inputs]
            if self.task == "topic":
                return replace(part, inputs=windows)
            inputs, after = windows[:, :-1].contiguous(), windows[:, 1:]
            return replace(
                part, inputs=inputs, targets=after.contiguous() if self.predict == "each" else after[:, -1].clone()
            )

        classes = topics if self.task == "topic" else vocabulary
        places = (self.length,) if self.task == "next" and self.predict == "each" else ()
        return replace(
            parts,
            train=encoded(parts.train),
            valid=encoded(parts.valid),
            test=None if parts.test is None else encoded(parts.test),
            spec=replace(parts.spec, outputs=len(classes), classes=classes, places=places, vocabulary=vocabulary),
            notes={**parts.notes, "vocabulary": len(vocabulary)},
        )
