"""The sentences in the stores of version 0.1 become notes."""

from __future__ import annotations

import pytest

from ablate.notes.note import Note
from ablate.notes.old_sentences import OLD, parsed, read_note
from ablate.store.records import RunRecord


def weights(source, taken, total, left=(), more=0):
    return Note(
        "initial_weights", values={"source": source, "taken": taken, "total": total, "left": list(left), "more": more}
    )


def unfinite(metric, value, at):
    return Note("not_finite", values={"metric": metric, "value": value, "at": at})


WRITTEN = {
    "auc (=nan) is not finite at its selected epoch": unfinite("auc", "nan", "selected"),
    "train_loss_clean (=-inf) is not finite at its last epoch": unfinite("train_loss_clean", "-inf", "last"),
    "rmse (left eye) (=inf) is not finite at its best epoch": unfinite("rmse (left eye)", "inf", "best"),
    "its seeds are not stacked: model: it reads a tensor's value (.item(), float() or int()).": Note(
        "not_stacked", values={"reason": "model: it reads a tensor's value (.item(), float() or int())."}
    ),
    "the loss cannot be vmapped: a stack takes it seed by seed": Note("loss_not_vmapped"),
    "compile: a stack of seeds is not compiled; stack: off trains them one by one": Note("stack_not_compiled"),
    "compile: the network is not compiled (RuntimeError: no compiler (gcc))": Note(
        "not_compiled", values={"reason": "RuntimeError: no compiler (gcc)"}
    ),
    "targets may be missing (NaN): the loss is your own, and must leave them out": Note("missing_targets"),
    "2 of 20 train inputs hold NaN or infinity, first that of sample 3": Note(
        "not_finite_inputs", values={"count": 2, "total": 20, "split": "train", "first": 3}
    ),
    "1 of 7 valid inputs hold NaN or infinity, first that of sample 0": Note(
        "not_finite_inputs", values={"count": 1, "total": 7, "split": "valid", "first": 0}
    ),
    "starts from base: 4 of 4 tensors": weights("base", 4, 4),
    "starts from 7: 4 of 4 tensors": weights("7", 4, 4),
    "starts from net: old.pt: 7 of 9 tensors, all but output.weight, output.bias": weights(
        "net: old.pt", 7, 9, ["output.weight", "output.bias"]
    ),
    "starts from a: 1 of 12 tensors, all but a, b, c, d, e, f, g, h and 3 more": weights("a", 1, 12, "abcdefgh", 3),
    "ema: after 9 steps the average is still 99% the weights that it begins with. Lower decay (=0.999), or set warmup: true": Note(
        "initial_average", values={"steps": 9, "share": 0.99, "decay": 0.999}
    ),
    "its runs say no seed, so it is compared with nothing": Note("no_seed"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRITTEN)
def test_every_sentence_of_version_0_1_is_read(sentence):
    assert parsed(sentence) == WRITTEN[sentence]


def test_every_kind_has_an_example():
    assert {note.kind for note in WRITTEN.values()} == {kind for kind, _, _ in OLD}


@pytest.mark.parametrize(
    "sentence", ["", "my trick kept 3 layers", "auc (=nan) is not finite at its third epoch", "a\nb"]
)
def test_any_other_sentence_is_text(sentence):
    assert parsed(sentence) == Note("text", values={"text": sentence})


def test_a_status_of_either_version_gives_the_same_record():
    old = {"seed": 0, "status": "finished", "notes": [*WRITTEN, "mine"]}
    record = RunRecord.from_status("f", old)
    assert record.notes == (*WRITTEN.values(), Note("text", values={"text": "mine"}))
    new = old | {"notes": [note.dump() for note in record.notes]}
    assert RunRecord.from_status("f", new) == record
    assert read_note(old["notes"][0]) == read_note(new["notes"][0])
