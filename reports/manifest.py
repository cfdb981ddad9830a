"""What a run is: its identity, hashed and without a clock, a path or a host; and beside it where it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from risk.artifact import json_hash, readable_json
from risk.errors import ArtifactError

SCHEMA: Literal["riskcal/manifest/1"] = "riskcal/manifest/1"
PACKAGES = ("risk", "oracle_adapters", "reports")
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_BUILT = {".pyc", ".pyo", ".nbi", ".nbc"}


def file_hash(data: bytes) -> str:
    """SHA-256 of a file's bytes, as ``sha256sum`` prints it."""
    return hashlib.sha256(data).hexdigest()


def files_hash(files: Mapping[str, bytes]) -> str:
    """Content hash of a stage that is only files, such as the proposal: over names and bytes."""
    return json_hash({name: file_hash(data) for name, data in files.items()})


def source_hash() -> str:
    """Hash of the program: every file of the three packages, data included, compiled ones left out."""
    root = Path(__file__).resolve().parents[1]
    files = (path for package in PACKAGES for path in (root / package).rglob("*"))
    sources = sorted(path for path in files if path.is_file() and path.suffix not in _BUILT)
    return json_hash({path.relative_to(root).as_posix(): file_hash(path.read_bytes()) for path in sources})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StageIdentity(_Model):
    """One stage: hash of its content, and the content hash of each input it was made from."""

    content_hash: Digest
    inputs: Mapping[str, str]


class Program(_Model):
    """The program that made the run: its version and the hash of its source."""

    version: str
    source: Digest


class Manifest(_Model):
    """Identity of a run. It is written last: a folder without one was not finished.

    Attributes
    ----------
    program
        What made it.
    seed
        The seed that was used, whether it came from the settings or the command line.
    as_of
        Unix seconds; nothing in the run was known later.
    settings_hash
        Hash of the effective settings.
    stages
        Identity of each stage, by name.
    files
        SHA-256 of every file of the run but the manifest and the environment, by name in the folder.
    """

    schema_: Literal["riskcal/manifest/1"] = Field(alias="schema")
    program: Program
    seed: int
    as_of: int
    settings_hash: Digest
    stages: Mapping[str, StageIdentity]
    files: Mapping[str, Digest]

    def to_bytes(self) -> bytes:
        """JSON for people and machines, the same bytes for the same identity."""
        return readable_json(self.model_dump(mode="json", by_alias=True)).encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, file: str) -> Manifest:
        """Read a manifest.

        Raises
        ------
        ArtifactError
            When it is not one; names the file and the field.
        """
        try:
            return cls.model_validate(json.loads(data))
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
            raise ArtifactError("not a manifest of riskcal", file=file, field=field or None) from None
        except (ValueError, RecursionError):
            raise ArtifactError("not a manifest of riskcal: it is not JSON", file=file) from None


def environment(*, workers: int, seconds: Mapping[str, float]) -> bytes:
    """Where and how a run was made, for people: outside every hash.

    Parameters
    ----------
    workers
        Processes that calibrated.
    seconds
        Wall-clock seconds by stage; a stage that was reused has none.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, requires, version

    import numpy as np

    names = sorted({_distribution(line) for line in requires("riskcal") or () if "extra ==" not in line})
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    config = np.show_config(mode="dicts") or {}
    document = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu_features": config.get("SIMD Extensions", {}),
        "packages": versions,
        "workers": workers,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "peak_memory_mib": peak_memory_mib(),
    }
    return readable_json(document).encode()


def peak_memory_mib() -> dict[str, float]:
    """Peak resident memory so far in MiB: of this process, and of the largest of its ended workers."""
    import resource
    import sys

    unit = 1024**2 if sys.platform == "darwin" else 1024
    peaks = {"process": resource.RUSAGE_SELF, "largest_worker": resource.RUSAGE_CHILDREN}
    return {name: round(resource.getrusage(who).ru_maxrss / unit, 1) for name, who in peaks.items()}


def program() -> Program:
    """The program that is running."""
    from importlib.metadata import version

    return Program(version=version("riskcal"), source=source_hash())


def _distribution(requirement: str) -> str:
    """The name at the head of a requirement line."""
    for index, character in enumerate(requirement):
        if not (character.isalnum() or character in "-_."):
            return requirement[:index]
    return requirement
