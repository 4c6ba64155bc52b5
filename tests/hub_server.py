"""A Hub on the loopback address that serves files, for the real huggingface_hub client."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """Serve files, given as {"owner/name/path": content}, "datasets/owner/name/path" for datasets.

    Yields:
        The endpoint for `HF_ENDPOINT`.
    """

    def listing(path: str) -> bytes | None:
        """What the Hub's API says of a repository, or of the files in it."""
        repo, _, _ = path.partition("/revision/" if "/revision/" in path else "/tree/")
        inside = {name.removeprefix(f"{repo}/"): data for name, data in files.items() if name.startswith(f"{repo}/")}
        if not inside:
            return None
        if "/revision/" in path:
            return json.dumps({"id": repo.removeprefix("datasets/"), "sha": COMMIT, "siblings": []}).encode()
        entries = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in inside.items()]
        return json.dumps(entries).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/api/"):
                content = listing(self.path.removeprefix("/api/").removeprefix("models/"))
            else:
                path = unquote(self.path).strip("/").replace(f"/resolve/{COMMIT}/", "/")
                content = files.get(path.replace("/resolve/main/", "/"))
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            else:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        do_HEAD = do_GET

        def log_message(self, *args):
            """Keep the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
