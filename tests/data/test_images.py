from __future__ import annotations

import io
import re
import struct
import zlib
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
from ablate.recipe.contents import content_hash


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


def test_pictures_stand_upright_and_sixteen_bits_have_the_scale_of_eight(tmp_path):
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
    assert (float(upside[0, 0]), float(upside[7, 0])) == (0, 1)
    assert deep.unique().tolist() == pytest.approx([200 / 255])


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


DRAW = np.random.default_rng(0)
SIDE = 8


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def sixteen_bit_png(values: np.ndarray) -> bytes:
    """A PNG of (H, W, C) values, C from 1 to 4: gray, gray and alpha, colors, colors and alpha."""
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of (H, W) or (H, W, 3) values of any type, in byte order < or >."""
    height, width, channels = *values.shape[:2], (*values.shape, 1)[2]
    bits = values.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    fields = {
        256: width, 257: height, 258: bits, 259: 1, 262: 2 if channels == 3 else 1, 273: 8, 277: channels,
        278: height, 279: len(data), 284: 1, 339: kind,
    }  # fmt: skip
    entries = b""
    after = 8 + len(data) + 2 + 12 * len(fields) + 4
    for tag, value in fields.items():
        if tag in (258, 339) and channels == 3:
            place = after + (6 if tag == 339 else 0)
            entries += struct.pack(f"{order}HHII", tag, 3, 3, place)
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    triples = struct.pack(f"{order}6H", *[bits] * 3, *[kind] * 3) if channels == 3 else b""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return head + data + struct.pack(f"{order}H", len(fields)) + entries + struct.pack(f"{order}I", 0) + triples


def pgm(values: np.ndarray, most: int) -> bytes:
    return f"P5 {values.shape[1]} {values.shape[0]} {most}\n".encode() + values.astype(">u2").tobytes()


WORDS = DRAW.integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
TWELVE = DRAW.integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)
EIGHT = DRAW.integers(0, 256, (SIDE, SIDE)).astype(np.uint16)
COLOURS = DRAW.integers(0, 65536, (SIDE, SIDE, 4)).astype(np.uint16)
FLOATS = DRAW.normal(size=(SIDE, SIDE)).astype(np.float32)
WHOLE = DRAW.integers(-(2**20), 2**20, (SIDE, SIDE)).astype(np.int32)
BYTES = DRAW.integers(0, 256, (SIDE, SIDE, 4)).astype(np.uint8)


def pillow(values: np.ndarray, form: str = "png", mode: str | None = None) -> bytes:
    image, out = Image.fromarray(values), io.BytesIO()
    (image.convert(mode) if mode else image).save(out, form, **({"compression": "tiff_lzw"} if form == "tiff" else {}))
    return out.getvalue()


FILES = {
    "16 bits.png": (sixteen_bit_png(WORDS[..., None]), WORDS / 65535),
    "12 of 16 bits.png": (sixteen_bit_png(TWELVE[..., None]), TWELVE / 65535),
    "8 of 16 bits.png": (sixteen_bit_png(EIGHT[..., None]), EIGHT / 65535),
    "16 bits.tif": (tiff(WORDS, "<"), WORDS / 65535),
    "16 bits, big end.tif": (tiff(WORDS, ">"), WORDS / 65535),
    "12 of 16 bits, packed.tif": (pillow(TWELVE, "tiff"), TWELVE / 65535),
    "16 bits.pgm": (pgm(WORDS, 65535), WORDS / 65535),
    "16 bits and alpha.png": (sixteen_bit_png(COLOURS[..., :2]), COLOURS[..., 0] / 65535),
    "16-bit colors.png": (sixteen_bit_png(COLOURS[..., :3]), COLOURS[..., :3] / 65535),
    "16-bit colors and alpha.png": (sixteen_bit_png(COLOURS), COLOURS[..., :3] / 65535),
    "16-bit colors.tif": (tiff(COLOURS[..., :3], "<"), COLOURS[..., :3] / 65535),
    "16-bit colors, big end.tif": (tiff(COLOURS[..., :3], ">"), COLOURS[..., :3] / 65535),
    "floats.tif": (tiff(FLOATS, "<"), FLOATS),
    "floats, big end.tif": (tiff(FLOATS, ">"), FLOATS),
    "floats, packed.tif": (pillow(FLOATS, "tiff"), FLOATS),
    "32 bits.tif": (tiff(WHOLE, "<"), WHOLE),
    "16 bits with sign.tif": (tiff(WHOLE.astype(np.int16), "<"), WHOLE.astype(np.int16)),
    "1 bit.png": (pillow(BYTES[..., 0] > 127), BYTES[..., 0] > 127),
    "8 bits.tif": (pillow(BYTES[..., 0], "tiff"), BYTES[..., 0] / 255),
    "8 bits and alpha.png": (pillow(BYTES[..., :2]), BYTES[..., 0] / 255),
    "palette.png": (pillow(BYTES[..., 0], mode="P"), BYTES[..., 0] / 255),
    "colors.png": (pillow(BYTES[..., :3]), BYTES[..., :3] / 255),
    "colors and alpha.png": (pillow(BYTES), BYTES[..., :3] / 255),
}
"""Files, and the values that the network gets: 8 bits /255, 16 bits /65535, anything else as it is."""


def one_file(folder: Path, name: str, contents: bytes) -> Path:
    for label in ("a", "b"):
        (folder / label).mkdir(exist_ok=True)
        (folder / label / name).write_bytes(contents)
    return folder


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_the_network_gets_the_values_in_the_file(tmp_path, monkeypatch, name, grey, in_memory):
    contents, values = FILES[name]
    if not in_memory:
        monkeypatch.setattr(images, "free_bytes", lambda device: 100)
    parts = Images(path=one_file(tmp_path, name, contents), size=SIDE, grey=grey, valid=0.5).load()
    [(inputs, _)] = loader_for(parts.train, "auto", 1, dtype=torch.float64).batches()
    expected = np.asarray(values, np.float64)
    if expected.ndim == 2:
        expected = np.stack([expected] * (1 if grey else 3))
    else:
        expected = np.moveaxis(expected, -1, 0)
        # PIL rounds the gray of 8-bit colors
        expected = expected if not grey else np.tensordot([0.299, 0.587, 0.114], expected, 1)[None]
    close = 1 / 255 if grey and name.startswith("colors") else 1e-7
    np.testing.assert_allclose(inputs[0].numpy(), expected, rtol=1e-6, atol=close)
    assert Images(path=tmp_path).misread(content_hash(tmp_path)) is (
        "8 bits" not in name and name[:2] not in ("1 ", "co", "pa")
    )


def test_files_of_8_and_16_bits_have_one_scale_and_others_are_not_mixed_with_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_file(tmp_path, "1.png", FILES["8 bits.tif"][0])
    one_file(tmp_path, "2.png", FILES["16 bits.png"][0])
    inputs, rows = both(Images(path=tmp_path, size=SIDE, grey=True, valid=0.5).load())
    for row, values in ((0, BYTES[..., 0] / 255), (1, WORDS / 65535)):
        torch.testing.assert_close(inputs[rows == row][0, 0], torch.tensor(values, dtype=torch.float32))
    one_file(tmp_path, "3.tif", FILES["floats.tif"][0])
    with pytest.raises(ValueError, match="data") as error:
        Images(path=tmp_path, size=SIDE).load()
    assert str(error.value) == (
        "data.path (=a/3.tif) has floating-point or 32-bit values, but a/1.png has 8-bit or 16-bit values, "
        "which are divided by 255 or 65535. Convert all images to the same type."
    )


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"P6 1 1 65535\n" + b"abcdef", "Pillow reads only 8 of its 16 bits (RGB). Save it as PNG or grayscale TIFF."),
        (tiff(np.full((2, 2), np.nan, np.float32), "<"), "contains NaN or infinity. Repair or remove the file."),
    ],
)
def test_values_that_cannot_be_read_are_refused_in_one_line(tmp_path, contents, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        Images(path=one_file(tmp_path, "1.tif", contents), size=SIDE, valid=0.5).load()
    assert "\n" not in str(error.value)
