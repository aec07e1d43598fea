#!/usr/bin/env python3
"""Makes the OCI directory DIR with the images `tricky` and `labelled`: the same bytes at every run."""
import gzip, hashlib, io, json, os, sys, tarfile

OUT = sys.argv[1]
DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def header(name, type=tarfile.REGTYPE, mode=0o644, mtime=1700000000, uid=0, gid=0, link="", pax=None, dev=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime, info.uid, info.gid, info.linkname = type, mode, mtime, uid, gid, link
    info.pax_headers = pax or {}
    info.devmajor, info.devminor = dev
    return info


def layer(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            if content is not None:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def bytes_of(size, step):
    return bytes((at * step + at // 256) % 251 for at in range(size))


def dirs(names):
    return [(header(name, DIR, 0o755, 1600000000 + at), None) for at, name in enumerate(names.split())]


CAPABILITY = "\x01\x00\x00\x02\x00\x20" + "\x00" * 14
ROOT = ". usr usr/bin usr/lib etc run boot sysroot var tmp usr/share usr/share/many usr/share/opaque"
LOWER = dirs(ROOT) + [
    (header("usr/bin/sh", mode=0o755), bytes_of(200000, 7)),
    (header("usr/bin/64"), b"x" * 64),
    (header("usr/bin/65"), b"y" * 65),
    (header("usr/bin/empty"), b""),
    (header("usr/lib/link", LINK, 0o777, link="../bin/sh"), None),
    (header("usr/bin/hard", HARD, link="usr/bin/sh"), None),
    (header("usr/bin/a-hard", HARD, link="usr/bin/sh"), None),
    (header("etc/z-hard", HARD, link="usr/bin/64"), None),
    (header("usr/bin/ping", mode=0o4755, uid=70000, gid=5, pax={
        "SCHILY.xattr.security.capability": CAPABILITY,
        "SCHILY.xattr.user.dropped": "by composefs-rs",
        "mtime": "1650000000.123456789",
    }), bytes_of(3000, 3)),
    (header("usr/lib/fifo", tarfile.FIFOTYPE), None),
    (header("usr/lib/null", tarfile.CHRTYPE, 0o666, dev=(1, 3)), None),
    (header("usr/lib/block", tarfile.BLKTYPE, 0o660, dev=(259, 300)), None),
    (header("usr/lib/whiteout", tarfile.CHRTYPE, 0o600), None),
    (header("run/emptied"), bytes_of(5000, 1)),
    (header("boot/emptied-to-boot"), bytes_of(5001, 1)),
    (header("sysroot/emptied-to-boot"), b"hello"),
    (header("usr/share/removed"), bytes_of(900, 5)),
    (header("usr/share/kept"), bytes_of(901, 5)),
    (header("usr/share/opaque/gone"), bytes_of(902, 5)),
    (header("usr/share/" + "n" * 120, mode=0o600), bytes_of(1 << 21, 11)),
    (header("usr/lib/long", LINK, 0o777, link="a/" * 1500 + "b"), None),
    (header("usr/lib/longest", LINK, 0o777, link="a/" * 2020 + "b"), None),
] + [(header("usr/share/many/a-long-name-to-fill-blocks-%04d" % at), bytes_of(60 + at % 10, at + 1)) for at in range(400)]
UPPER = [
    (header("usr/share/.wh.removed"), b""),
    (header("usr/share/opaque/.wh..wh..opq"), b""),
    (header("usr/share/opaque/new"), bytes_of(903, 5)),
    (header("usr", DIR, 0o711, 1690000000), None),
    (header("usr/bin/65"), b"replaced" * 20),
    # Named like directories of objects.
    (header("aa", DIR, 0o700), None),
    (header("00", DIR, 0o700), None),
]
CONTEXTS = b"/.*\tsystem_u:object_r:default_t:s0\n/usr(/.*)?\tsystem_u:object_r:usr_t:s0\n" \
    b"/usr/bin/.*\t--\tsystem_u:object_r:bin_t:s0\n/etc/x\t<<none>>\n"
LABELLED = dirs("usr usr/bin etc boot sysroot etc/selinux etc/selinux/targeted etc/selinux/targeted/contexts "
                "etc/selinux/targeted/contexts/files") + [
    (header("etc/selinux/config"), b"SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
    (header("etc/selinux/targeted/contexts/files/file_contexts"), CONTEXTS),
    (header("usr/bin/tool", mode=0o755, pax={"SCHILY.xattr.security.selinux": "host_t"}), bytes_of(300, 3)),
    # Two names that have to have different labels.
    (header("etc/tool", HARD, link="usr/bin/tool"), None),
    (header("etc/x"), b"unlabelled"),
    (header("usr/bin/same"), bytes_of(301, 3)),
    (header("usr/bin/same-again", HARD, link="usr/bin/same"), None),
]


def blob(content):
    digest = hashlib.sha256(content).hexdigest()
    with open(f"{OUT}/blobs/sha256/{digest}", "wb") as file:
        file.write(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def image(name, layers):
    archives = [layer(entries) for entries in layers]
    config = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": {"Labels": {"containers.bootc": "1"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(one).hexdigest() for one in archives]},
        "history": [{"created_by": "made"} for _ in archives],
    }).encode())
    kind = "application/vnd.oci.image."
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json", **config},
        "layers": [{"mediaType": kind + "layer.v1.tar+gzip", **blob(gzip.compress(one, mtime=0))} for one in archives],
    }).encode())
    return {"mediaType": kind + "manifest.v1+json", **manifest,
            "annotations": {"org.opencontainers.image.ref.name": name}}


os.makedirs(f"{OUT}/blobs/sha256")
manifests = [image("tricky", [LOWER, UPPER]), image("labelled", [LABELLED])]
with open(f"{OUT}/oci-layout", "w") as file:
    file.write('{"imageLayoutVersion":"1.0.0"}')
with open(f"{OUT}/index.json", "w") as file:
    json.dump({"schemaVersion": 2, "manifests": manifests}, file)
