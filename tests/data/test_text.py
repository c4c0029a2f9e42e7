from __future__ import annotations

import pydoc_data.topics

import pytest
import torch

from ablate.data.documents import python_topics
from ablate.data.text import UNKNOWN, Text
from ablate.recipe.fingerprint import fingerprint


def said(part, spec, row: int) -> str:
    return "".join(spec.vocabulary[number] for number in part.inputs[row])


def test_characters_of_pythons_topics_and_the_next_of_each():
    parts = Text(length=32, limit=400).load()
    spec = parts.spec
    assert (spec.task, spec.input_shape, spec.places) == ("classification", (32,), (32,))
    assert spec.outputs == len(spec.vocabulary) == len(spec.classes)
    assert parts.train.inputs.shape == parts.train.targets.shape == (320, 32)
    assert parts.train.inputs.dtype == parts.train.targets.dtype == torch.int64
    assert torch.equal(parts.train.inputs[:, 1:], parts.train.targets[:, :-1])
    texts = list(pydoc_data.topics.topics.values())
    for row in range(0, 320, 40):
        window = said(parts.train, spec, row) + spec.vocabulary[parts.train.targets[row, -1]]
        assert any(window in text for text in texts)


def test_no_place_of_the_text_is_in_two_samples(tmp_path):
    # every character is another one: 40,000 of them from the planes beyond the surrogates
    (tmp_path / "all.txt").write_text("".join(chr(0x10000 + i) for i in range(1000)), encoding="utf-8")
    parts = Text(path=tmp_path / "all.txt", length=9, test=0.2).load()
    assert len(parts.train) + len(parts.valid) + len(parts.test) == 100
    # what the training part does not have is unknown: not a single character of the others is known
    assert parts.train.inputs.min() > 0
    assert parts.train.targets.min() > 0
    assert int(parts.valid.inputs.max()) == int(parts.valid.targets.max()) == int(parts.test.inputs.max()) == 0
    assert parts.spec.outputs == 1 + 10 * len(parts.train)


def test_words_and_the_vocabulary_of_the_training_part(tmp_path):
    (tmp_path / "t.txt").write_text("The cat, the dog. " * 30 + "rare " * 3, encoding="utf-8")
    parts = Text(path=tmp_path / "t.txt", level="word", length=5, vocabulary=4).load()
    assert parts.spec.vocabulary[:2] == (UNKNOWN, "the")
    assert len(parts.spec.vocabulary) == parts.spec.outputs == 4
    # of as many cats as dogs, commas and full stops the first by their text
    whole = Text(path=tmp_path / "t.txt", level="word", length=5).load()
    assert set(whole.spec.vocabulary) - {"rare"} == {UNKNOWN, "the", "cat", ",", "dog", "."}
    counts = torch.bincount(torch.cat([whole.train.inputs, whole.train.targets[:, -1:]], dim=1).flatten())
    assert counts[0] == 0
    assert torch.equal(counts[1:].sort(descending=True).values, counts[1:]), "the most frequent come first"


def test_only_the_token_after_the_last():
    every, last = (Text(length=16, limit=100, predict=predict).load() for predict in ("each", "last"))
    assert torch.equal(every.train.inputs, last.train.inputs)
    assert torch.equal(every.train.targets[:, -1], last.train.targets)
    assert (last.spec.places, last.spec.outputs) == ((), every.spec.outputs)


def test_topics_are_classes():
    parts = Text(task="topic", topics=5, length=40, limit=600).load()
    topics = pydoc_data.topics.topics
    longest = sorted(topics, key=lambda name: (-len(topics[name]), name))[:5]
    assert parts.spec.classes == tuple(sorted(longest))
    assert (parts.spec.outputs, parts.spec.places) == (5, ())
    for row in range(0, len(parts.valid), 10):
        name = parts.spec.classes[parts.valid.targets[row]]
        text = said(parts.valid, parts.spec, row)
        assert UNKNOWN in text or text in topics[name]


def test_a_group_keeps_a_topic_on_one_side(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(chr(97 + i) * 50, encoding="utf-8")
    (tmp_path / "notes.md").write_text("not this")
    parts = Text(path=tmp_path, length=4, group="topic").load()
    sides = [set(part.groups.tolist()) for part in (parts.train, parts.valid)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 2
    assert parts.valid.inputs.max() == 0, "letters of other topics"
    assert Text(path=tmp_path, length=4, task="topic").load().spec.classes == tuple("0123456789")


def test_two_loads_give_the_same_and_the_contents_of_the_file_count(tmp_path, settings_of):
    first, again = (Text(length=8, limit=50).load() for _ in range(2))
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert first.spec == again.spec
    assert Text().path == python_topics()
    # Python's topics elsewhere are the same run; other topics are another
    copy = tmp_path / "topics.txt"
    copy.write_bytes(python_topics().read_bytes())
    before = [fingerprint(settings_of(Text(**how)), 0, folder=tmp_path) for how in ({}, {"path": copy})]
    assert before[0] == before[1]
    copy.write_text("something else")
    assert fingerprint(settings_of(Text(path=copy)), 0, folder=tmp_path) != before[0]


@pytest.fixture
def settings_of():
    from ablate.recipe.settings import Choice, Settings
    from ablate.registry import lookup

    def make(data):
        named = {kind: (name, lookup(kind, name).settings()) for kind, name in OTHERS.items()}
        chosen = {kind: Choice(kind, name, None, options) for kind, (name, options) in named.items()}
        return Settings(data=Choice("data", "text", None, data), **chosen)

    return make


OTHERS = {"model": "mlp", "init": "default", "loss": "cross_entropy", "optimizer": "sgd"}


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (
            b"abc",
            {},
            "data.length (=64) gives 0 windows of 65 tokens in t.txt, which are too few. Decrease it, or use more text.",
        ),
        (b"  \n", {}, "data.path (=t.txt) contains no text."),
        (b"\xff\xfe", {}, "data.path (=t.txt) must be UTF-8, but byte 0 is not. Save it as UTF-8."),
        (
            b"abc" * 99,
            {"task": "topic"},
            "data.task (=topic) requires at least two topics with 64 tokens or more, but t.txt has 1.",
        ),
        (None, {}, "data.path (=t.txt) does not exist. Use the path of a text file, or remove 'path'."),
    ],
)
def test_what_is_wrong_is_told(tmp_path, monkeypatch, text, settings, message):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "t.txt").write_bytes(text)
    with pytest.raises(ValueError, match="data") as error:
        Text(path=tmp_path / "t.txt", **settings).load()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_settings_that_contradict_each_other_are_refused(tmp_path):
    for settings, message in (
        ({"task": "topic", "predict": "last"}, r"predict \(=last\)"),
        ({"task": "topic", "group": "topic"}, r"group \(=topic\) cannot be combined with task: topic"),
        ({"group": "author"}, r"group \(=author\) must be 'topic'"),
    ):
        with pytest.raises(ValueError, match=message):
            Text(**settings)
    with pytest.raises(ValueError, match=r"has no \.txt files"):
        Text(path=tmp_path).load()
