"""What a folder holds besides the files that a verb wants, and when two names are equal."""

import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

__all__ = ["counted", "entries", "is_leftover", "name_key", "named", "others"]

# What Windows, macOS, Synology and file managers leave in folders without being asked. Compared in lower case.
_LEFTOVERS = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "#recycle", "@recycle", "@recently-snapshot",
    "$recycle.bin", "system volume information", "lost+found", "__macosx", "picasa.ini",
}  # fmt: skip
_LEFTOVER_ENDINGS = (":zone.identifier", "@synoeastream", "@synoresource")


def is_leftover(name: str) -> bool:
    """Return whether an entry of this name is hidden, or left by a system: never a user's picture."""
    lower = name.lower()
    return name.startswith(".") or lower in _LEFTOVERS or lower.endswith(_LEFTOVER_ENDINGS)


def entries(folder: Path) -> list[Path]:
    """Return the entries of a folder by name, without what systems leave there. Raises OSError."""
    return sorted(path for path in folder.iterdir() if not is_leftover(path.name))


def others(folder: Path, used: Iterable[Path]) -> list[str]:
    """Return the names of the entries of a folder that are not among the `used` ones; folders end in a slash."""
    names = {path.name for path in used}
    return [f"{path.name}/" if path.is_dir() else path.name for path in entries(folder) if path.name not in names]


def named(names: Collection[str], most: int = 3) -> str:
    """Return the first names for a message, on one line: "a, b, c and 4 more"."""
    shown = [name if name.isprintable() else ascii(name)[1:-1] for name in list(names)[:most]]
    return ", ".join(shown) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def counted(count: int, one: str, many: str) -> str:
    """Return a number with the words that agree with it: "1 entry", "3 entries"."""
    return f"{count:,} {one if count == 1 else many}"


def name_key(name: str) -> str:
    """Return what names are compared by: they are equal to people if they differ only in their Unicode form, as macOS
    writes an umlaut in two characters (NFD) and other systems in one (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
