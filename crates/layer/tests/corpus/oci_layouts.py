#!/usr/bin/env python3
"""Make an OCI layout of each case's archives, for the existing importer: `OUT/CASE/oci`, and the plain
archives beside it. usage: oci_layouts.py CORPUS OUT"""
import gzip
import hashlib
import json
import os
import sys


def blob(oci, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{oci}/blobs/sha256/{digest}", "wb") as out:
        out.write(data)
    return digest


def descriptor(oci, media_type, data):
    return {"mediaType": media_type, "digest": "sha256:" + blob(oci, data), "size": len(data)}


def layout(directory, layers):
    oci = f"{directory}/oci"
    os.makedirs(f"{oci}/blobs/sha256")
    kind = "application/vnd.oci.image."
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
              "config": {"Labels": {"containers.bootc": "1"}},
              "rootfs": {"type": "layers", "diff_ids": diff_ids},
              "history": [{"created_by": f"layer {i}"} for i in range(len(layers))]}
    manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                "config": descriptor(oci, kind + "config.v1+json", json.dumps(config).encode()),
                "layers": [descriptor(oci, kind + "layer.v1.tar", layer) for layer in layers]}
    index = {"schemaVersion": 2, "manifests": [descriptor(oci, kind + "manifest.v1+json", json.dumps(manifest).encode())]}
    with open(f"{oci}/index.json", "w") as out:
        json.dump(index, out)
    with open(f"{oci}/oci-layout", "w") as out:
        out.write('{"imageLayoutVersion":"1.0.0"}')


def main():
    corpus, out = sys.argv[1:]
    for line in open(f"{corpus}/cases.tsv"):
        name, count = line.split("\t")[:2]
        directory = f"{out}/{name}"
        os.makedirs(directory)
        layers = [gzip.open(f"{corpus}/archives/{name}.{i}.tar.gz").read() for i in range(int(count))]
        for index, layer in enumerate(layers):
            with open(f"{directory}/{index}.tar", "wb") as archive:
                archive.write(layer)
        layout(directory, layers)


main()
