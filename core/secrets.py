"""Secrets by reference: configuration names where a secret lies and never holds it."""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from core.errors import SecretMissing

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEPT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LARGEST = 64 * 1024


def is_reference(text: str) -> bool:
    """Whether the text says where a secret lies, in one of the three ways that `Secrets` knows."""
    kind, _, name = text.partition(":")
    match kind:
        case "env":
            return _VARIABLE.fullmatch(name) is not None
        case "file":
            return Path(name).is_absolute()
        case "keep":
            return _KEPT.fullmatch(name) is not None
        case _:
            return False


class Secrets:
    """Resolves references. `env:NAME` and `file:/PATH` are given to us, `keep:NAME` we make once and keep.

    Kept secrets lie in `folder`, which only the hub's own user may read. What was resolved is remembered, so that
    log lines can be freed from it (see core.telemetry); it is never shown by `repr`.
    """

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._env = os.environ if env is None else env
        self._seen: set[str] = set()

    def __repr__(self) -> str:
        return f"Secrets({str(self._folder)!r})"

    @property
    def seen(self) -> frozenset[str]:
        """Every secret that was resolved in this process."""
        return frozenset(self._seen)

    def resolve(self, reference: str) -> str:
        """The secret itself. Raises SecretMissing, whose text names the reference and says what to do."""
        if not is_reference(reference):
            # It may be a secret that was pasted in the wrong place, so it is not repeated.
            raise SecretMissing(
                "A secret must be named as env:NAME, file:/ABSOLUTE/PATH or keep:name, not written out."
            )
        kind, _, name = reference.partition(":")
        match kind:
            case "env":
                value = self._from_environment(name)
            case "file":
                value = _from_file(Path(name))
            case _:
                value = self._kept(name)
        self._seen.add(value)
        return value

    def _from_environment(self, name: str) -> str:
        if not (value := self._env.get(name, "")):
            raise SecretMissing(
                f"The variable {name} is not set; set it where the hub is started.", reference=f"env:{name}"
            )
        return value

    def _kept(self, name: str) -> str:
        path = self._folder / name
        if not path.exists():
            self._make(path)
        return _from_file(path)

    def _make(self, path: Path) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link fails when another process was first; both then read the same secret, never half of one.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            value = file.read(_LARGEST + 1)
    except OSError as error:
        raise SecretMissing(
            f"The secret's file cannot be read ({error.strerror}); put it there and let the hub's user read it.",
            reference=f"file:{path}",
        ) from error
    if len(value) > _LARGEST:
        raise SecretMissing("The secret's file is too large to be a secret.", reference=f"file:{path}")
    try:
        text = value.decode().strip("\r\n")
    except UnicodeDecodeError as error:
        raise SecretMissing("The secret's file is not UTF-8 text.", reference=f"file:{path}") from error
    if not text:
        raise SecretMissing("The secret's file is empty; write the secret into it.", reference=f"file:{path}")
    return text
