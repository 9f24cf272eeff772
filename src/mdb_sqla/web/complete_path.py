"""Paths of requests behind a proxy that removes a prefix."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["CompletePath"]


class CompletePath:
    """Middleware that makes the path of a request begin with `root_path`, as ASGI requires.

    It doesn't, for example, in an application that is mounted in `FastAPI(root_path=...)`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if "path" in scope:
            root = scope.get("root_path", "").rstrip("/")
            scope = {**scope, "root_path": root, "path": _complete(root, scope["path"])}
        await self._app(scope, receive, send)


def _complete(root: str, path: str) -> str:
    if f"{path}/".startswith(f"{root}/"):
        return path
    # The path may begin with the end of `root`: where the application is mounted.
    names = root.split("/")
    for number in range(1, len(names)):
        mounted = "/" + "/".join(names[number:])
        if f"{path}/".startswith(f"{mounted}/"):
            return root + path.removeprefix(mounted)
    return root + path
