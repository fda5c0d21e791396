"""The operating-system user PostgreSQL runs as: it refuses to run as root.

Whoever is not root runs it as themselves. As root, a system user without a login is made and owns the data.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import Any

USER = "citywell_postgres"


def server_user() -> str | None:
    """Name of the user to switch to; None where no switch is needed."""
    return USER if os.geteuid() == 0 else None


def ensure_user() -> None:
    """Make the server's user where one is needed and missing."""
    if server_user() is not None and USER not in {entry.pw_name for entry in pwd.getpwall()}:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/false", USER], check=True)


def identity() -> dict[str, Any]:
    """Arguments of ``subprocess`` that make a program run as the server's user."""
    user = server_user()
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own(path: Path) -> None:
    """Give ``path`` to the server's user where there is one, and close it to everyone else."""
    user = server_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(0o700 if path.is_dir() else 0o600)


def open_way(path: Path) -> list[Path]:
    """Make every directory above ``path`` searchable (not readable) for the server's user; those changed.

    Without it a data directory or an environment below, say, root's own home could not be reached.
    """
    user = server_user()
    if user is None:
        return []
    changed = []
    for parent in path.resolve().parents:
        status = parent.stat()
        if not status.st_mode & stat.S_IXOTH and status.st_uid != pwd.getpwnam(user).pw_uid:
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            changed.append(parent)
    return changed
