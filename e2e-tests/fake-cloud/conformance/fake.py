"""The fake cloud as a child process, and its admin endpoint."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any


class Fake:
    """A running fake cloud. It ends when its standard input does, so with this process at the latest."""

    def __init__(self, program: Path, state: Path) -> None:
        self._process = subprocess.Popen(
            [program, "--state", state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("conformance: the fake cloud did not start: see its message above")
        self._addresses: dict[str, Any] = json.loads(line)

    def __enter__(self) -> Fake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=10)

    def endpoint(self, region: str = "cn-hangzhou") -> str:
        """Host and port of a region's listener."""
        return self._addresses["regions"][region].removeprefix("http://")

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Calls the admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._addresses["admin"] + path, data, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error

    def fault(self, kind: str, action: str | None = None, times: int | None = 1, **parameters: Any) -> None:
        """Sets a fault."""
        self.admin("POST", "faults", {"kind": kind, "action": action, "times": times, **parameters})

    def patch(self, patch: object) -> None:
        """Changes what is in the cloud."""
        self.admin("PATCH", "state", patch)

    def oidc_token(self, **wanted: object) -> str:
        """Signs a token, by default for the ServiceAccount that the example's role trusts."""
        subject = "system:serviceaccount:kube-system:acr-credential-sidecar"
        return self.admin("POST", "oidc-token", {"subject": subject, **wanted})["token"]
