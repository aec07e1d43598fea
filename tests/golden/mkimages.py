#!/usr/bin/env python3
"""mkimages.py OUT : small OCI images with what layers may contain, one tag per subject (for the group `imports`).

Deterministic: the same bytes at every run. The tags whose name begins with `odd-` hold what importers may well refuse.
"""
import gzip, hashlib, io, json, os, sys, tarfile

out = sys.argv[1]
os.makedirs(out + "/blobs/sha256")
open(out + "/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
index = []
CAPABILITY = "\x01\x00\x00\x02\x00\x20\x00\x00" + "\x00" * 12  # cap_net_raw=ep


def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    open(f"{out}/blobs/sha256/{digest}", "wb").write(data)
    return "sha256:" + digest


class Layer:
    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", link="", mode=None, uid=0, gid=0, xattrs=None, device=(0, 0)):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(data)
        info.mode = mode if mode is not None else {tarfile.DIRTYPE: 0o755, tarfile.SYMTYPE: 0o777}.get(kind, 0o644)
        info.uid, info.gid, info.mtime = uid, gid, 1700000000
        info.devmajor, info.devminor = device
        info.pax_headers = {"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def dirs(self, *names, **options):
        for name in names:
            self.add(name, tarfile.DIRTYPE, **options)
        return self

    def file(self, name, text, **options):
        return self.add(name, data=text.encode(), **options)

    def link(self, name, target, **options):
        return self.add(name, tarfile.SYMTYPE, link=target, **options)

    def hard(self, name, target):
        return self.add(name, tarfile.LNKTYPE, link=target)

    def whiteout(self, *names):
        for name in names:
            head, _, tail = name.rpartition("/")
            self.add((head + "/" if head else "") + ".wh." + tail)
        return self

    def opaque(self, name):
        return self.add(name + "/.wh..wh..opq")

    def finish(self):
        self.tar.close()
        return self.buffer.getvalue()


def image(tag, *layers, labels=None):
    tars = [layer.finish() for layer in layers]
    packed = [gzip.compress(tar, 9, mtime=0) for tar in tars]
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {"Labels": {"containers.bootc": "1", "ostree.bootable": "true"} | (labels or {})},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]},
        "history": [{"created": "2023-11-14T22:13:20Z", "created_by": f"layer {n}"} for n in range(len(tars))],
    }, sort_keys=True).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob(config), "size": len(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob(gz), "size": len(gz)}
                   for gz in packed],
    }, sort_keys=True).encode()
    index.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": blob(manifest),
                  "size": len(manifest), "annotations": {"org.opencontainers.image.ref.name": tag}})


def base():
    return (Layer().dirs("usr", "usr/bin", "usr/lib", "usr/share", "etc", "boot", "sysroot")
            .link("bin", "usr/bin").file("usr/bin/sh", "#!sh\n", mode=0o755))


image("plain", base()
      .file("usr/bin/su", "su", mode=0o4755).file("usr/bin/wall", "wall", mode=0o2755, gid=5)
      .file("usr/bin/ping", "ping", mode=0o755, xattrs={"security.capability": CAPABILITY})
      .dirs("usr/share/sticky", mode=0o1777).dirs("usr/share/private", mode=0o700, uid=1000, gid=1000)
      .file("usr/share/" + "long-" * 50, "long name").link("usr/share/longlink", "x/" * 200 + "end")
      .file("usr/share/attributes", "attributes", xattrs={"user.z": "last", "user.a": "first"})
      .file("usr/share/empty", "").file("usr/share/unreadable", "no", mode=0)
      .file("usr/share/ünïcode", "ü").file("usr/share/back\\slash", "b").file("usr/share/new\nline", "n")
      .file("usr/share/hard", "linked").hard("usr/share/hard2", "usr/share/hard").hard("usr/bin/hard3", "usr/share/hard")
      .link("usr/share/dangling", "no/such").link("usr/share/absolute", "/etc/passwd", uid=7, gid=8)
      .file("etc/passwd", "root:x:0:0::/:/bin/sh\n").file("etc/shadow", "root:*:::::::\n", mode=0o640, gid=42)
      .dirs("etc/sub").file("etc/sub/conf", "1").hard("etc/sub/conf2", "etc/sub/conf").link("etc/os-release", "../usr/lib/os-release")
      .file("usr/lib/os-release", "ID=golden\n"))
image("implicit-parents", Layer().file("usr/share/a/b/c", "c").file("etc/x/y", "y").file("usr/bin/sh", "sh", mode=0o755))
image("dot-slash", Layer().dirs("./", mode=0o755).dirs("./usr/", "./usr/bin/", "./etc/").file("./usr/bin/sh", "sh").file("./etc/conf", "1"))
image("root-mode", Layer().dirs("./", mode=0o750, uid=3, gid=4).dirs("usr").file("usr/x", "x"))
image("whiteouts",
      base().dirs("usr/share/d", "usr/share/d/e", "usr/share/o").file("usr/share/d/1", "1").file("usr/share/d/e/2", "2")
      .file("usr/share/o/below", "b").file("usr/share/f", "f").link("usr/share/l", "f").file("etc/gone", "g").file("etc/stays", "s"),
      Layer().dirs("usr", "usr/share").whiteout("usr/share/f", "usr/share/l", "etc/gone", "usr/share/never-was"),
      Layer().dirs("usr/share/o").opaque("usr/share/o").file("usr/share/o/above", "a"),
      Layer().whiteout("usr/share/d"),
      Layer().dirs("usr/share/d").file("usr/share/d/again", "again"))
image("whiteout-and-same-layer",
      base().file("usr/share/f", "old").dirs("usr/share/d").file("usr/share/d/old", "old"),
      Layer().whiteout("usr/share/f").file("usr/share/f", "new").dirs("usr/share/d").file("usr/share/d/before", "x")
      .opaque("usr/share/d").file("usr/share/d/after", "x"))
image("replaced-types",
      base().file("usr/share/file-to-dir", "x").dirs("usr/share/dir-to-file").file("usr/share/dir-to-file/x", "x")
      .dirs("usr/share/dir-to-link").file("usr/share/dir-to-link/x", "x").link("usr/share/link-to-dir", "dir-to-link").link("usr/share/link-to-file", "x")
      .file("usr/share/file-to-link", "x"),
      Layer().dirs("usr/share/file-to-dir").file("usr/share/file-to-dir/y", "y").file("usr/share/dir-to-file", "y")
      .link("usr/share/dir-to-link", "y").dirs("usr/share/link-to-dir").file("usr/share/link-to-dir/y", "y").file("usr/share/link-to-file", "y")
      .link("usr/share/file-to-link", "y"))
image("changed-modes",
      base().dirs("usr/share/d").file("usr/share/d/x", "x"),
      Layer().dirs("usr/share/d", mode=0o711, uid=9, gid=9).file("usr/share/d/x", "x", mode=0o600, uid=1))
image("duplicates", base().file("usr/share/twice", "first").file("usr/share/twice", "second", mode=0o600)
      .dirs("usr/share/d", mode=0o700).dirs("usr/share/d", mode=0o755))
image("var", base().dirs("var", "var/lib", "var/lib/x").file("var/lib/x/data", "data").link("var/run", "../run").file("var/log", "not a directory"))
image("top-level", base().dirs("opt", "opt/app", "srv", "mnt", "media", "home", "root", "tmp", "run", "proc", "sys", "dev", "ostree", "lost+found", "afs", "nix")
      .file("opt/app/x", "x").file("root/.profile", "p").file("home/user", "h").file("run/secret", "r").file("tmp/t", "t").file("proc/p", "p")
      .file("dev/null-file", "d").file("nix/store", "n").file("toplevel-file", "t").file(".dockerenv", "").file("boot/grub", "g").file("srv/www", "w"))
image("usr-etc-too", base().dirs("usr/etc").file("usr/etc/default", "from usr/etc").file("etc/local", "from etc"))
image("etc-links", base().file("usr/share/conf", "c").hard("etc/hard-to-usr", "usr/share/conf").file("etc/a", "a").hard("usr/share/hard-to-etc", "etc/a")
      .link("etc/abs", "/etc/a").link("usr/share/to-etc", "../../etc/a"))
image("selinux-xattr", base().file("usr/share/labelled", "x", xattrs={"security.selinux": "system_u:object_r:usr_t:s0\x00"}))
image("other-xattrs", base().file("usr/share/x", "x", xattrs={"user.u": "u", "trusted.t": "t", "security.ima": "\x03\x04 = binary"}))
image("odd-empty-xattr", base().file("usr/share/x", "x", xattrs={"user.empty": "", "user.full": "f"}))
image("odd-percent-xattr", base().file("usr/share/x", "x", xattrs={"user.percent%3D": "p"}))
image("odd-newline-xattr", base().file("usr/share/x", "x", xattrs={"user.lines": "a\nb"}))
image("odd-hardlink-chain", base().file("usr/share/1", "x").hard("usr/share/2", "usr/share/1").hard("usr/share/3", "usr/share/2"))
image("odd-hardlink-whited-out", base().file("usr/share/1", "x").hard("usr/share/2", "usr/share/1"), Layer().whiteout("usr/share/1"))
image("odd-hardlink-to-link", base().link("usr/share/1", "sh").hard("usr/share/2", "usr/share/1"))
image("odd-hardlink-suid", base().file("usr/bin/su", "su", mode=0o4755).hard("usr/bin/sudo", "usr/bin/su"))
image("odd-devices", base().add("usr/share/null", tarfile.CHRTYPE, device=(1, 3)).add("usr/share/disk", tarfile.BLKTYPE, device=(8, 0)).add("usr/share/pipe", tarfile.FIFOTYPE))
image("odd-device-in-dev", base().dirs("dev").add("dev/null", tarfile.CHRTYPE, device=(1, 3)))
image("odd-hardlink-below", base().file("usr/share/low", "low"), Layer().dirs("usr", "usr/share").hard("usr/share/high", "usr/share/low"))
image("odd-hardlink-forward", base().hard("usr/share/early", "usr/share/late").file("usr/share/late", "late"))
image("odd-hardlink-repo", base().dirs("sysroot/ostree", "sysroot/ostree/repo", "sysroot/ostree/repo/objects", "sysroot/ostree/repo/objects/aa")
      .file("sysroot/ostree/repo/objects/aa/bb.file", "object").hard("usr/share/from-repo", "sysroot/ostree/repo/objects/aa/bb.file"))
image("odd-dotdot", base().file("usr/../../escape", "x"))
image("odd-dotdot-inside", base().file("usr/share/../lib/inside", "x"))
image("odd-absolute", base().file("/usr/share/absolute", "x"))
image("odd-not-utf8", base().file("usr/share/caf\udce9", "x"))
image("odd-through-symlink", base().link("usr/share/link", "../lib").file("usr/share/link/through", "x"))
image("odd-empty-layer", base(), Layer())
image("odd-whiteout-of-top", base(), Layer().whiteout("boot", "etc"))

json.dump({"schemaVersion": 2, "manifests": index}, open(out + "/index.json", "w"), sort_keys=True)
