"""A hub on this machine: the part of the Hugging Face hub's HTTP API that push and pull use."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_abcdefghijklmnopqrstuvwxyzabcdefgh"
OWNER = "somebody"


@dataclass
class Model:
    """A model: its commits, oldest first, each with all its files."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def newest(self) -> str:
        return list(self.commits)[-1]

    def add(self, files: dict[str, bytes]) -> str:
        """Make a commit of changed files; return its hash."""
        before = self.commits[self.newest] if self.commits else {}
        commit = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[commit] = {**before, **files}
        return commit


@dataclass
class Hub:
    """The models by name, and what was asked for."""

    address: str = ""
    models: dict[str, Model] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files that were uploaded before their commit."""
    asked: list[str] = field(default_factory=list)
    lengthened: int = 0
    """Bytes that are sent more than were announced."""
    commit: str = ""
    """What it says of every revision; empty: the truth."""
    fault_of_card: str = ""
    """What is wrong with every README.md; empty: nothing."""
    status: int = 0
    """Answers everything with this status, unless it is 0."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, content: Any = None, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.answer({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.status:
            self.refuse(self.hub.status, "Any")
        elif path == "api/repos/create":
            self.create(json.loads(body))
        elif path == "api/validate-yaml":
            errors = [{"message": self.hub.fault_of_card}] if self.hub.fault_of_card else []
            self.answer({"errors": errors, "warnings": []}, 400 if errors else 200)
        elif path.startswith("objects/"):
            self.hub.objects[path.removeprefix("objects/")] = body
            self.answer({})
        elif path.startswith("api/models/"):
            self.of_model(path.removeprefix("api/models/").split("/"), body)
        elif path.endswith("/info/lfs/objects/batch"):
            self.large_files(json.loads(body))
        elif "/resolve/" in path:
            name, _, rest = path.partition("/resolve/")
            commit, _, file = rest.partition("/")
            self.file(name, commit, file)
        else:
            self.refuse(404, "Any")

    do_GET = do_POST = do_PUT = do_HEAD = handle_one

    def model(self, name: str) -> Model | None:
        """Return a model that the asker may see; answer where there is none."""
        model = self.hub.models.get(name)
        if model is None or (model.private and not self.known):
            self.refuse(404 if self.known else 401, "RepoNotFound")
            return None
        if model.gated:
            self.refuse(403, "GatedRepo")
            return None
        return model

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if not self.known:
            self.refuse(401, "Any")
        elif asked.get("organization") not in (None, OWNER):
            self.refuse(403, "Any")
        else:
            new = name not in self.hub.models
            if new:  # one version of huggingface_hub sends the first field, another the second
                self.hub.models[name] = Model(asked.get("private") or asked.get("visibility") == "private")
            self.answer({"url": f"{self.hub.address}/{name}"}, 200 if new else 409)

    def of_model(self, parts: list[str], body: bytes) -> None:
        name, rest = "/".join(parts[:2]), parts[2:]
        if (model := self.model(name)) is None:
            return
        if rest[:1] in (["preupload"], ["commit"]) and not self.known:
            self.refuse(403, "Any")
        elif rest[:1] == ["preupload"]:
            files = [
                {"path": one["path"], "uploadMode": self.mode(one["path"]), "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif rest[:1] == ["commit"]:
            commit = model.add(dict(self.committed(body)))
            url = f"{self.hub.address}/{name}/commit/{commit}"
            self.answer({"commitUrl": url, "commitOid": commit, "hookOutput": ""})
        else:
            self.information(name, model, "/".join(rest[1:]) or "main")

    @staticmethod
    def mode(path: str) -> str:
        return "lfs" if path.endswith(".safetensors") else "regular"

    def committed(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        for line in body.splitlines():
            part = json.loads(line)
            if part["key"] == "file":
                yield part["value"]["path"], base64.b64decode(part["value"]["content"])
            elif part["key"] == "lfsFile":
                yield part["value"]["path"], self.hub.objects[part["value"]["oid"]]

    def information(self, name: str, model: Model, revision: str) -> None:
        commit = model.newest if revision == "main" and model.commits else revision
        if commit not in model.commits and model.commits:
            self.refuse(404, "RevisionNotFound")
            return
        files = model.commits.get(commit, {})
        siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
        self.answer(
            {"id": name, "sha": self.hub.commit or commit, "private": model.private, "siblings": siblings}
        )

    def large_files(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.address}/objects/{one['oid']}", "header": {}}}}
            for one in asked["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects})

    def file(self, name: str, commit: str, file: str) -> None:
        if (model := self.model(name)) is None:
            return
        content = model.commits.get(commit, {}).get(file)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if self.command == "GET":
            content += b"\0" * self.hub.lengthened
        self.answer(content, 200, headers)


@contextmanager
def hub_running() -> Iterator[Hub]:
    """Run a hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
