"""The official client for Node.js against a live server: answers, streams, uploads and errors, by its own types."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from himmel.methods.session import Session
from serving_live import KEY, Live, running

pytestmark = pytest.mark.slow

QUESTION = "Which way does the pattern move?"
# The major release that this was tried with; a later one may have another API.
PACKAGE = "openai@6"
SCRIPT = """
import fs from "node:fs";
import OpenAI from "openai";

const [baseURL, apiKey, path, question] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ask = (url, more) =>
  client.chat.completions.create({
    model: "himmel",
    messages: [
      { role: "user", content: [{ type: "video_url", video_url: { url } }, { type: "text", text: question }] },
    ],
    max_tokens: 8,
    ...more,
  });
const refusal = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, message: error.message };
  }
};

const models = [];
for await (const model of client.models.list()) models.push(model.id);
const whole = await ask(`file://${path}`);
const pieces = [];
let usage = null;
for await (const chunk of await ask(`file://${path}`, { stream: true, stream_options: { include_usage: true } })) {
  if (chunk.choices.length) pieces.push(chunk.choices[0].delta.content ?? "");
  usage = chunk.usage ?? usage;
}
const upload = await client.files.create({ file: fs.createReadStream(path), purpose: "user_data" });
const listed = [];
for await (const file of client.files.list()) listed.push(file.id);
const uploaded = await ask(upload.id);
const removed = await client.files.delete(upload.id);
const left = await ask(`file://${path}`, { stream: true });
for await (const chunk of left) break;

console.log(
  JSON.stringify({
    models,
    whole,
    pieces,
    usage,
    upload,
    listed,
    uploaded: uploaded.choices[0].message.content,
    removed,
    gone: await refusal(ask(upload.id)),
    outside: await refusal(ask("file:///etc/passwd")),
    unknown: await refusal(ask(`file://${path}`, { model: "gpt-6" })),
    wrong: await refusal(new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list()),
  }),
);
"""

REFUSALS = {
    "gone": ("NotFoundError", 404, "no_such_file"),
    "outside": ("PermissionDeniedError", 403, "path_not_allowed"),
    "unknown": ("NotFoundError", 404, "model_not_found"),
    "wrong": ("AuthenticationError", 401, "invalid_api_key"),
}


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the package, which is kept for the next run."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js and npm are not installed")
    found: Path = request.config.cache.mkdir("node-openai")  # type: ignore[union-attr]
    if not (found / "node_modules" / "openai").is_dir():
        arguments = [npm, "install", "--prefix", str(found), "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        installed = subprocess.run(arguments, cwd=found, capture_output=True, text=True, timeout=300, check=False)
        if installed.returncode:
            pytest.skip(f"the npm package openai cannot be installed: {installed.stderr.strip()[-200:]}")
    (found / "client.mjs").write_text(SCRIPT)
    return found


@pytest.fixture(scope="module")
def live(session: Session, media: Path) -> Iterator[Live]:
    from himmel.serving.server.app import Settings
    from himmel.serving.server.limits import Limits

    settings = Settings(limits=Limits(workers=1), media=(media,), api_keys=(KEY,), threads=1)
    with running(session, settings, media) as found:
        yield found


def test_the_client_of_npm_works_unchanged(folder: Path, live: Live, media: Path) -> None:
    clip = media / "clip.mp4"
    said = subprocess.run(
        ["node", "client.mjs", f"{live.url}/v1", KEY, str(clip), QUESTION],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    own = live.session.ask(clip, QUESTION, max_new_tokens=8, threads=1)
    assert {"himmel", "dense"} <= set(found["models"])
    assert found["whole"]["choices"][0]["message"]["content"] == own.text
    assert found["whole"]["usage"]["prompt_tokens"] == sum(own.tokens.values())
    assert "".join(found["pieces"]) == own.text
    for usage in (found["usage"], found["whole"]["usage"]):
        # The second question finds the video's tokens in the prompt cache.
        del usage["prompt_tokens_details"]["cached_tokens"]
    assert found["usage"] == found["whole"]["usage"]
    assert found["upload"]["bytes"] == clip.stat().st_size
    assert found["listed"] == [found["upload"]["id"]]
    assert found["uploaded"] == own.text
    assert found["removed"] == {"id": found["upload"]["id"], "object": "file", "deleted": True}
    kinds = {name: (found[name]["name"], found[name]["status"], found[name]["code"]) for name in REFUSALS}
    assert kinds == REFUSALS
    assert "Files outside the server's media folders" in found["outside"]["message"]
