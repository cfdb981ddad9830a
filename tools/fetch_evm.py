"""Fetch a local Ethereum node and prebuilt contracts for the chain tier: pinned npm tarballs, hash-checked.

Run: ``python tools/fetch_evm.py [FOLDER]``; by default into ``build/evm``, which is not kept under version
control. Needs ``npm``; nothing is installed or executed, the tarballs are only unpacked, and only in part.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

FOLDER = Path(__file__).resolve().parents[1] / "build" / "evm"

PACKAGES = {
    "@foundry-rs/anvil-linux-amd64@1.7.1": (
        "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
        ("bin/",),
    ),
    "@aave/core-v3@1.19.3": (
        "Xr7+VcoU5b4mPwM4IUCnskw3lciwrnL4Xloyad8GOddYeixnri2lZYobNmErm1LwE50vqjI0O+9QGNKY2TDkeQ==",
        (
            "artifacts/contracts/protocol/",
            "artifacts/contracts/misc/",
            "artifacts/contracts/mocks/tokens/",
            "artifacts/contracts/dependencies/weth/",
        ),
    ),
    "@chainlink/contracts@0.1.6": (
        "RXKMm+3ADEi1c4/XsXy2Z1m0KQh7H6Nn0FWXmCgXRIorOBt7dvh52c0c41ONJfIhHB/tGeoXnp4lPnZEDqkocA==",
        (
            "abi/v0.6/FluxAggregator.json",
            "abi/v0.6/EACAggregatorProxy.json",
            "abi/v0.6/AccessControlledAggregator.json",
        ),
    ),
    "@uniswap/v3-core@1.0.1": (
        "7pVk4hEm00j9tc71Y9+ssYpO6ytkeI0y7WE9P6UcmNzhxPePwyAxImuhVsTqWK9YFvzgtvzJHi64pBl4jUzKMQ==",
        ("artifacts/contracts/",),
    ),
    "@uniswap/v3-periphery@1.4.4": (
        "S4+m+wh8HbWSO3DKk4LwUCPZJTpCugIsHrWR86m/OrUyvSqGDTXKFfc2sMuGXCZrD1ZqO3rhQsKgdWg3Hbb2Kw==",
        ("artifacts/contracts/",),
    ),
}
"""Name and version of a package: its SHA-512, and the folders of it that tests need."""


def fetch(package: str, digest: str, folders: tuple[str, ...], target: Path) -> int:
    """Fetch one tarball, check it and unpack what is needed into `target`; returns the number of files."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed to fetch the contracts; on Debian: apt-get install npm")
    with tempfile.TemporaryDirectory() as aside:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", aside, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - of constants
        tarballs = list(Path(aside).glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            raise SystemExit(f"npm could not fetch {package}: {done.stderr.strip()[-300:]}")
        found = base64.b64encode(hashlib.sha512(tarballs[0].read_bytes()).digest()).decode()
        if found != digest:
            raise SystemExit(f"{package} is not the pinned tarball: sha512 {found}")
        return _unpack(tarballs[0], folders, target)


def _unpack(tarball: Path, folders: tuple[str, ...], target: Path) -> int:
    """Unpack aside, then rename, so that a folder that is there is whole."""
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    count = 0
    with tarfile.open(tarball) as archive:
        for member in archive:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            wanted = str(path).startswith(folders) and not path.name.endswith(".dbg.json")
            if not member.isfile() or not wanted or ".." in path.parts:
                continue
            content = archive.extractfile(member)
            assert content is not None  # noqa: S101 - a regular file has content
            place = aside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
            place.chmod(0o755 if path.parts[0] == "bin" else 0o644)
            count += 1
    if not count:
        raise SystemExit(f"{tarball.name} holds none of {', '.join(folders)}")
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    return count


def main() -> None:
    """Fetch every package that is not there yet."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    root.mkdir(parents=True, exist_ok=True)
    for package, (digest, folders) in PACKAGES.items():
        target = root / package.replace("/", "__")
        if target.is_dir():
            continue
        count = fetch(package, digest, folders, target)
        sys.stdout.write(f"{package}: {count} files\n")


if __name__ == "__main__":
    main()
