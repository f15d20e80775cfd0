"""Write files so that each is complete or absent: under a temporary name, flushed, then moved into place."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from interp_emerge.core.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that an interruption leaves the old content or the new content, never a part."""
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files: all are complete under temporary names before the first is moved into place."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, written in temporary.items():
            os.replace(written, path)
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def require_writable(path: str | Path) -> None:
    """Raise an `InputError` if no file of that name can be written. Missing folders above it are made."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); name another file") from error
    if path.is_dir():
        raise InputError(f"{path} is a directory; name a file")


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def hash_bytes(content: bytes) -> str:
    """Sixteen hexadecimal digits that change when the content does."""
    return hashlib.sha256(content).hexdigest()[:16]


def hash_of(value: Any) -> str:
    """Sixteen hexadecimal digits that change when the value's JSON does."""
    return hash_bytes(canonical_json(value))
