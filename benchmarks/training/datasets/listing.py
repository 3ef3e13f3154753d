"""What of a folder is data, and what a list names: as systems, editors and other programs leave them."""

import codecs
import unicodedata
from pathlib import Path

# Besides all that is hidden: macOS's ._NAME and .DS_Store, .ipynb_checkpoints, .git.
JUNK = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin",
        "system volume information")  # fmt: skip
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def is_junk(file: Path) -> bool:
    """Whether the system or an editor left it there. file: below the data's folder, which may itself lie anywhere."""
    return any(part.startswith(".") or part.lower() in JUNK for part in file.parts)


def lines_of(file: Path) -> list[str]:
    """Of a text file of any system, without its byte-order mark."""
    held = file.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if held.startswith(mark)), "utf-8")
    try:
        return held.decode(encoding).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: found bytes that are no text in UTF-8 ({error}), expected such a text") from error


def names_in(listing: Path, folder: Path) -> list[str]:
    """The first word of each line that is no comment: the names of the images in the folder."""
    expected = f"expected the names of the images in {folder}"
    if not listing.is_file():
        raise FileNotFoundError(f"{listing}: no such file, {expected}")
    words = [line.split() for line in lines_of(listing)]
    names = [unicodedata.normalize("NFC", word[0]) for word in words if word and word[0][0] != "#"]
    if not names:
        raise ValueError(f"{listing}: found no name in it, {expected}, one in each line")
    return list(dict.fromkeys(names))
