"""docs/compatibility.md says which versions we serve; ApiVersions says what we do serve.

The table has one row per API: `| key | name | versions |`, the versions as `N` or `N-M`.
"""

import re

from harness import ROOT, expect, expect_equal, test
import wire

TABLE = ROOT / "docs/compatibility.md"


def documented():
    """{key: (name, min, max)} of the rows whose first cell is a number."""
    rows = {}
    for line in TABLE.read_text().splitlines():
        row = re.match(r"\|\s*(\d+)\s*\|\s*`?(\w+)`?\s*\|\s*(\d+)(?:\s*(?:-|–|to)\s*(\d+))?\s*\|", line)
        if row:
            key, name, low, high = row.groups()
            rows[int(key)] = (name, int(low), int(high or low))
    return rows


@test("docs/compatibility.md names exactly the APIs and versions that ApiVersions answers", ours_only="it is our table")
def table(node):
    with wire.Connection(node.port) as connection:
        answer = connection.ask("api_versions_v0")
    expect_equal(answer["error"], 0, "error of ApiVersions")
    served = {one["key"]: (one["min"], one["max"]) for one in answer["keys"]}
    written = {key: (low, high) for key, (_, low, high) in documented().items()}
    expect(written, f"no table in {TABLE}")
    for key in sorted(served.keys() | written.keys()):
        expect_equal(written.get(key), served.get(key), f"API {key}: versions in the table")


@test("every advertised version of ApiVersions is answered, a newer one with version 0 and error 35")
def api_versions(node):
    with wire.Connection(node.port) as connection:
        ranges = {one["key"]: one for one in connection.ask("api_versions_v0")["keys"]}
        expect_equal(connection.ask("api_versions", software="test", version="1")["error"], 0, "error at version 3")
        newest = ranges[18]["max"]
        for version in (newest + 1, 127):
            connection.send(wire.frame(wire.header(18, version, 7, True) + wire.uvarint(2) + b"x" + wire.uvarint(2) + b"1\0"))
            answer = connection.answer("api_versions_v0", 7)
            expect_equal(answer["error"], 35, f"error at version {version}")
            expect_equal([(one["key"], one["max"]) for one in answer["keys"]], [(18, newest)], "range that is answered")
        expect_equal(connection.ask("api_versions_v0")["error"], 0, "error afterwards, on the same connection")
