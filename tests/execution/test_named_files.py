"""Files that users name with -o: whole or not at all, and never in place of a device, a pipe or a link."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from ablate.store.disk import Disk, DiskError


def test_a_link_stays_a_link(tmp_path):
    paper, link = tmp_path / "paper.tex", tmp_path / "link.tex"
    paper.write_text("old")
    link.symlink_to(paper)
    Disk().deliver(link, b"new")
    assert link.is_symlink()
    assert paper.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.tex", "paper.tex"]


def test_a_pipe_gets_the_contents_and_stays(tmp_path):
    pipe, heard = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    Disk().deliver(pipe, b"a,b\n")
    reader.join()
    assert heard == [b"a,b\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_refused_in_one_line(tmp_path):
    with pytest.raises(DiskError, match=r"cannot be written"):
        Disk().deliver(tmp_path, b"x")


def test_every_command_that_writes_a_named_file_delivers_it(ablate, own, tmp_path):
    assert ablate("run", own, "--no-mlflow").code == 0
    for words in (["export", own], ["plot", own, "--kind", "curves"], ["schema"]):
        suffix = {"export": ".csv", "plot": ".svg", "schema": ".json"}[words[0]]
        target, link = tmp_path / f"target{suffix}", tmp_path / f"link{suffix}"
        link.symlink_to(target)
        done = ablate(*words, "-o", link)
        assert done.code == 0, done.err
        assert link.is_symlink()
        assert target.stat().st_size > 0
