"""Asks a running doce everything that its description allows, and much that it doesn't.

`cargo xtask test fuzz` runs it with a bound and one seed, `cargo xtask fuzz routes` for longer. It has no network: what
it makes up is sent to nobody. What it finds is mended in the product and becomes a case of `crates/server/tests/it`.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
PASSWORD = "correct horse battery"
# How long anything may take that isn't the run itself.
BOUND = 20

# What is not asked, and why.
LEFT_OUT = {
    "sign_out": "it would end the sign-in that the run has",
    "end_sign_in": "so would `current`",
    "open_stream": "its answer has no end",
    "set_up": "it is for the first account, which the run makes",
}

# How many operations must succeed at least once for a run to count.
SUCCEED = {"member": 20, "admin": 30}

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
]


class Doce:
    """The real program with the agent that stands in for OpenCode, on a directory of its own."""

    def __init__(self, program, agent, folder):
        self.log = folder / "doce.log"
        tools = folder / "tools"
        home = folder / "home"
        tools.mkdir()
        home.mkdir()
        # Nothing is installed for a preview, with no network to install it from.
        (tools / "npm").write_text("#!/bin/sh\nexit 1\n")
        (tools / "npm").chmod(0o755)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin",
                    "HOME": str(home),
                    "TMPDIR": str(folder),
                    "DOCE_DATA_DIR": str(folder / "data"),
                    "DOCE_LISTEN": "127.0.0.1:0",
                    "DOCE_OPENCODE": agent,
                },
            )
        self.port = wait_for("an address", self.listening)

    def listening(self):
        if self.process.poll() is not None:
            raise SystemExit(f"doce ended at its start:\n{self.log.read_text()}")
        for line in self.log.read_text().splitlines():
            if line.startswith("Open http://"):
                return int(line.split()[1].rsplit(":", 1)[1].strip("/"))
        return None

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, cookie=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=BOUND)
        headers = {"origin": self.origin}
        if body is not None:
            headers["content-type"] = "application/json"
        if cookie is not None:
            headers["cookie"] = cookie
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        set_cookie = answer.getheader("set-cookie")
        connection.close()
        return answer.status, text, set_cookie and set_cookie.split(";")[0]

    def done(self, method, path, body=None, cookie=None):
        status, text, given = self.ask(method, path, body, cookie)
        if status >= 300:
            raise SystemExit(f"{method} {path} was answered with {status}: {text.decode()}")
        return json.loads(text) if text else None, given

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "killed: it didn't end"


def wait_for(what, found):
    until = time.monotonic() + BOUND
    while True:
        result = found()
        if result is not None:
            return result
        if time.monotonic() > until:
            raise SystemExit(f"no {what} within {BOUND} s")
        time.sleep(0.05)


def without_security(description):
    """Takes out who may do what, which `access.rs` tests: cookies would be made up, and the run's own one left out."""
    description = json.loads(pathlib.Path(description).read_text())
    description["components"].pop("securitySchemes", None)
    for path in description["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return json.dumps(description)


def furnish(doce, cookie):
    """Makes one of each noun; returns their ids by the beginning of the paths that take them."""
    connection, _ = doce.done(
        "POST",
        "/api/connections",
        {"provider_id": "anthropic", "auth_type": "api", "key": "sk-ant-api03-fuzz-0123456789", "keep_unverified": True},
        cookie,
    )
    model = {"provider_id": "anthropic", "model_id": "claude-sonnet-4-6"}
    made, _ = doce.done("POST", "/api/projects", {"prompt": "An app", "model": model}, cookie)
    return {
        "/api/connections/": connection["id"],
        "/api/projects/": made["project"]["id"],
        "/api/jobs/": made["job"]["id"],
        "/api/providers/": "anthropic",
    }


def run(doce, who, cookie, ids, options):
    """Lets one person ask everything; returns what was wrong."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(pathlib.Path(options.reports) / "openapi.json"),
        "--url", doce.origin,
        "--header", f"cookie: {cookie}",
        "--header", f"origin: {doce.origin}",
        "--phases", "examples,coverage,fuzzing",
        "--checks", ",".join(CHECKS),
        "--max-time", str(options.seconds // 2),
        "--request-timeout", "30",
        "--seed", str(options.seed),
        "--generation-database", "none",
        "--continue-on-failure",
        "--output-sanitize", "false",
        "--warnings", "off",
        "--no-color",
        "--report", "junit",
        "--report-junit-path", str(pathlib.Path(options.reports) / f"{who}.xml"),
    ]  # fmt: skip
    for operation in LEFT_OUT:
        command += ["--exclude-operation-id", operation]
    answers = pathlib.Path(options.reports) / f"{who}-answers.json"
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        "DOCE_FUZZ_IDS": json.dumps(ids),
        "DOCE_FUZZ_ANSWERS": str(answers),
    }
    code = subprocess.run(command, env=environment, cwd=options.reports, check=False).returncode
    return ([f"schemathesis ended with {code}"] if code else []) + judge(json.loads(answers.read_text()), who)


def judge(answers, who):
    """Says whether the run asked anything at all: one that is refused everywhere finds nothing, too."""
    counts = collections.Counter()
    for each in answers.values():
        counts.update(each)
    succeeded = sum(any(status.startswith("2") for status in each) for each in answers.values())
    print(f"as {who}: {succeeded} of {len(answers)} operations succeeded; answers: {dict(sorted(counts.items()))}")
    return [] if succeeded >= SUCCEED[who] else [f"only {succeeded} operations ever succeeded"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("doce", "agent", "description", "reports"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    problems = []
    (pathlib.Path(options.reports) / "openapi.json").write_text(without_security(options.description))
    with tempfile.TemporaryDirectory(prefix="doce-fuzz-") as folder:
        doce = Doce(options.doce, options.agent, pathlib.Path(folder))
        try:
            _, admin = doce.done("POST", "/api/setup", {"username": "ada", "password": PASSWORD})
            member = {"username": "ben", "password": PASSWORD, "role": "member"}
            doce.done("POST", "/api/users", member, admin)
            _, ben = doce.done("POST", "/api/sign-in", {"username": "ben", "password": PASSWORD})
            wait_for("catalogue", lambda: doce.ask("GET", "/api/providers", None, admin)[0] == 200 or None)
            for who, cookie in (("member", ben), ("admin", admin)):
                found = run(doce, who, cookie, furnish(doce, cookie), options)
                problems += [f"as {who}: {problem}" for problem in found]
                if doce.process.poll() is not None:
                    problems.append(f"as {who}: doce ended with {doce.process.returncode}")
                    break
                status, text, _ = doce.ask("GET", "/api/me", None, cookie)
                if status != 200:
                    problems.append(f"as {who}: at the end the sign-in was gone: {status} {text.decode()}")
        finally:
            ended = doce.stop()
            (pathlib.Path(options.reports) / "doce.log").write_bytes(doce.log.read_bytes())
        if ended != 0:
            problems.append(f"doce ended with {ended}")
        log = doce.log.read_text(errors="replace")
        problems += [line for line in log.splitlines() if " ERROR " in line][:20]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
