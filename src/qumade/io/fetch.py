"""Asset folders in an object store, as local folders: listed once, and fetched into a cache by content hash.

In the cache, all of which may be removed at any time:

    files/HH/HASH.png        the files, by the hash of their content
    folders/HASH/NAME        a folder of links to them, by the hash of its URL, names and contents; it never changes
    listings/HASH.json       what was fetched from a URL: a file whose size and version are as before is not read again

Names in a store are a stranger's: only single names that a folder can hold become links, and no content becomes a name.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from threading import Lock

from qumade.errors import AssetError, QumadeError
from qumade.io.files import cache_folder, read_bytes, write_bytes
from qumade.io.listing import is_leftover
from qumade.io.pictures import SUFFIXES, UnusablePicture, content_hash, one_line
from qumade.io.progress import progress_bar
from qumade.io.storage import Entry, RemoteFiles, Storage, open_storage

__all__ = ["fetch_file", "fetch_folder"]

_READ = (*SUFFIXES, ".npy")  # files of other kinds are only listed
_MOST_BYTES = 1 << 29  # as of a picture
_LONGEST_NAME = 255  # bytes, in the usual file systems
_LISTING_BYTES = 1 << 28
_SHA256 = re.compile(r"[0-9a-f]{64}")
_THREADS = 8
_NOTED_S = 30.0  # between two notes of what was fetched

_writing = Lock()
_Known = dict[str, tuple[int, str, str]]  # by name: size, version, hash


def fetch_folder(url: str, *, sub_folders: bool = False, progress: bool = False) -> Path:
    """Return a local folder with the files of the folder at a URL, fetched where the cache does not hold them.

    Pictures and .npy files are fetched, with `sub_folders` those of the folder's sub-folders too; what else lies there
    is there by name, and empty. Cached files are checked against their hashes. `progress` shows a bar on stderr. Raises
    QumadeError naming the URL where the folder is missing or cannot be read, and for a file that is larger than 512 MiB
    or whose name no folder can hold.
    """
    storage = open_storage(url)
    if not isinstance(storage, RemoteFiles):  # file:///a/b
        return Path(storage.url)
    entries = dict(_entries(storage, sub_folders))
    wanted = {name: entry for name, entry in entries.items() if entry.size >= 0 and _is_read(name)}
    for name, entry in wanted.items():
        if entry.size > _MOST_BYTES:
            raise AssetError(
                f"Invalid file: got {entry.size} bytes in {_shown(storage, name)}; must be at most 512 MiB"
            )
    hashes = _fetch_all(storage, wanted, _listing(storage.url, sub_folders), progress)
    return _linked(storage.url, entries, hashes)


def fetch_file(url: str, name: str, sha256: str) -> Path:
    """Return the local path of a file of the folder at a URL whose content has this hash: from the cache, or fetched.

    Raises QumadeError where it is missing, cannot be read or has another content.
    """
    path = _cached(name, sha256)
    if _is_whole(path, sha256):
        return path
    storage = open_storage(url)
    if not isinstance(storage, RemoteFiles):
        path = Path(storage.where(name))
    if (_fetch(storage, name, None) if isinstance(storage, RemoteFiles) else content_hash(path)) != sha256:
        raise AssetError(
            f"Invalid asset: {_shown(storage, name)} has changed since the catalog was built; must stay unchanged"
        )
    return path


def _shown(storage: Storage, name: str) -> str:
    return one_line(storage.where(name))


def _is_read(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _READ


def _entries(storage: RemoteFiles, sub_folders: bool) -> Iterator[tuple[str, Entry]]:
    """Yield the entries of a folder and of its sub-folders by their path."""
    top = _usable(storage, "", storage.entries())
    if not top:
        raise AssetError(f"Invalid folder: got nothing at {one_line(storage.url)}; must be a folder of pictures")
    for name, entry in top.items():
        yield name, entry
        if sub_folders and entry.size < 0:
            for below, each in _usable(storage, name, storage.entries(name)).items():
                yield f"{name}/{below}", each


def _usable(storage: RemoteFiles, folder: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries that a local folder would show. Hidden names are none of them, so neither is "..".

    Raises QumadeError for a name that a local folder cannot hold."""
    found = {name: entry for name, entry in sorted(entries.items()) if name and not is_leftover(name)}
    for name in found:
        if len(os.fsencode(name)) > _LONGEST_NAME or "/" in name or "\0" in name:
            where = _shown(storage, f"{folder}/{name}" if folder else name)
            raise AssetError(
                f"Invalid file name: got {len(os.fsencode(name))} bytes in {where[:400]}; must be at most "
                f"{_LONGEST_NAME} without / and NUL"
            )
    return found


def _fetch_all(storage: RemoteFiles, wanted: Mapping[str, Entry], listing: Path, progress: bool) -> dict[str, str]:
    """Return the hash of each file, all of which are then in the cache. What was fetched is noted in `listing`, even if
    one fails."""
    known = _read_listing(listing)
    before = {name: known[name] for name in wanted.keys() & known.keys()}
    now: _Known = {}

    def fetch(name: str) -> str:
        entry = wanted[name]
        size, version, sha256 = before.get(name, (-1, "", ""))
        same = version and (size, version) == (entry.size, entry.version)
        if same and _is_whole(_cached(name, sha256), sha256):
            return sha256
        return _fetch(storage, name, entry.size)

    noted_at = time.monotonic()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        bar = progress_bar(
            pool.map(fetch, wanted), f"fetching {one_line(storage.url)}", len(wanted), unit="file",
            disable=not progress, leave=False,
        )  # fmt: skip
        for name, sha256 in zip(wanted, bar, strict=True):
            now[name] = wanted[name].size, wanted[name].version, sha256
            if time.monotonic() - noted_at > _NOTED_S:
                _write_listing(listing, before | now)
                noted_at = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        if now != known:
            _write_listing(listing, now if len(now) == len(wanted) else before | now)
    return {name: sha256 for name, (_, _, sha256) in now.items()}


def _fetch(storage: Storage, name: str, size: int | None) -> str:
    """Read a file into the cache and return its hash."""
    data = storage.read(name, 0, (_MOST_BYTES if size is None else size) + 1) if size != 0 else b""
    if len(data) > _MOST_BYTES or (size is not None and len(data) != size):
        must = "at most 512 MiB" if size is None else f"the {size} that were listed; run again if it was just written"
        raise AssetError(f"Invalid file: got {len(data)} bytes in {_shown(storage, name)}; must be {must}")
    sha256 = hashlib.sha256(data).hexdigest()
    path = _cached(name, sha256)
    with _writing:  # two threads may have fetched files of equal content
        if not _is_whole(path, sha256):
            _make(path.parent)
            write_bytes(path, data)
    return sha256


def _cached(name: str, sha256: str) -> Path:
    suffix = PurePosixPath(name).suffix.lower()  # readers tell label maps of two kinds apart by it
    return _folder("files") / sha256[:2] / f"{sha256}{suffix if suffix in _READ else ''}"


def _is_whole(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if not path.stat().st_size:
        return sha256 == hashlib.sha256().hexdigest()
    try:
        return content_hash(path) == sha256
    except UnusablePicture:
        return False


def _linked(url: str, entries: Mapping[str, Entry], hashes: Mapping[str, str]) -> Path:
    """Return the folder with these entries, made where it is missing or not as it must be."""
    kinds = {name: "/" if entry.size < 0 else hashes.get(name, "") for name, entry in entries.items()}
    content = json.dumps([url, str(_folder("files")), sorted(kinds.items())])
    folder = _folder("folders") / hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    if _is_linked(folder, kinds):
        return folder
    _make(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        for name, kind in sorted(kinds.items()):  # a folder comes before what lies in it
            if kind == "/":
                (temporary / name).mkdir()
            elif kind:
                (temporary / name).symlink_to(_cached(name, kind))
            else:
                (temporary / name).touch()
        temporary.chmod(0o755)  # private while it was a temporary folder
        if folder.exists() and not _is_linked(folder, kinds):
            shutil.rmtree(folder)
        if not folder.exists():
            temporary.rename(folder)
    except OSError as error:
        if not _is_linked(folder, kinds):  # else another process was quicker
            raise QumadeError(
                f"Invalid cache: cannot write {folder}: {error.strerror}; set XDG_CACHE_HOME to a folder that can hold "
                f"the files of {one_line(url)}"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _is_linked(folder: Path, kinds: Mapping[str, str]) -> bool:
    """Return whether a folder holds exactly these entries."""

    def is_right(name: str, kind: str) -> bool:
        path = folder / name
        if kind == "/":
            return path.is_dir() and not path.is_symlink()
        return path.readlink() == _cached(name, kind) if kind else path.stat().st_size == 0

    try:
        count = sum(len(folders) + len(files) for _, folders, files in os.walk(folder))
        return count == len(kinds) and all(is_right(name, kind) for name, kind in kinds.items())
    except OSError:
        return False


def _listing(url: str, sub_folders: bool) -> Path:
    content = json.dumps([url, sub_folders]).encode("utf-8", "surrogatepass")
    return _folder("listings") / f"{hashlib.sha256(content).hexdigest()[:32]}.json"


def _read_listing(path: Path) -> _Known:
    """Return what was fetched from a URL before. What cannot be read is fetched again."""
    try:
        content = json.loads(read_bytes(path, _LISTING_BYTES, AssetError))
        found = {str(name): (int(size), str(version), str(sha)) for name, (size, version, sha) in content.items()}
    except (AssetError, ValueError, TypeError, AttributeError):
        return {}
    return {name: each for name, each in found.items() if _SHA256.fullmatch(each[2])}


def _write_listing(path: Path, known: _Known) -> None:
    with suppress(OSError, AssetError):  # it only saves time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(known).encode(), error_class=AssetError)


def _folder(name: str) -> Path:
    return cache_folder() / "assets" / name


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QumadeError(
            f"Invalid cache: cannot make {folder}: {error.strerror}; set XDG_CACHE_HOME to a folder that can be written"
        ) from error
