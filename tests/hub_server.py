"""A Hub on the loopback address, for the real clients of huggingface_hub, transformers, datasets and timm.

It follows the protocol as far as this project uses it: repositories made, files uploaded (small ones inside the commit,
large ones as LFS objects before it), commits as ndjson, branches, tags, trees, downloads with ETag and Range, cards
checked. `Hub.fail` makes it misbehave.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from tests.hub_state import COMMIT, LFS, TOKEN, Hub, Repository


def git_sha(content: bytes) -> str:
    """The hash by which git knows a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's own


def etag(path: str, content: bytes) -> str:
    """The hash by which the Hub knows a file."""
    return hashlib.sha256(content).hexdigest() if path.endswith(LFS) else git_sha(content)


class HubServer(ThreadingHTTPServer):
    """A server that can change its Hub, so that one address serves many tests.

    Attributes:
        hub: What it serves from now on.
        endpoint: Its address, for `HF_ENDPOINT`.
    """

    def __init__(self, hub: Hub):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.serve(hub)

    def serve(self, hub: Hub) -> Hub:
        """Serve this Hub from now on."""
        hub.endpoint, self.hub = self.endpoint, hub
        return hub


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Run a Hub on an address of its own."""
    with HubServer(hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """Serve public files, given as {"owner/name/path": content}, "datasets/owner/name/path" for datasets.

    Yields:
        The endpoint for `HF_ENDPOINT`.
    """
    hub = Hub()
    for name, content in files.items():
        kind = "" if name.startswith("datasets/") else "models/"
        repo, path = re.fullmatch(r"(\w+/[^/]+/[^/]+)/(.*)", kind + name).groups()
        repository = hub.repositories.setdefault(repo, Repository(private=False))
        repository.commits[COMMIT][path] = content
    with running(hub):
        yield hub.endpoint


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client to confirm its header

    def _serve(self) -> None:
        self.hub: Hub = self.server.hub
        url = urlsplit(self.path)
        path, self.query = unquote(url.path), parse_qs(url.query)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        for where in [where for where in self.hub.before if where in request]:
            self.hub.before.pop(where)()
        fault = self.hub.fault(request)
        self.late = fault.seconds if fault else 0
        # A connection that is cut is cut in the midst of what it uploads.
        cut = fault is not None and fault.status == 0
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0) // (2 if cut else 1))
        if fault:
            if fault.status == 0:
                self.close_connection = True
                self.connection.close()
                return
            if fault.status:
                text = {"error": "as the test asks"} if fault.status >= 400 else b"<html>Log in to this network</html>"
                self._answer(fault.status, text, fault.headers)
                return
        for method, pattern, handle in ROUTES:
            if self.command in method.split() and (found := re.fullmatch(pattern, path)):
                handle(self, *found.groups())
                return
        self._answer(404, {"error": f"no such address: {request}"})

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def log_message(self, *args):
        """Keep the tests' output quiet."""

    def _answer(self, status: int, content: object = b"", headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        sleep(self.late)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(BrokenPipeError):  # who asked is tired of waiting
                self.wfile.write(data)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _writes(self, repo: str) -> Repository | None:
        """The repository, if the token may write to it; else the refusal is sent."""
        if not self._known():
            self._answer(401, {"error": "Invalid credentials"})
            return None
        return self._reads(repo)

    def _reads(self, repo: str) -> Repository | None:
        repository = self.hub.repositories.get(repo)
        if repository is None or (repository.private and not self._known()):
            self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    def _commit_of(self, repository: Repository, revision: str) -> str | None:
        if (commit := repository.find(revision)) is None:
            self._answer(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        return commit

    def create(self) -> None:
        asked = json.loads(self.body)
        repo = f"{asked['type']}s/{asked.get('organization') or 'someone'}/{asked['name']}"
        if not self._known():
            return self._answer(401, {"error": "Invalid credentials"})
        if asked.get("organization") == "others":
            return self._answer(403, {"error": "You don't have the rights to create under this namespace"})
        url = f"{self.hub.endpoint}/{repo.removeprefix('models/')}"
        if repo in self.hub.repositories:
            return self._answer(409, {"error": "exists", "url": url})
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.repositories[repo] = Repository(private=bool(private))
        self._answer(200, {"url": url, "name": repo.partition("/")[2], "id": "1"})

    def info(self, repo: str, revision: str | None = None) -> None:
        repository = self._reads(repo)
        if repository and (commit := self._commit_of(repository, revision or "main")):
            siblings = [{"rfilename": path} for path in repository.commits[commit]]
            about = {"id": repo.partition("/")[2], "sha": commit, "private": repository.private, "siblings": siblings}
            self._answer(200, about | {"tags": [], "downloads": 0})

    def tree(self, repo: str, revision: str, folder: str | None) -> None:
        repository = self._reads(repo)
        if not repository or not (commit := self._commit_of(repository, revision)):
            return
        prefix = f"{folder}/" if folder else ""
        files = {path: data for path, data in repository.commits[commit].items() if path.startswith(prefix)}
        if folder and not files:
            return self._answer(404, {"error": "no such folder"}, {"X-Error-Code": "EntryNotFound"})
        deeper = {path for path in files if "/" in path.removeprefix(prefix)}
        folders = {prefix + path.removeprefix(prefix).partition("/")[0] for path in deeper}
        if self.query.get("recursive", ["false"])[0].casefold() == "true":
            deeper = set()
        entries = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
        self._answer(200, entries + [_entry(path, files[path]) for path in files if path not in deeper])

    def paths_info(self, repo: str, revision: str) -> None:
        repository = self._reads(repo)
        if repository and (commit := self._commit_of(repository, revision)):
            wanted = (
                json.loads(self.body)["paths"] if self.body.startswith(b"{") else parse_qs(self.body.decode())["paths"]
            )
            files = repository.commits[commit]
            self._answer(200, [_entry(path, files[path]) for path in wanted if path in files])

    def resolve(self, kind: str | None, repo: str, revision: str, path: str) -> None:
        repository = self._reads(f"{kind or 'models/'}{repo}")
        if not repository or not (commit := self._commit_of(repository, revision)):
            return
        if (content := repository.commits[commit].get(path)) is None:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        headers = {"ETag": f'"{etag(path, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(found[1]), int(found[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            return self._answer(206, content[first : last + 1], headers)
        self._answer(200, content, headers)

    def preupload(self, repo: str, revision: str) -> None:
        if not (repository := self._writes(repo)) or not (commit := self._commit_of(repository, revision)):
            return
        there = repository.commits[commit]
        answers = []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            answer = {"path": path, "uploadMode": "lfs" if path.endswith(LFS) else "regular", "shouldIgnore": False}
            answers.append(answer | ({"oid": etag(path, there[path])} if path in there else {}))
        self._answer(200, {"files": answers})

    def lfs_batch(self, kind: str | None, repo: str) -> None:
        if not self._writes(f"{kind or 'models/'}{repo}"):
            return
        objects = []
        for asked in json.loads(self.body)["objects"]:
            href = f"{self.hub.endpoint}/lfs/{asked['oid']}"
            actions = {} if asked["oid"] in self.hub.objects else {"actions": {"upload": {"href": href}}}
            objects.append(asked | actions)
        self._answer(200, {"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._answer(400, {"error": "these are other bytes"})
        self.hub.objects[oid] = self.body
        self._answer(200)

    def commit(self, repo: str, revision: str) -> None:
        if not (repository := self._writes(repo)) or not (parent := self._commit_of(repository, revision)):
            return
        files = dict(repository.commits[parent])
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", parent) != parent:
                return self._answer(412, {"error": "A commit has happened since."})
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    return self._answer(400, {"error": "LFS object was not uploaded"})
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        sha = hashlib.sha1(parent.encode() + self.body).hexdigest()  # noqa: S324 - as git has them
        repository.commits[sha] = files
        repository.refs[revision] = sha
        url = f"{self.hub.endpoint}/{repo.removeprefix('models/')}/commit/{sha}"
        self._answer(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def ref(self, repo: str, kind: str, name: str) -> None:
        """Make a branch of that name, or a tag of what that name means."""
        if not (repository := self._writes(repo)):
            return
        asked = json.loads(self.body or b"{}")
        new, at = (name, asked.get("startingPoint", "main")) if kind == "branch" else (asked["tag"], name)
        if new in repository.refs:
            return self._answer(409, {"error": "exists already"})
        repository.refs[new] = repository.find(at)
        self._answer(200, {})

    def validate(self) -> None:
        front = json.loads(self.body)["content"].partition("---\n")[2].partition("\n---")[0]
        bad = "license" not in (yaml.safe_load(front) or {})
        self._answer(400 if bad else 200, b'"license" is required' if bad else {"errors": [], "warnings": []})


def _entry(path: str, content: bytes) -> dict:
    """A file as the Hub's listings have it."""
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_sha(content)}
    lfs = {"oid": etag(path, content), "sha256": etag(path, content), "size": len(content), "pointerSize": 130}
    return entry | ({"lfs": lfs} if path.endswith(LFS) else {})


REPO = r"((?:models|datasets|spaces)/[^/]+/[^/]+)"
BARE = r"(datasets/|spaces/)?([^/]+/[^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("GET HEAD", f"/api/{REPO}", _Handler.info),
    ("GET HEAD", f"/api/{REPO}/revision/([^/]+)", _Handler.info),
    ("GET", f"/api/{REPO}/tree/([^/]+)(?:/(.+))?", _Handler.tree),
    ("POST", f"/api/{REPO}/paths-info/([^/]+)", _Handler.paths_info),
    ("POST", f"/api/{REPO}/preupload/([^/]+)", _Handler.preupload),
    ("POST", f"/api/{REPO}/commit/([^/]+)", _Handler.commit),
    ("POST", f"/api/{REPO}/(branch|tag)/([^/]+)", _Handler.ref),
    ("POST", f"/{BARE}.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(\w+)", _Handler.lfs_put),
    ("GET HEAD", f"/{BARE}/resolve/([^/]+)/(.+)", _Handler.resolve),
)
