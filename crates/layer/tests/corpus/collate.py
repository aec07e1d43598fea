#!/usr/bin/env python3
"""Turn what ask_tools.sh left into `expected/CASE.txt`. usage: collate.py CORPUS CASES_DIR

    what the oracle's tree is, as `ostree ls` tells it:
d CONTENTS DIRMETA PATH<tab>MODE UID:GID XATTRS
f CHECKSUM PATH<tab>MODE UID:GID SIZE XATTRS [-> TARGET]
    with the importer as the oracle, the root of each layer by itself (before whiteouts):
layer N CONTENTS DIRMETA
    and for whoever reads it, what each tool did:
# importer: accepted, fsck: clean
"""
import os
import re
import sys

LINE = re.compile(r"(\S)(\d{5}) (\d+) (\d+) +(\d+) ([0-9a-f]{64})(?: ([0-9a-f]{64}))? \{ (.*) \} (/.*)$", re.S)


def escaped(text):
    out = text.encode("utf-8", "surrogateescape")
    return "".join(chr(b) if 0x21 <= b < 0x7F and b != 0x25 else "%%%02x" % b for b in out)


def entries(text):
    """The entries of a listing; a line that begins none belongs to the name before it."""
    found = []
    for line in text.split("\n"):
        if re.match(r"[-dl]\d{5} \d+ \d+ ", line):
            found.append(line)
        elif found:
            found[-1] += "\n" + line
    found[-1] = found[-1].removesuffix("\n")
    return found


def told(line):
    kind, mode, uid, gid, size, checksum, meta, xattrs, path = LINE.match(line).groups()
    rest = f"{mode[1:]} {uid}:{gid}"
    target = ""
    if kind == "l":
        path, target = path.split(" -> ", 1)
        target = " -> " + escaped(target)
    xattrs = "" if xattrs == "@a(ayay) []" else " " + (xattrs if len(xattrs) < 100 else xattrs[:100] + "...")
    if kind == "d":
        return f"d {checksum} {meta} {escaped(path)}\t{rest}{xattrs}"
    return f"f {checksum} {escaped(path)}\t{rest} {size}{xattrs}{target}"


def load(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def outcome(directory, tree, fsck):
    text = load(f"{directory}/{tree}")
    if text.startswith("refused"):
        return text.strip().encode("ascii", "replace").decode()
    return "accepted, " + load(f"{directory}/{fsck}").strip()


def main():
    corpus, cases = sys.argv[1:]
    os.makedirs(f"{corpus}/expected", exist_ok=True)
    rows = [line.rstrip("\n").split("\t") for line in open(f"{corpus}/cases.tsv")]
    oracles = {row[0]: row[2] for row in rows}
    for name, count, oracle, about, why in rows:
        directory = f"{cases}/{name}"
        whose, by = name, oracle
        if oracle.startswith("same:"):
            whose = oracle[5:]
            by = oracles[whose]
        out = [f"# {about}", f"# oracle: {oracle}" + (f" ({why})" if why else "")]
        out += [f"# importer: {outcome(directory, 'merged.importer', 'fsck.importer')}",
                f"# ostree:   {outcome(directory, '0.ostree', 'fsck.ostree')}",
                f"# tar:      {outcome(directory, 'merged.tar', 'fsck.tar')}"]
        if not by.startswith("refused"):
            source = {"importer": "merged.importer", "ostree": "0.ostree", "tar": "merged.tar"}[by]
            text = load(f"{cases}/{whose}/{source}")
            assert not text.startswith("refused"), (name, text)
            if by == "importer" and whose == name:
                for index in range(int(count)):
                    root = LINE.match(entries(load(f"{directory}/layer.{index}.importer"))[0])
                    out.append(f"layer {index} {root.group(6)} {root.group(7)}")
            out += [told(line) for line in entries(text)]
        with open(f"{corpus}/expected/{name}.txt", "w") as file:
            file.write("\n".join(out) + "\n")


main()
