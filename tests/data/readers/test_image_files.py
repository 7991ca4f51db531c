"""Image files as people have them: every format, depth and orientation, and broken ones by name."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kerastune.data import loading
from kerastune.data.readers import image_files

FORMATS = ("png", "jpg", "webp", "bmp", "gif", "tiff")


def classes(folder, count=6):
    for name, color in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            ending = FORMATS[number % len(FORMATS)]
            Image.new("RGB", (5, 7), (color, color, color)).save(
                folder / name / f"{number}.{ending}"
            )
    return folder


def test_every_format_and_sub_folders_are_read(tmp_path):
    folder = classes(tmp_path / "all")
    (folder / "dark" / "more").mkdir()
    Image.new("L", (4, 4), 40).save(folder / "dark" / "more" / "1.PNG")
    (folder / "dark" / "notes.txt").write_text("mine")
    problem = loading.load(str(folder), image_size=4, for_own_model=True)
    parts = (problem.train, problem.validation, problem.test)
    assert sum(map(len, parts)) == 13
    for part in parts:
        assert (abs(part.x.mean(axis=(1, 2, 3)) - np.where(part.y == 1, 200, 40)) < 4).all()
    assert any("1 files of" in note and "1 .txt" in note for note in problem.notes)


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    values = np.array([[0, 16384], [32768, 65535]], np.uint16)
    for ending in ("png", "tiff"):
        Image.fromarray(values).save(tmp_path / f"deep.{ending}")
        shown = image_files.decode(tmp_path / f"deep.{ending}", 2)
        assert shown[..., 0].tolist() == [[0, 64], [128, 255]]


def test_orientation_transparency_and_ink_are_shown_as_a_viewer_does(tmp_path):
    wide = Image.new("RGB", (8, 8), "black")
    wide.paste("white", (0, 0, 8, 4))  # the upper half
    exif = Image.Exif()
    exif[image_files.ORIENTATION] = 3  # upside down
    wide.save(tmp_path / "turned.png", exif=exif)
    shown = image_files.decode(tmp_path / "turned.png", 8)
    assert shown[0].max() == 0 and shown[-1].min() == 255
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert image_files.decode(tmp_path / "clear.png", 2).min() == 255
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "ink.jpg")
    red, green, blue = image_files.decode(tmp_path / "ink.jpg", 1)[0, 0]
    assert red > 200 and green < 60 and blue < 60
    frames = [Image.new("P", (2, 2), number) for number in (0, 1)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert image_files.decode(tmp_path / "moving.gif", 2).shape == (2, 2, 3)


def bomb():
    """A PNG that says it has ten thousand million pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR" + header) + chunk(b"IDAT" + zlib.compress(b""))


def chunk(named):
    return struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"no image", "is no image of a known format"),
        (bomb(), "too many"),
        (None, "is broken"),
    ],
    ids=["empty", "text", "bomb", "cut off"],
)
def test_broken_images_are_told_by_name_or_skipped(content, words, tmp_path):
    folder = classes(tmp_path / "all")
    whole = (folder / "dark" / "3.bmp").read_bytes()
    (folder / "dark" / "9.png").write_bytes(
        whole[: len(whole) // 2] if content is None else content
    )
    with pytest.raises(ValueError, match=f"1 images can't be read: .*9.png .*{words}") as caught:
        loading.load(str(folder), image_size=4)
    assert "\n" not in str(caught.value) and "`skip_broken=True`" in str(caught.value)
    problem = loading.load(str(folder), image_size=4, skip_broken=True)
    assert sum(map(len, (problem.train, problem.validation, problem.test))) == 12
    assert any("9.png" in note and "left out" in note for note in problem.notes)


def test_loops_of_links_end(tmp_path):
    folder = classes(tmp_path / "all")
    os.symlink(folder, folder / "dark" / "up")
    os.symlink("round.png", folder / "dark" / "round.png")
    problem = loading.load(str(folder), image_size=4, skip_broken=True)
    assert sum(map(len, (problem.train, problem.validation, problem.test))) == 12


def test_a_table_of_paths_and_labels_is_read(tmp_path):
    folder = classes(tmp_path / "all")
    rows = [
        f"all/{path.parent.name}/{path.name},{path.parent.name}" for path in folder.rglob("*.*")
    ]
    (tmp_path / "list.csv").write_text("\n".join(["file,what", *rows]))
    problem = loading.load(str(tmp_path / "list.csv"), label="what", image_size=4)
    assert problem.class_names == ("dark", "light") and problem.train.x.shape[1:] == (4, 4, 3)
    assert problem.reading == {"form": "images", "image_size": 4}
    (tmp_path / "list.csv").write_text("file,what\nall/gone.png,dark\n" + "\n".join(rows))
    with pytest.raises(ValueError, match="names 1 images that are not there, such as .*gone.png"):
        loading.load(str(tmp_path / "list.csv"), label="what", image_size=4)
