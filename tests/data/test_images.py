from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.data import images
from ablate.data.dataset import Part
from ablate.data.images import Images
from ablate.data.loaders import loader_for
from ablate.data.pictures import Look, PictureFiles, Pictures


def write(path: Path, value: int, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, value // 2, 0)).save(path)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten cats and ten dogs, brightness from 0 to 190 in steps of 10, in folders of five."""
    for i in range(20):
        write(tmp_path / "pets" / ("cat" if i < 10 else "dog") / f"film{i // 5 % 2}" / f"{i:02}.png", 10 * i)
    (tmp_path / "pets" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "pets" / ".hidden").mkdir()
    return tmp_path / "pets"


def both(parts) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.cat([getattr(part, name) for part in (parts.train, parts.valid)]) for name in ("inputs", "rows"))


def test_pictures_their_classes_and_their_channels(pets):
    parts = Images(path=pets, size=6).load()
    assert parts.spec == Images(path=pets, size=6).spec()
    assert (parts.spec.input_shape, parts.spec.classes, parts.spec.outputs) == ((3, 6, 6), ("cat", "dog"), 2)
    assert (len(parts.train), len(parts.valid), parts.notes["left_out"]) == (16, 4, 1)
    for part in (parts.train, parts.valid):
        assert (part.inputs.dtype, part.targets.dtype) == (torch.uint8, torch.int64)
        assert torch.equal(part.inputs[:, 0, 0, 0].long(), 10 * part.rows)
        assert torch.equal(part.inputs[:, 1, 3, 2].long(), 5 * part.rows)
        assert torch.equal(part.targets, (part.rows >= 10).long())
    grey = Images(path=pets, size=6, grey=True).load()
    assert grey.spec.input_shape == (1, 6, 6)
    # ITU-R 601: 0.299 of red and 0.587 of green
    inputs, rows = both(grey)
    assert (inputs[:, 0, 0, 0] - (0.299 * 10 + 0.587 * 5) * rows).abs().max() <= 1


@pytest.mark.parametrize(
    ("fit", "middle", "left", "top"), [("crop", 255, 255, 255), ("stretch", 255, 0, 255), ("pad", 255, 0, 0)]
)
def test_how_a_picture_becomes_a_square(tmp_path, fit, middle, left, top):
    """40 wide, 20 high, the outer quarters black."""
    pixels = np.zeros((20, 40), np.uint8)
    pixels[:, 10:30] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.bmp")
    inputs, _ = both(Images(path=tmp_path, size=20, grey=True, fit=fit, valid=0.5).load())
    assert inputs.shape == (4, 1, 20, 20)
    assert [int(v) for v in (inputs[0, 0, 10, 10], inputs[0, 0, 10, 1], inputs[0, 0, 1, 10])] == [middle, left, top]


def test_pictures_stand_upright_and_sixteen_bits_are_eight(tmp_path):
    turned = np.zeros((8, 8), np.uint8)
    turned[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(turned).save(tmp_path / name / "0.png", exif=exif)
        Image.fromarray(np.full((8, 8), 51400, np.uint16)).save(tmp_path / name / "1.png")
    inputs, rows = both(Images(path=tmp_path, size=8, grey=True, valid=0.5).load())
    upside, deep = inputs[rows == 0][0, 0], inputs[rows == 1][0, 0]
    assert (int(upside[0, 0]), int(upside[7, 0])) == (0, 255)
    assert deep.unique().tolist() == [200]


def test_what_does_not_fit_into_memory_is_read_when_it_is_asked_for(pets, monkeypatch):
    kept = Images(path=pets, size=6, test=0.1).load()
    monkeypatch.setattr(images, "free_bytes", lambda device: 100)
    asked = Images(path=pets, size=6, test=0.1).load()
    assert asked.notes["streamed"] == ["train", "valid", "test"]
    for name in ("train", "valid", "test"):
        a, b = getattr(kept, name), getattr(asked, name)
        assert b.inputs is None
        assert torch.equal(a.rows, b.rows)
        assert len(a) == len(b)
        pairs = zip(loader_for(a, "auto", 3).batches(), loader_for(b, "auto", 3).batches(), strict=True)
        for (inputs, targets), (same_inputs, same_targets) in pairs:
            assert torch.equal(inputs, same_inputs)
            assert torch.equal(targets, same_targets)


def test_processes_read_them_too(pets):
    settings = Images(path=pets, size=6)
    whole = settings.load()
    pictures = Pictures.below(pets).take(whole.valid.rows.numpy())
    dataset = PictureFiles(pictures, Look(6, False, "crop"), torch.arange(4))
    [(inputs, targets)] = loader_for(Part(dataset=dataset), "streamed", 4, workers=1).batches()
    torch.testing.assert_close(inputs, whole.valid.inputs / 255)
    assert torch.equal(targets, whole.valid.targets)


def test_two_loads_are_the_same_and_a_changed_file_is_read_anew(pets):
    first, again = (both(Images(path=pets, size=6).load())[0] for _ in range(2))
    assert torch.equal(first, again)
    write(pets / "cat" / "film0" / "00.png", 255, (14, 8))
    changed, rows = both(Images(path=pets, size=6).load())
    assert changed[rows == 0][0, 0, 0, 0] == 255
    assert torch.equal(changed[rows > 0], first[rows > 0])


def test_a_folder_below_the_class_is_a_group_and_a_limit_reads_no_other_files(pets):
    parts = Images(path=pets, size=6, group="folder", valid=0.5).load()
    films = [{int(row) // 5 % 2 for row in part.rows} for part in (parts.train, parts.valid)]
    assert films in ([{0}, {1}], [{1}, {0}])
    few = Images(path=pets, size=6, limit=6, valid=0.5).load()
    assert (len(few.train), len(few.valid)) == (3, 3)
    inputs, rows = both(few)
    assert torch.equal(inputs[:, 0, 0, 0].long(), 10 * rows)
    unused = next(i for i in range(20) if i not in rows.tolist())
    (pets / ("cat" if unused < 10 else "dog") / f"film{unused // 5 % 2}" / f"{unused:02}.png").write_bytes(b"broken")
    assert torch.equal(both(Images(path=pets, size=6, limit=6, valid=0.5).load())[0], inputs)


def test_bad_files_are_named_in_one_line(pets, monkeypatch):
    monkeypatch.chdir(pets.parent)
    (pets / "dog" / "film0" / "10.png").write_bytes(b"not a picture")
    (pets / "dog" / "z.jpg").write_bytes(b"nor this")
    with pytest.raises(ValueError, match="data") as error:
        Images(path=pets, size=6).load()
    assert str(error.value) == (
        "data.path (=pets/dog/film0/10.png) is not a valid image file: Pillow does not recognize it. "
        "Repair or remove it. 1 more cannot be read either."
    )
    (pets / "dog" / "z.jpg").unlink()
    # a good head, and then the end of the file
    whole = pets / "dog" / "film0" / "10.png"
    write(whole, 100, (200, 200))
    whole.write_bytes(whole.read_bytes()[:90])
    with pytest.raises(ValueError, match=r"^data\.path \(=pets/dog/film0/10\.png\) is not a valid image file: [^\n]*$"):
        Images(path=pets, size=6).load()


def test_folders_that_are_no_classes_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for make, message in (
        (lambda: None, "data.path (=pets) does not exist. Use a folder with one subfolder of images per class."),
        (lambda: write(Path("pets/cat/1.png"), 5), "data.path (=pets) must contain at least two class folders"),
        (lambda: Path("pets/dog").mkdir(), "data.path (=pets/dog) contains no images (.bmp, .gif, "),
    ):
        make()
        with pytest.raises(ValueError, match="data") as error:
            Images(path=tmp_path / "pets").load()
        assert str(error.value).startswith(message)
    write(Path("pets/dog/2.png"), 5)
    with pytest.raises(ValueError, match=r"data\.group \(=person\) must be 'folder'"):
        Images(path=tmp_path / "pets", group="person").load()
    assert Images(path=tmp_path / "nowhere").spec() is None
