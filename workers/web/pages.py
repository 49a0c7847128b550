"""The browser's pages: one shell with hashed assets that never change."""

import asyncio
import mimetypes
from pathlib import Path
from typing import Final

from aiohttp import web

DIST: Final = Path(__file__).parent.parent.parent / "web" / "dist"

PAGES: Final = (
    "/",
    "/signin",
    "/console",
    "/console/{party}",
    "/collection",
    "/simulator",
    "/side-by-side",
    "/admin",
    "/admin/{section}",
)
_MISSING = "The pages are not built; run `make assets` and load again.\n"
_LONGEST_NAME: Final = 200  # a file system refuses longer ones by an error
_FOR_EVER = "public, max-age=31536000, immutable"


def routes(folder: Path) -> list[web.RouteDef]:
    async def shell(request: web.Request) -> web.StreamResponse:
        index = folder / "index.html"
        if not await asyncio.to_thread(index.is_file):
            return web.Response(status=503, text=_MISSING)
        return web.FileResponse(index, headers={"Cache-Control": "no-cache"})

    async def asset(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = folder / "assets" / name
        if (
            len(name) > _LONGEST_NAME
            or "/" in name
            or name.startswith(".")
            or not await asyncio.to_thread(path.is_file)
        ):
            raise web.HTTPNotFound
        # FileResponse serves `name.gz` or `name.br` beside the file to those who take it.
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return web.FileResponse(path, headers={"Cache-Control": _FOR_EVER, "Content-Type": kind})

    async def nowhere(request: web.Request) -> web.StreamResponse:
        """The shell says in the reader's language that there is nothing, and leads back."""
        index = folder / "index.html"
        if "text/html" not in request.headers.get("Accept", "") or not await asyncio.to_thread(index.is_file):
            raise web.HTTPNotFound
        return web.FileResponse(index, status=404, headers={"Cache-Control": "no-store"})

    return [
        *(web.get(page, shell) for page in PAGES),
        web.get("/assets/{name}", asset),
        web.get("/{nowhere:(?!api/|hooks/|assets/).+}", nowhere),
    ]
