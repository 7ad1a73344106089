"""The admin endpoint of a running node: its pages, and that it is there from the beginning to the end and costs nothing."""

import http.client
import json
import pathlib
import re
import subprocess
import time
import urllib.request

from harness import Node, expect, expect_equal, expect_in, fresh_topic, free_port, run, test, until
import wire

OURS = "the admin endpoint is ours"


def page(node, path, method="GET"):
    link = http.client.HTTPConnection("127.0.0.1", node.admin_port, timeout=10)
    link.request(method, path)
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, answer.headers, text


@test("admin: a node that serves says so to probes, to people and to scripts", ours_only=OURS)
def serves(node):
    expect_equal(page(node, "/livez")[0], 200, "/livez")
    until(lambda: page(node, "/readyz")[0] == 200, "/readyz is 200")
    expect_equal(page(node, "/readyz")[2], "ready\n", "/readyz")
    status, headers, text = page(node, "/status")
    expect_equal((status, headers["Content-Type"]), (200, "application/json"), "/status")
    said = json.loads(text)
    expect_equal((said["ready"], said["node_id"], said["roles"], said["controller_id"]), (True, 1, ["broker", "controller"], 1),
                 "status")
    expect_in(said["reactor"], ("io_uring", "epoll"))
    expect_equal([one["address"] for one in said["listeners"]], [node.bootstrap], "listeners")
    with wire.Connection(node.port) as connection:
        expect_equal(said["cluster_id"], connection.metadata([])["cluster_id"], "cluster id")
    expect_equal([(one["path"], one["online"]) for one in said["log_directories"]], [(str(node.log_dir), True)], "directories")


@test("admin: partitions that are led are counted", ours_only=OURS)
def counted(node):
    before = json.loads(page(node, "/status")[2])["partitions"]["led"]
    with wire.Connection(node.port) as connection:
        expect_equal(connection.create_topic(fresh_topic("admin"), 5), 0, "error of CreateTopics")
    after = json.loads(page(node, "/status")[2])["partitions"]
    expect_equal(after["led"], before + 5, "partitions led")
    expect_equal((after["leaderless"], after["under_replicated"]), (0, 0), "troubles")


@test("admin: metrics are Prometheus' text, of the logs, of requests, of the quorum and of the process", ours_only=OURS)
def metrics(node):
    topic = fresh_topic("metrics")
    with wire.Connection(node.port) as connection:
        connection.create_topic(topic)
        expect_equal(connection.produce(topic, wire.batch([b"x" * 1000]))["error"], 0, "error of Produce")
    status, headers, text = page(node, "/metrics")
    expect_equal(status, 200, "status")
    expect_in("text/plain; version=0.0.4", headers["Content-Type"])
    values = {}
    for line in text.splitlines():
        if line.startswith("#"):
            expect(re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line), f"a comment that is none: {line}")
            continue
        match = re.fullmatch(r'([a-z_]+(?:\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?) (\S+)', line)
        expect(match, f"not a sample: {line}")
        expect(match[1] not in values, f"twice: {match[1]}")
        values[match[1]] = float(match[2])
    expect(values['millrace_request_seconds_count{api="Produce"}'] >= 1, "no produce was counted")
    expect(values["millrace_log_appended_bytes_total"] > 1000, "no appended bytes")
    expect_equal(values["millrace_ready"], 1, "millrace_ready")
    expect_equal(values["millrace_quorum_active"], 1, "millrace_quorum_active")
    expect(values["millrace_quorum_commit_seconds_count"] >= 1, "no commit was counted")
    rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{node.pid}/status").read_text())[1]) * 1024
    expect(rss / 2 < values["process_resident_memory_bytes"] < rss * 2, f"{values['process_resident_memory_bytes']} for {rss}")
    expect(values["process_open_fds"] > 3, "open descriptors")
    expect(abs(values["process_start_time_seconds"] - time.time()) < 3600, "start of the process")


@test("admin: `millrace top` shows what nodes do, and that one does not answer", ours_only=OURS)
def top(node):
    topic = fresh_topic("top")
    nobody = free_port()
    command = [node.options.binary, "top", "--admin", f"127.0.0.1:{node.admin_port},127.0.0.1:{nobody}"]
    with wire.Connection(node.port) as connection:
        connection.create_topic(topic)
        watching = subprocess.Popen([*command, "-o", "json"], stdout=subprocess.PIPE, text=True)
        rounds = []
        while not any(one["nodes"][0].get("produce_per_s", 0) > 0 for one in rounds):
            expect(len(rounds) < 20, f"no produce in {rounds[-1:]}")
            expect_equal(connection.produce(topic, wire.batch([b"x" * 1000]))["error"], 0, "error of Produce")
            rounds.append(json.loads(watching.stdout.readline()))
        watching.kill()
        watching.wait()
    ours, other = rounds[-1]["nodes"]
    expect_equal((ours["node"], ours["failure"], ours["ready"], ours["under_min_isr"]), ("1", None, True, 0), "this node")
    expect(ours["request_bytes_per_s"] > 500 and ours["produce_p99_us"] > 0 and ours["journal_sync_p99_us"] > 0, f"rates: {ours}")
    expect(ours["leads"] >= 1 and ours["rss_bytes"] > 1e6, f"state: {ours}")
    expect_in("refused", other["failure"])
    ended = subprocess.run([*command, "--rounds", "1"], stdout=subprocess.PIPE, text=True, timeout=30)
    expect_equal(ended.returncode, 1, "exit status with a node that does not answer")
    lines = ended.stdout.splitlines()
    expect_equal(lines[0].split()[:3], ["NODE", "STATE", "IN-MB/s"], "titles")
    expect_equal(lines[1].split()[:2], ["1", "ready"], "this node")
    expect_equal(lines[2].split()[:2], [f"127.0.0.1:{nobody}", "down"], "nobody")
    wrong = subprocess.run([*command[:2], "--admin", "nowhere"], stderr=subprocess.PIPE, text=True, timeout=30)
    expect_equal(wrong.returncode, 2, "exit status of a wrong address")
    expect_in("nowhere", wrong.stderr)


@test("admin: what is not served is said so", ours_only=OURS)
def not_served(node):
    expect_equal(page(node, "/nothing")[0], 404, "an unknown page")
    status, headers, _ = page(node, "/livez", "DELETE")
    expect_equal((status, headers["Allow"]), (405, "GET, HEAD"), "DELETE")
    status, headers, text = page(node, "/status", "HEAD")
    expect_equal((status, text), (200, ""), "HEAD")
    expect(int(headers["Content-Length"]) > 100, "HEAD tells no length")
    with urllib.request.urlopen(f"http://127.0.0.1:{node.admin_port}/", timeout=5) as answer:
        expect_in("/metrics", answer.read().decode())


@test("admin: `millrace health` answers with its exit status", own_node=True, ours_only=OURS)
def health(node):
    command = [node.options.binary, "health", "--admin", f"127.0.0.1:{node.admin_port}"]
    expect_equal(run(command, status=1), "", "of a node that does not run")
    node.start()
    until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "it is ready")
    expect_equal(run(command), "ready\n", "of one that serves")
    expect_equal(run([*command, "--live"]), "alive\n", "of one that lives")
    expect_equal(json.loads(run([*command, "-o", "json"]))["node_id"], 1, "node id")


@test("admin: a default port that is taken is a warning, one that was set is an error", own_node=True, ours_only=OURS)
def taken(node):
    node.start()
    other = Node(node.options, [f"millrace.admin.listeners=127.0.0.1:{node.admin_port}"])
    try:
        other.spawn()
        expect_equal(other.process.wait(10), 1, "exit status")
        expect_in("millrace.admin.listeners", other.log_tail())
    finally:
        other.wipe()
    # Whoever has the default port, the node starts: with the endpoint or with the warning.
    third = subprocess.Popen([str(node.options.binary), "server", "--set", f"listeners=PLAINTEXT://127.0.0.1:{free_port()}",
                              "--set", f"log.dirs={node.folder}/third"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    try:
        lines = []
        for line in third.stdout:
            lines.append(line)
            if "bootstrap.servers" in line:
                break
        expect(any("bootstrap.servers" in line for line in lines), f"it did not start: {''.join(lines)}")
    finally:
        third.terminate()
        third.communicate(timeout=20)


@test("admin: connections that sit there keep nobody out", ours_only=OURS)
def sitting(node):
    import socket
    sockets = [socket.create_connection(("127.0.0.1", node.admin_port), timeout=5) for _ in range(200)]
    for one in sockets[:100]:
        one.sendall(b"GET /livez HTTP/1.1\r\n")
    try:
        expect_equal(page(node, "/livez")[0], 200, "/livez")
        expect_equal(page(node, "/readyz")[0], 200, "/readyz")
    finally:
        for one in sockets:
            one.close()
