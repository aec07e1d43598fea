#!/usr/bin/env python3
"""Write the corpus of nasty archives: `archives/CASE.N.tar.gz`, one per layer, and `cases.tsv`.

usage: make_archives.py DIR

Each case names the oracle that says what it means; `docs/tar-semantics.md` has the rules:
  importer     the existing importer (ostree-ext with libostree), per layer and merged
  ostree       `ostree commit --tree=tar` on the only layer as it is
  tar          GNU tar extracts the layers one over the other, then `ostree commit --tree=dir`
  same:CASE    the tree that the oracle of another case gives
  refused:C    nothing is imported; the class of the error is C
With any oracle but `importer` a reason says why not that one; no reason means that it refuses, too.
"""
import gzip
import os
import sys
import base64

from tarbytes import *

CASES = []


def case(name, about, *layers, oracle="importer", why="", end=END):
    CASES.append((name, about, [layer + end for layer in layers], oracle, why))


def names():
    long = b"usr/" + b"/".join(b"component-%02d" % i for i in range(30)) + b"/file"
    target = b"/usr/" + b"t" * 200
    case("pax-long-path", "PAX path and linkpath beyond 100 bytes",
         pax((b"path", long)) + file(b"usr/short") +
         pax((b"path", long + b"-link"), (b"linkpath", target)) + symlink(b"usr/short", b"other"))
    case("gnu-long-name", "GNU long name and long link, in either order",
         gnu_long(b"L", long) + file(b"usr/cut", magic="gnu") +
         gnu_long(b"L", long + b"-1") + gnu_long(b"K", target) + symlink(b"c", b"c", magic="gnu") +
         gnu_long(b"K", target) + gnu_long(b"L", long + b"-2") + symlink(b"c", b"c", magic="gnu"))
    case("pax-hardlink-long", "hard link whose target needs a PAX linkpath",
         pax((b"path", long)) + file(b"c", b"data") + pax((b"linkpath", long)) + hardlink(b"usr/h", b"c"))
    case("gnu-hardlink-long", "hard link whose target needs a GNU long link",
         gnu_long(b"L", long) + file(b"c", b"data", magic="gnu") + gnu_long(b"K", long) +
         hardlink(b"usr/h", b"c", magic="gnu"))
    case("pax-over-gnu", "PAX path and GNU long name for the same entry",
         pax((b"path", b"usr/from-pax")) + gnu_long(b"L", b"usr/from-gnu") + file(b"usr/from-header", magic="gnu"),
         oracle="tar", why="POSIX and GNU tar: PAX wins; libarchive takes whichever comes last")
    case("gnu-over-pax", "the same, the other way round",
         gnu_long(b"L", b"usr/from-gnu") + pax((b"path", b"usr/from-pax")) + file(b"usr/from-header", magic="gnu"),
         oracle="tar", why="POSIX and GNU tar: PAX wins; libarchive takes whichever comes last")
    case("ustar-prefix", "ustar prefix, and a name field filled to its last byte",
         file(b"file", prefix=b"usr/" + b"p" * 100) + file(b"n" * 100, prefix=b"usr/q"))
    case("gnu-no-prefix", "GNU magic: the bytes where ustar has a prefix are times, no prefix",
         file(b"usr/a", magic="gnu", fields={345: b"00000000000\0" + b"00000000000\0"}))
    case("v7-header", "headers without magic, directories marked by a slash only",
         entry(b"usr/", kind=b"\0", mode=0o750, magic="v7") + file(b"usr/a", kind=b"\0", magic="v7") +
         symlink(b"usr/l", b"a", magic="v7"),
         oracle="ostree", why="the importer makes a file of the directory, and libostree aborts on what is in it")
    case("contiguous", "type 7 is a file", file(b"usr/a", b"seven", kind=b"7"))
    case("unknown-type", "a type that nobody knows is a file (POSIX)",
         entry(b"usr/a", b"body", kind=b"Z") + file(b"usr/b"),
         )
    case("volume-label", "a GNU volume label is no file", entry(b"label", kind=b"V", magic="gnu") + file(b"usr/b"),
         )
    case("non-utf8-name", "a name that is not UTF-8", file(b"usr/caf\xe9") + file(b"usr/b"),
         oracle="refused:InvalidInput")
    case("non-utf8-binary", "a name that is not UTF-8, declared binary",
         pax((b"hdrcharset", b"BINARY"), (b"path", b"usr/caf\xe9")) + file(b"usr/b"),
         oracle="refused:InvalidInput")
    case("non-utf8-target", "a symbolic link to something that is not UTF-8", symlink(b"usr/l", b"caf\xe9"),
         oracle="refused:InvalidInput")
    case("unicode-name", "composed, decomposed and astral names", file("usr/é".encode()) + file("usr/é".encode(), b"y") +
         pax((b"path", "usr/\U0001f600".encode())) + file(b"usr/c"))
    case("newline-name", "newline, tab, backslash and quotes in names",
         file(b"usr/a\nb") + file(b"usr/\t\\\"'") + file(b"usr/ ") + file(b"usr/-rf") + symlink(b"usr/l", b"a\nb"))
    case("nul-in-pax-path", "a NUL inside a PAX path", pax((b"path", b"usr/a\0b")) + file(b"usr/c"),
         oracle="refused:InvalidInput")
    case("name-255", "the longest component", pax((b"path", b"usr/" + b"n" * 255)) + file(b"c"))
    case("name-256", "a component too long for any file system", pax((b"path", b"usr/" + b"n" * 256)) + file(b"c"),
         oracle="refused:InvalidInput")
    case("path-4095", "a path as long as PATH_MAX allows",
         pax((b"path", b"usr/" + b"/".join([b"d" * 200] * 20)[:4091])) + file(b"c"))
    case("path-5000", "a path longer than PATH_MAX", pax((b"path", b"usr/" + b"/".join([b"d" * 200] * 25))) + file(b"c"),
         oracle="refused:Corrupt")
    case("deep-200", "200 directories deep", pax((b"path", b"usr/" + b"d/" * 199 + b"f")) + file(b"c"))
    case("deep-300", "300 directories deep", pax((b"path", b"usr/" + b"d/" * 299 + b"f")) + file(b"c"),
         oracle="refused:InvalidInput", why="the stated limit is 256; libostree has none")


def paths():
    case("dot-slash", "`./` in front, doubled and inner slashes and dots",
         directory(b"./") + directory(b"./usr/") + file(b"./usr/a") + file(b"usr//b") + file(b"usr/./c") + file(b".//usr/d"))
    case("absolute", "absolute paths are inside the tree", directory(b"/") + directory(b"/usr") + file(b"/usr/a") + file(b"//usr/b"),
         oracle="ostree", why="the importer refuses the entry `/`")
    case("root-entry", "the archive's own entry for the root sets its metadata",
         pax((b"SCHILY.xattr.user.root", b"1")) + directory(b"./", mode=0o700, uid=5, gid=6) + file(b"usr/a"),
         oracle="tar", why="libostree resets it to 0755 when a parent is missing later (here /usr)")
    case("root-entry-complete", "the same when no parent is missing",
         pax((b"SCHILY.xattr.user.root", b"1")) + directory(b"./", mode=0o700, uid=5, gid=6) + directory(b"usr") + file(b"usr/a"))
    case("root-entry-late", "the same after other entries", file(b"usr/a") + directory(b".", mode=0o700, uid=5, gid=6))
    case("root-as-file", "the root as a file", file(b".", b"data"), oracle="refused:InvalidInput")
    case("root-as-symlink", "the root as a symbolic link", symlink(b"./", b"usr"), oracle="refused:InvalidInput")
    case("dotdot-start", "`..` at the start", file(b"../escape"), oracle="refused:InvalidInput")
    case("dotdot-middle", "`..` leading out", file(b"usr/../../escape"), oracle="refused:InvalidInput")
    case("dotdot-harmless", "`..` that stays inside", file(b"usr/x/../a"), oracle="refused:InvalidInput")
    case("dotdot-end", "`..` at the end", directory(b"usr/x/.."), oracle="refused:InvalidInput")
    case("dotdot-name", "names that only look like it", file(b"usr/..a") + file(b"usr/a..") + file(b"usr/..."))
    case("dotdot-symlink", "a symbolic link may say `..`", symlink(b"usr/l", b"../../../etc/passwd"))
    case("dotdot-hardlink", "a hard link target with `..`", file(b"usr/a") + hardlink(b"usr/h", b"usr/../../etc/passwd"),
         oracle="refused:InvalidInput")
    case("hardlink-absolute", "hard link targets in every spelling",
         file(b"usr/a", b"data") + hardlink(b"usr/h1", b"/usr/a") + hardlink(b"usr/h2", b"./usr/a") + hardlink(b"/usr/h3", b"usr/a"))
    case("hardlink-unclean", "hard link targets with doubled slashes and dots",
         file(b"usr/a", b"data") + hardlink(b"usr/h1", b"usr//a") + hardlink(b"usr/h2", b"usr/./a"))
    case("slash-on-file", "a slash behind a file's name", file(b"usr/a/", b"data") + file(b"usr/b"),
         oracle="refused:Corrupt", why="a directory (POSIX), so its content is no header; the importer makes a file of it, libostree alone and GNU tar refuse")
    case("slash-on-empty-file", "the same without content: old archives mark directories so",
         file(b"usr/a/", b"", mode=0o700) + file(b"usr/b"),
         oracle="ostree", why="the importer makes a file of it; POSIX: a directory")
    case("slash-on-symlink", "a slash behind a symbolic link's name", symlink(b"usr/l/", b"target"))
    case("slash-on-hardlink", "a slash behind a hard link's name and target", file(b"usr/a", b"data") + hardlink(b"usr/h/", b"usr/a"))
    case("empty-name", "an entry without a name", file(b"") + file(b"usr/b"), oracle="refused:InvalidInput")
    case("slash-only-name", "an entry named by slashes only is the root", directory(b"//", mode=0o711) + directory(b"usr") + file(b"usr/b"),
         oracle="ostree", why="the importer refuses it")
    case("implied-parents", "parents that the archive does not name belong to whoever needs them first",
         file(b"usr/a/b/c", uid=7, gid=8) + file(b"usr/a/d/e", uid=9, gid=10) + file(b"usr/f"),
         oracle="same:implied-parents-named", why="libostree gives all directories above to whoever needed a parent last")
    case("implied-parents-named", "what that must give", directory(b".", uid=7, gid=8) + directory(b"usr", uid=7, gid=8) + directory(b"usr/a", uid=7, gid=8) +
         directory(b"usr/a/b", uid=7, gid=8) + file(b"usr/a/b/c", uid=7, gid=8) + directory(b"usr/a/d", uid=9, gid=10) + file(b"usr/a/d/e", uid=9, gid=10) + file(b"usr/f"))
    case("implied-keeps-metadata", "making a missing parent does not touch the directories above it",
         directory(b".", mode=0o711) + directory(b"root", mode=0o700, uid=1) + file(b"root/.ssh/key", uid=2),
         oracle="same:implied-keeps-metadata-named", why="libostree resets the metadata of everything above to 0755 and the entry's owner: /root becomes readable")
    case("implied-keeps-metadata-named", "what that must give", directory(b".", mode=0o711) + directory(b"root", mode=0o700, uid=1) +
         directory(b"root/.ssh", uid=2) + file(b"root/.ssh/key", uid=2))
    case("late-parents", "a directory's entry after its children",
         file(b"usr/a/b") + pax((b"SCHILY.xattr.user.d", b"1")) + directory(b"usr/a", mode=0o2700, uid=3, gid=4) + directory(b"usr"))
    case("implied-root", "nobody names the root: it belongs to the owner of the first entry",
         file(b"usr/a", uid=7, gid=8))
    case("parent-is-file", "a file's child", file(b"usr/a") + file(b"usr/a/b"), oracle="refused:InvalidInput")
    case("parent-is-symlink", "a symbolic link's child", directory(b"usr/lib") + symlink(b"lib", b"usr/lib") + file(b"lib/x"),
         oracle="refused:InvalidInput")


def places():
    case("etc-moves", "/etc is kept at /usr/etc", directory(b"etc", mode=0o750) + file(b"etc/a") + symlink(b"etc/l", b"../etc/a") +
         file(b"etcetera/x") + file(b"usr/etcetera"))
    case("etc-and-usr-etc", "both /etc and /usr/etc: one directory, the last entry wins",
         directory(b"etc", mode=0o700) + file(b"etc/both", b"from etc") + file(b"etc/a") +
         directory(b"usr/etc", mode=0o711) + file(b"usr/etc/both", b"from usr/etc") + file(b"usr/etc/b"))
    case("usr-etc-and-etc", "the other way round",
         directory(b"usr/etc", mode=0o711) + file(b"usr/etc/both", b"from usr/etc") + directory(b"etc", mode=0o700) +
         file(b"etc/both", b"from etc"))
    case("etc-is-symlink", "/etc as a symbolic link", symlink(b"etc", b"usr/etc") + file(b"usr/lib/x"))
    case("etc-pax-path", "a PAX path below /etc", pax((b"path", "etc/ssl/Főtanúsítvány.pem".encode())) + file(b"etc/ssl/F"))
    case("etc-gnu-long", "a GNU long name below /etc", gnu_long(b"L", b"etc/" + b"n" * 150) + file(b"etc/n", magic="gnu"))
    case("etc-hardlinks", "hard links from, to and inside /etc",
         file(b"etc/a", b"data") + hardlink(b"etc/h1", b"etc/a") + hardlink(b"etc/h2", b"/etc/a") + hardlink(b"etc/h3", b"./etc/a") +
         hardlink(b"usr/h4", b"etc/a") + hardlink(b"etc/h5", b"usr/etc/a"))
    case("etc-hardlink-long", "a long hard link target below /etc",
         pax((b"path", b"etc/" + b"n" * 150)) + file(b"c", b"data") + pax((b"linkpath", b"etc/" + b"n" * 150)) + hardlink(b"usr/h", b"c"))
    case("api-filesystems", "nothing below /run, /tmp, /proc, /sys, /dev",
         b"".join(directory(d, mode=0o711) + file(d + b"/x") + directory(d + b"/sub") for d in (b"run", b"tmp", b"proc", b"sys", b"dev")) +
         file(b"runner/x") + file(b"usr/tmp/x") + file(b"var/tmp/x"))
    case("api-implied", "their children do not make them", file(b"run/x") + file(b"./tmp/x") + file(b"/dev/x") + file(b"usr/a"))
    case("api-not-directories", "API file systems that are no directories", symlink(b"tmp", b"var/tmp") + file(b"run", b"data") + file(b"usr/a"))
    case("api-devices", "devices below /dev go the same way", entry(b"dev/null", kind=b"3", device=(1, 3)) + entry(b"dev/sda", kind=b"4", device=(8, 0)) +
         entry(b"run/fifo", kind=b"6") + directory(b"dev") + file(b"usr/a"))
    case("api-hardlink-from", "a hard link below /run is nothing", file(b"usr/a") + hardlink(b"run/h", b"usr/a"))
    case("api-hardlink-to", "a hard link to a file below /run", file(b"run/a", b"data") + hardlink(b"usr/h", b"run/a"),
         oracle="refused:InvalidInput")
    case("var", "/var stays where it is", directory(b"var", mode=0o711) + directory(b"var/lib", mode=0o700) + file(b"var/lib/x") + symlink(b"var/run", b"/run"))
    case("toplevels", "other top-level directories are kept", file(b"opt/a") + file(b"boot/vmlinuz") + file(b"srv/x") + file(b"init") +
         symlink(b"bin", b"usr/bin") + directory(b"mnt") + directory(b"sysroot") + symlink(b"ostree", b"sysroot/ostree"))
    case("leftovers", "empty hostname and resolv.conf of the builder vanish from the merged tree",
         file(b"etc/hostname", b"") + file(b"etc/resolv.conf", b"") + file(b"etc/a"))
    case("leftovers-with-content", "not if there is something in them", file(b"etc/hostname", b"h\n") + symlink(b"etc/resolv.conf", b"x"))
    case("leftovers-hide", "an empty one of an upper layer takes the lower one along",
         file(b"etc/hostname", b"h\n") + file(b"etc/a"), file(b"etc/hostname", b""))


def metadata():
    case("modes", "setuid, setgid, sticky and no permissions at all",
         file(b"usr/suid", mode=0o4755) + file(b"usr/sgid", mode=0o2755, uid=1, gid=2) + file(b"usr/none", mode=0) +
         directory(b"usr/sticky", mode=0o1777) + directory(b"usr/sgid.d", mode=0o2775))
    case("mode-with-type", "file type bits in the mode field", file(b"usr/a", mode=0o100644) + directory(b"usr/d", mode=0o040755) +
         file(b"usr/lie", mode=0o040755))
    case("owners", "owners up to 32 bits; names do not count",
         directory(b".") + directory(b"usr") + file(b"usr/a", uid=65534, gid=65534) + file(b"usr/b", uid=4294967294, gid=4294967294) + file(b"usr/c", uid=0, user=b"daemon", group=b"daemon") +
         pax((b"uid", b"100000"), (b"gid", b"200000")) + file(b"usr/d", uid=1, gid=1))
    case("owner-33-bits", "an owner beyond 32 bits", pax((b"uid", b"4294967296")) + file(b"usr/a"), oracle="refused:InvalidInput",
         why="libostree silently takes it modulo 2^32: root")
    case("owner-negative", "a negative owner", file(b"usr/a", uid=-1), oracle="refused:InvalidInput",
         why="the importer's parsers disagree on what it means")
    case("owner-garbage", "a PAX owner that is no number", pax((b"uid", b"zero")) + file(b"usr/a", uid=5), oracle="refused:Corrupt",
         why="libarchive reads it as 0: root")
    case("symlink-mode", "a symbolic link's mode is always 0777", entry(b"usr/l", kind=b"2", mode=0o600, link=b"x") + entry(b"usr/m", kind=b"2", mode=0, link=b"y"),
         oracle="tar", why="libostree counts the header's mode, which makes an object that fsck finds corrupt")
    case("mtime-old", "times before 1970, base-256 and PAX, with fraction",
         file(b"usr/a", mtime=-86400) + pax((b"mtime", b"-1.5")) + file(b"usr/b") + pax((b"mtime", b"1700000000.123456789")) + file(b"usr/c"))
    case("mtime-far", "times that no clock shows", file(b"usr/a", mtime=2 ** 62) + pax((b"mtime", b"99999999999999999999")) + file(b"usr/b") +
         pax((b"atime", b"x"), (b"ctime", b"")) + file(b"usr/c"), )
    case("global-pax", "a global header with a comment, as git makes it", pax((b"comment", b"0" * 40), kind=b"g", name=b"pax_global_header") + file(b"usr/a"),
         oracle="ostree", why="the importer passes its body on without its header")
    case("global-pax-path", "a global header that names paths and owners",
         pax((b"path", b"usr/evil"), (b"uid", b"99"), kind=b"g") + file(b"usr/a") + file(b"usr/b"),
         oracle="refused:InvalidInput")
    case("global-pax-owner", "a global header that names an owner only", pax((b"uid", b"99"), kind=b"g") + file(b"usr/a"), oracle="refused:InvalidInput")
    case("global-pax-xattr", "a global header with an attribute", pax((b"SCHILY.xattr.user.g", b"1"), kind=b"g") + file(b"usr/a"), oracle="refused:InvalidInput")
    case("pax-size", "PAX size overrides the header's", pax((b"size", b"700")) + header(b"usr/a", size=0) + padded(b"s" * 700) + file(b"usr/b"))
    case("pax-delete", "an empty PAX value deletes the record", pax((b"path", b"")) + file(b"usr/a") + file(b"usr/b"), oracle="ostree", why="the importer takes the empty path")
    case("pax-twice", "the same PAX key twice: the last counts", pax((b"path", b"usr/first"), (b"path", b"usr/second")) + file(b"usr/c"),
         oracle="ostree", why="the importer takes the first; POSIX: the last")
    case("pax-two-headers", "two extended headers in a row", pax((b"path", b"usr/first")) + pax((b"SCHILY.xattr.user.b", b"2")) + file(b"usr/c"),
         oracle="refused:Corrupt")
    case("pax-odd-keys", "keys that nobody knows", pax((b"VENDOR.key", b"v"), (b"SCHILY.dev", b"1"), (b"LIBARCHIVE.creationtime", b"1.0")) + file(b"usr/a"))
    case("pax-equals", "`=` in a value", pax((b"path", b"usr/a=b=c")) + file(b"usr/c"))
    case("pax-empty", "an extended header without records", pax() + file(b"usr/a"))


def xattrs():
    binary = bytes(range(256)) + b"\n\n=\n7 a=b\n"
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    schily = b"SCHILY.xattr."
    case("xattr-schily", "attributes out of order, on a file, a directory and a symbolic link",
         pax((schily + b"user.z", b"1"), (schily + b"user.a", b"2"), (schily + b"trusted.t", b"3")) + file(b"usr/a") +
         pax((schily + b"user.d", b"d")) + directory(b"usr/d") + pax((schily + b"trusted.l", b"l")) + symlink(b"usr/l", b"a"))
    case("xattr-libarchive", "attributes in libarchive's base64",
         pax((b"LIBARCHIVE.xattr.user.b", base64.b64encode(binary).rstrip(b"="))) + file(b"usr/a") +
         pax((b"LIBARCHIVE.xattr.user.c", base64.b64encode(b"padded=="))) + file(b"usr/b"))
    case("xattr-libarchive-name", "libarchive writes odd names percent-encoded",
         pax((b"LIBARCHIVE.xattr.user.a%3Db%25", base64.b64encode(b"v1")), (b"LIBARCHIVE.xattr.user.plain", base64.b64encode(b"v2"))) + file(b"usr/a"))
    case("xattr-schily-percent", "GNU tar writes `=` in a name as %3D",
         pax((schily + b"user.a%3Db", b"v")) + file(b"usr/a"),
         oracle="tar", why="libarchive takes the name as it stands; GNU tar, which writes it so, reads it back")
    case("xattr-schily-percent-other", "other percent signs stand for themselves", pax((schily + b"user.a%41%", b"v")) + file(b"usr/a"))
    case("xattr-both-forms", "the same attribute in both forms, as libarchive writes them",
         pax((schily + b"user.s", b"one"), (b"LIBARCHIVE.xattr.user.s", base64.b64encode(b"one"))) + file(b"usr/a"),
         oracle="tar", why="libostree counts it twice, which makes an object that fsck finds corrupt")
    case("xattr-forms-differ", "the same attribute in both forms, with different values",
         pax((b"LIBARCHIVE.xattr.user.s", base64.b64encode(b"lib")), (schily + b"user.s", b"sch")) + file(b"usr/a") +
         pax((schily + b"user.s", b"sch"), (b"LIBARCHIVE.xattr.user.s", base64.b64encode(b"lib"))) + file(b"usr/b"),
         oracle="tar", why="libostree counts both, which makes an object that fsck finds corrupt; the plain form wins")
    case("xattr-twice", "the same attribute twice in one header", pax((schily + b"user.s", b"one"), (schily + b"user.s", b"two")) + file(b"usr/a"),
         oracle="tar", why="libostree counts both, which makes an object that fsck finds corrupt; POSIX: the last")
    case("xattr-binary", "every byte, newlines that look like records",
         pax((schily + b"user.bin", binary)) + file(b"usr/a"),
         oracle="ostree", why="the importer's first parser stops at the newline")
    case("xattr-newline", "a value that is a newline", pax((schily + b"user.n", b"\n")) + file(b"usr/a"),
         oracle="ostree", why="the importer's first parser stops at the newline")
    case("xattr-capability", "security.capability", pax((schily + b"security.capability", capability)) + file(b"usr/a", mode=0o755))
    case("xattr-ima", "security.ima with a newline among its bytes",
         pax((schily + b"security.ima", b"\x03\x02\x04\x0a\x99\x00\x0a" + b"\x5a" * 60)) + file(b"usr/a", mode=0o755),
         oracle="ostree", why="the importer's first parser stops at the newline")
    case("xattr-selinux", "a label in the archive, with and without terminator",
         pax((schily + b"security.selinux", b"system_u:object_r:bin_t:s0\0")) + file(b"usr/a") +
         pax((schily + b"security.selinux", b"system_u:object_r:bin_t:s0")) + file(b"usr/b"))
    case("xattr-empty", "an attribute without value", pax((schily + b"user.empty", b""), (schily + b"user.full", b"v")) + file(b"usr/a") +
         pax((schily + b"user.only-empty", b"")) + file(b"usr/b") + pax((schily + b"user.dir-empty", b"")) + directory(b"usr/d"),
         oracle="tar", why="libostree drops it from the file but not from the checksum: fsck finds the object corrupt")
    case("xattr-acl", "POSIX ACLs in star's text form are not attributes",
         pax((b"SCHILY.acl.access", b"user::rw-,user:bin:r--,group::r--,mask::r--,other::r--")) + file(b"usr/a"))
    case("xattr-acl-xattr", "POSIX ACLs as attributes", pax((schily + b"system.posix_acl_access", bytes.fromhex("0200000001000600ffffffff020004000100000004000400ffffffff10000400ffffffff20000400ffffffff"))) + file(b"usr/a"))
    case("xattr-on-hardlink", "attributes of a hard link's entry do not count",
         file(b"usr/a", b"data") + pax((schily + b"user.h", b"1")) + hardlink(b"usr/h", b"usr/a"))
    case("xattr-on-root", "attributes of the root", pax((schily + b"user.root", b"1")) + directory(b".") + directory(b"usr") + file(b"usr/a"))
    case("xattr-big", "a large value", pax((schily + b"user.big", b"v" * 3000)) + file(b"usr/a"))
    case("xattr-no-name", "an attribute without a name", pax((schily, b"v")) + file(b"usr/a"), oracle="refused:InvalidInput",
         why="libarchive drops it silently")
    case("xattr-long-name", "a name of more than 255 bytes", pax((schily + b"user." + b"n" * 300, b"v")) + file(b"usr/a"),
         oracle="refused:InvalidInput", why="libarchive drops it silently")
    case("xattr-bad-base64", "base64 that is none", pax((b"LIBARCHIVE.xattr.user.s", b"!!!")) + file(b"usr/a"),
         oracle="refused:InvalidInput", why="libarchive takes what it can read")


def links():
    case("hardlink-after", "hard links after their target", directory(b".") + directory(b"usr") + file(b"usr/a", b"data", mode=0o4755, uid=1) + hardlink(b"usr/b", b"usr/a") + hardlink(b"usr/c", b"usr/a", mode=0, uid=9))
    case("hardlink-before", "a hard link before its target", hardlink(b"usr/b", b"usr/a") + file(b"usr/a", b"data"))
    case("hardlink-chain", "hard links to hard links", file(b"usr/a", b"data") + hardlink(b"usr/b", b"usr/a") + hardlink(b"usr/c", b"usr/b"),
         oracle="tar", why="libostree resolves in the order of a hash table and fails if the last comes first")
    case("hardlink-chain-backwards", "the same in the wrong order", hardlink(b"usr/c", b"usr/b") + hardlink(b"usr/b", b"usr/a") + file(b"usr/a", b"data"),
         oracle="same:hardlink-chain", why="as above; a link before its target is fine (libostree), so a chain is")
    case("hardlink-to-symlink", "a hard link to a symbolic link", symlink(b"usr/l", b"target") + hardlink(b"usr/h", b"usr/l"))
    case("hardlink-to-directory", "a hard link to a directory", directory(b"usr/d") + hardlink(b"usr/h", b"usr/d"), oracle="refused:InvalidInput")
    case("hardlink-to-root", "a hard link to the root", directory(b"./") + hardlink(b"usr/h", b"./"), oracle="refused:InvalidInput")
    case("hardlink-to-self", "a hard link to itself", hardlink(b"usr/h", b"usr/h"), oracle="refused:InvalidInput")
    case("hardlink-to-self-replaced", "a file, then a hard link to itself", file(b"usr/h", b"data") + hardlink(b"usr/h", b"usr/h"))
    case("hardlink-dangling", "a hard link to nothing", file(b"usr/a") + hardlink(b"usr/h", b"usr/none"), oracle="refused:InvalidInput")
    case("hardlink-empty-target", "a hard link without target", hardlink(b"usr/h", b""), oracle="refused:InvalidInput")
    case("hardlink-with-size", "a hard link whose size field repeats the file's", file(b"usr/a", b"d" * 600) +
         header(b"usr/h", kind=b"1", link=b"usr/a", size=600) + file(b"usr/z"),
         oracle="same:hardlink-with-size-0", why="the importer takes the next header for data and loses /usr/z; libostree alone and GNU tar do not")
    case("hardlink-with-size-0", "the same with size 0", file(b"usr/a", b"d" * 600) + hardlink(b"usr/h", b"usr/a") + file(b"usr/z"))
    case("hardlink-target-replaced", "the target is replaced after the link was made",
         file(b"usr/a", b"old") + hardlink(b"usr/h", b"usr/a") + file(b"usr/a", b"new"),
         oracle="tar", why="libostree looks at the end and links to the new file; a link is made to what is there")
    case("hardlink-replaced", "the link is replaced by a file later", file(b"usr/a", b"one") + hardlink(b"usr/h", b"usr/a") + file(b"usr/h", b"two"),
         oracle="tar", why="libostree makes links last and so overwrites the later entry; the last entry wins")
    case("hardlink-before-replaced", "a link before its target, replaced by a file in between",
         hardlink(b"usr/h", b"usr/a") + file(b"usr/h", b"two") + file(b"usr/a", b"one"),
         oracle="same:hardlink-replaced", why="as above")
    case("hardlink-replaces-file", "a file, then a link of the same name", file(b"usr/a", b"one") + file(b"usr/h", b"two") + hardlink(b"usr/h", b"usr/a"))
    case("hardlink-to-earlier-layer", "a hard link to a file of an earlier layer", file(b"usr/a", b"data", mode=0o755), hardlink(b"usr/h", b"usr/a"),
         oracle="tar", why="the importer cannot: it imports each layer by itself")
    case("hardlink-to-earlier-etc", "the same into /etc", file(b"etc/a", b"data"), hardlink(b"etc/h1", b"etc/a") + hardlink(b"usr/h2", b"./etc/a") + hardlink(b"etc/h3", b"/usr/etc/a"),
         oracle="same:etc-hardlink-merged", why="the importer cannot: it imports each layer by itself")
    case("etc-hardlink-merged", "what that must give", file(b"etc/a", b"data") + file(b"etc/h1", b"data") + file(b"usr/h2", b"data") + file(b"etc/h3", b"data"))
    case("hardlink-over-two-layers", "a hard link two layers down, chained",
         file(b"usr/a", b"data"), hardlink(b"usr/b", b"usr/a"), hardlink(b"usr/c", b"usr/b") + hardlink(b"usr/d", b"usr/c"),
         oracle="tar", why="the importer cannot: it imports each layer by itself")
    case("hardlink-to-earlier-symlink", "to a symbolic link of an earlier layer", symlink(b"usr/l", b"t"), hardlink(b"usr/h", b"usr/l"),
         oracle="tar", why="the importer cannot: it imports each layer by itself")
    case("hardlink-to-earlier-directory", "to a directory of an earlier layer", directory(b"usr/d"), hardlink(b"usr/h", b"usr/d"),
         oracle="refused:InvalidInput")
    case("hardlink-to-whiteout", "to a file that the same layer removes", file(b"usr/a", b"data") + file(b"usr/keep"), file(b"usr/.wh.a", b"") + hardlink(b"usr/h", b"usr/a"),
         oracle="same:hardlink-to-whiteout-named", why="the importer cannot; a whiteout counts for the finished layer, and the link was made to the lower file")
    case("hardlink-to-whiteout-named", "what that must give", file(b"usr/keep") + file(b"usr/h", b"data"))
    case("hardlink-to-earlier-replaced", "to a file of an earlier layer that the same layer replaces afterwards",
         file(b"usr/a", b"old"), hardlink(b"usr/h", b"usr/a") + file(b"usr/a", b"new"),
         )
    case("hardlink-parents", "a hard link's parents that nobody names", directory(b".") + directory(b"usr") + file(b"usr/a") + hardlink(b"usr/new/dir/h", b"usr/a", uid=4, gid=5),
         oracle="same:hardlink-parents-named", why="libostree resets the directories above")
    case("hardlink-parents-named", "what that must give", directory(b".") + directory(b"usr") + file(b"usr/a") +
         directory(b"usr/new", uid=4, gid=5) + directory(b"usr/new/dir", uid=4, gid=5) + hardlink(b"usr/new/dir/h", b"usr/a"))


def sysroot():
    obj = b"sysroot/ostree/repo/objects/aa/" + b"b" * 62 + b".file"
    other = b"sysroot/ostree/repo/objects/cc/" + b"d" * 62 + b".file"
    case("sysroot-plain", "the repository inside is not part of the tree", directory(b"sysroot") + directory(b"sysroot/ostree/repo/objects/aa") +
         file(b"sysroot/ostree/repo/config", b"[core]\n") + file(obj, b"object") + file(b"usr/a"),
         oracle="same:sysroot-plain-kept", why="the importer stores it as files of the tree")
    case("sysroot-plain-kept", "what that must give", directory(b"sysroot") + file(b"usr/a"))
    case("sysroot-modified", "objects that a build step has modified (mtime > 0) and their links",
         file(obj, b"changed", mtime=1700000000, mode=0o755) + hardlink(b"usr/bin/a", obj, mtime=1700000000) + hardlink(b"usr/bin/b", obj, mtime=1700000000) +
         file(other, b"other", mtime=1700000000) + hardlink(b"etc/c", other, mtime=1700000000),
         oracle="same:sysroot-modified-named", why="the importer forgets to move /etc for such links")
    case("sysroot-modified-named", "what that must give", file(b"usr/bin/a", b"changed", mode=0o755) + hardlink(b"usr/bin/b", b"usr/bin/a") + file(b"etc/c", b"other"))
    case("sysroot-modified-twice", "without /etc", file(obj, b"changed", mtime=1700000000, mode=0o755) + hardlink(b"usr/bin/a", obj, mtime=1700000000) + hardlink(b"usr/bin/b", obj, mtime=1700000000))
    case("sysroot-unmodified", "unmodified objects and their links, as `tar` of an encapsulated image has them",
         file(obj, b"object") + hardlink(b"usr/a", obj) + hardlink(b"usr/b", b"/" + obj),
         oracle="same:sysroot-unmodified-named", why="the importer stores the object as a file of the tree besides")
    case("sysroot-unmodified-named", "what that must give", file(b"usr/a", b"object") + hardlink(b"usr/b", b"usr/a"))
    case("sysroot-before", "a link before the object", hardlink(b"usr/a", obj, mtime=5) + file(obj, b"object", mtime=5),
         oracle="same:sysroot-before-named", why="the importer drops the link silently")
    case("sysroot-before-named", "what that must give", file(b"usr/a", b"object"))
    case("sysroot-earlier-layer", "a link to an object that only an earlier layer's repository has",
         file(obj, b"object") + file(b"usr/x"), hardlink(b"usr/a", obj, mtime=5),
         oracle="refused:InvalidInput", why="the importer drops the link silently; only objects of an encapsulated commit can be named from other layers")


def whiteouts():
    lower = directory(b"usr") + file(b"usr/a", b"1") + file(b"usr/b", b"1") + directory(b"usr/d", mode=0o711) + file(b"usr/d/x", b"1") + directory(b"usr/d/e") + file(b"usr/d/e/y", b"1") + file(b"etc/conf", b"1")
    wh = lambda path: file(path, b"")
    case("wh-file", "a file removed", lower, wh(b"usr/.wh.a"))
    case("wh-directory", "a directory removed with everything in it", lower, wh(b"usr/.wh.d"))
    case("wh-nested", "inside directories", lower, wh(b"usr/d/e/.wh.y") + wh(b"usr/d/.wh.x"))
    case("wh-missing", "whiteouts for what is not there make nothing but their directories", lower, wh(b"usr/.wh.none") + wh(b"usr/new/.wh.none"))
    case("wh-etc", "in /etc", lower, wh(b"etc/.wh.conf"))
    case("wh-etc-directory", "of /etc", lower, wh(b".wh.etc"), oracle="same:wh-etc-directory-named",
         why="the importer looks for a file `.wh.etc` beside /usr/etc; what is meant is the directory that /etc became")
    case("wh-etc-directory-named", "what that must give", lower, wh(b"usr/.wh.etc"))
    case("wh-top", "of a top-level directory", lower, wh(b".wh.usr") + file(b"opt/x"))
    case("wh-first-layer", "in the first layer, where nothing is below", wh(b"usr/.wh.a") + file(b"usr/b") + wh(b"usr/d/.wh..wh..opq") + file(b"usr/d/z"))
    case("wh-and-new-after", "removed, and new in the same layer", lower, wh(b"usr/.wh.a") + file(b"usr/a", b"2"))
    case("wh-and-new-before", "the other way round: a whiteout never counts for its own layer", lower, file(b"usr/a", b"2") + wh(b"usr/.wh.a"))
    case("wh-sorts-after", "a name that sorts before its whiteout", file(b"usr/!x", b"1"), file(b"usr/!x", b"2") + wh(b"usr/.wh.!x"),
         oracle="same:wh-sorts-after-named", why="libostree goes by name, so the whiteout removes the new file; a whiteout never counts for its own layer")
    case("wh-sorts-after-named", "what that must give", file(b"usr/!x", b"2"))
    case("wh-directory-new", "a directory removed and made again, with other metadata", lower, wh(b"usr/.wh.d") + directory(b"usr/d", mode=0o700, uid=5) + file(b"usr/d/z", b"2"))
    case("wh-directory-to-file", "a directory removed, a file in its place", lower, wh(b"usr/.wh.d") + file(b"usr/d", b"2"))
    case("wh-opaque", "an opaque directory", lower, directory(b"usr/d", mode=0o700) + wh(b"usr/d/.wh..wh..opq") + file(b"usr/d/z", b"2"))
    case("wh-opaque-late", "the mark after the new content", lower, file(b"usr/d/z", b"2") + file(b"usr/d/e/n", b"2") + wh(b"usr/d/.wh..wh..opq"))
    case("wh-opaque-root", "the root opaque", lower, wh(b".wh..wh..opq") + file(b"opt/x", b"2"))
    case("wh-opaque-etc", "/etc opaque", lower + file(b"etc/more", b"1"), wh(b"etc/.wh..wh..opq") + file(b"etc/z", b"2"))
    case("wh-opaque-over-file", "an opaque directory over a file", lower, wh(b"usr/a/.wh..wh..opq") + file(b"usr/a/z", b"2"))
    case("wh-opaque-and-file", "opaque and a whiteout inside", lower, wh(b"usr/d/.wh..wh..opq") + wh(b"usr/d/.wh.x") + file(b"usr/d/z", b"2"))
    case("wh-three-layers", "removed in the second layer, back in the third", lower, wh(b"usr/.wh.d"), file(b"usr/d/again", b"3"))
    case("wh-aufs", "names that aufs left behind", lower, wh(b".wh..wh.aufs") + directory(b".wh..wh.plnk", mode=0o700) + wh(b".wh..wh.orph") + file(b"usr/z", b"2"),
         oracle="same:wh-aufs-named", why="the names are reserved whatever the type (image-spec); the importer keeps the directory")
    case("wh-aufs-named", "what that must give", lower, file(b"usr/z", b"2"))
    case("wh-empty", "a whiteout for nothing", lower, wh(b"usr/.wh."), oracle="refused:InvalidInput")
    case("wh-dot", "a whiteout of `.`", lower, wh(b"usr/.wh.."), oracle="refused:InvalidInput")
    case("wh-dotdot", "a whiteout of `..`", lower, wh(b".wh..."), oracle="refused:InvalidInput")
    case("wh-symlink", "a symbolic link with a whiteout's name", lower, symlink(b"usr/.wh.a", b"x") + file(b"usr/z", b"2"),
         oracle="same:wh-file-and-z", why="the names are reserved whatever the type (image-spec); libostree stores the link")
    case("wh-file-and-z", "what that must give", lower, wh(b"usr/.wh.a") + file(b"usr/z", b"2"))
    case("wh-as-directory", "a directory with a whiteout's name", lower, directory(b"usr/.wh.a") + file(b"usr/.wh.a/f", b"2") + file(b"usr/z", b"2"),
         oracle="same:wh-file-and-z", why="the names are reserved whatever the type (image-spec); libostree stores the directory")
    case("wh-with-content", "a whiteout that is not empty", lower, directory(b".") + directory(b"usr") + file(b"usr/.wh.a", b"content", mode=0o600, uid=4) + file(b"usr/z", b"2"))
    case("wh-hardlinked", "builders write all whiteouts but the first as hard links", lower,
         wh(b"usr/.wh.a") + hardlink(b"usr/.wh.b", b"usr/.wh.a") + hardlink(b"usr/d/.wh.x", b"usr/.wh.a"))
    case("wh-overlayfs", "overlayfs' own form, a device 0/0", lower, entry(b"usr/a", kind=b"3", device=(0, 0)), oracle="refused:InvalidInput")
    case("wh-ostree-quoted", "libostree's quoted overlayfs whiteouts are files", lower, file(b"usr/.ostree-wh.a", b"") + file(b"usr/z", b"2"))
    case("wh-replaces-implied", "a whiteout and an implied directory of the same name", lower, wh(b"usr/.wh.b") + file(b"usr/b/in", b"2"))


def replaced():
    lower = directory(b"usr") + file(b"usr/f", b"1") + directory(b"usr/d", mode=0o711, uid=3) + file(b"usr/d/x", b"1") + symlink(b"usr/l", b"d") + symlink(b"usr/dangling", b"none")
    case("type-file-to-directory", "a file becomes a directory", lower, directory(b"usr/f", mode=0o700) + file(b"usr/f/new", b"2"))
    case("type-file-to-implied", "a file becomes a directory that nobody names", lower, file(b"usr/f/new", b"2"))
    case("type-directory-to-file", "a directory becomes a file", lower, file(b"usr/d", b"2"))
    case("type-directory-to-symlink", "a directory becomes a symbolic link", lower, symlink(b"usr/d", b"elsewhere"))
    case("type-symlink-to-directory", "a symbolic link to a directory becomes one", lower, directory(b"usr/l", mode=0o700) + file(b"usr/l/new", b"2"))
    case("type-symlink-to-implied", "the same, nobody names it: nothing goes through the link", lower, file(b"usr/l/new", b"2"))
    case("type-dangling-to-directory", "a dangling symbolic link becomes a directory", lower, file(b"usr/dangling/new", b"2"))
    case("type-symlink-to-file", "a symbolic link becomes a file", lower, file(b"usr/l", b"2"))
    case("type-file-to-symlink", "a file becomes a symbolic link", lower, symlink(b"usr/f", b"d"))
    case("type-usrmerge", "/lib as a link below, as a directory above", file(b"usr/lib/x", b"1") + symlink(b"lib", b"usr/lib"), file(b"lib/modules/y", b"2"))
    case("meta-first-layer", "a directory's metadata: the first layer that has it", lower, directory(b".") + directory(b"usr") + pax((b"SCHILY.xattr.user.d", b"2")) + directory(b"usr/d", mode=0o700, uid=9) + file(b"usr/d/y", b"2"))
    case("meta-root", "the same for the root", directory(b".", mode=0o711) + directory(b"usr") + file(b"usr/a"), directory(b".", mode=0o700) + directory(b"usr") + file(b"usr/b"))
    case("meta-implied-first", "an implied directory counts as well", file(b"usr/d/x"), directory(b".") + directory(b"usr") + directory(b"usr/d", mode=0o700, uid=9))
    case("meta-file", "a file's metadata: the last layer", file(b"usr/f", b"same", mode=0o644), directory(b".") + directory(b"usr") + file(b"usr/f", b"same", mode=0o600, uid=5))
    case("twice-file", "a file twice in one layer: the last counts", file(b"usr/a", b"one", mode=0o600) + file(b"usr/a", b"two"))
    case("twice-spelled", "the same under different spellings", file(b"usr/a", b"one") + file(b"./usr//a", b"two"))
    case("twice-directory", "a directory twice: the last metadata, all content", directory(b"usr/d", mode=0o700) + file(b"usr/d/x") + directory(b"usr/d", mode=0o755, uid=5))
    case("twice-symlink-file", "a symbolic link, then a file, then a link", symlink(b"usr/a", b"t") + file(b"usr/a", b"two") + symlink(b"usr/a", b"u"))
    case("twice-file-directory", "a file, then a directory", file(b"usr/a", b"one") + directory(b"usr/a"), oracle="tar",
         why="libostree fails; the last entry wins as it does between layers")
    case("twice-directory-file", "a directory with content, then a file", directory(b"usr/a") + file(b"usr/a/x") + file(b"usr/a", b"two"), oracle="same:twice-directory-file-named",
         why="libostree fails; the last entry wins as it does between layers")
    case("twice-directory-file-named", "what that must give", file(b"usr/a", b"two"))
    case("twice-directory-symlink", "an empty directory, then a symbolic link", directory(b"usr/a") + symlink(b"usr/a", b"t"), oracle="tar",
         why="libostree fails; the last entry wins as it does between layers")


def types():
    for kind, name in ((b"3", "char"), (b"4", "block"), (b"6", "fifo")):
        case("device-" + name, "a device or fifo outside of the API file systems", entry(b"usr/node", kind=kind, device=(1, 3)) + file(b"usr/a"),
             oracle="refused:InvalidInput")
    case("device-then-removed", "also when an upper layer removes it", entry(b"usr/node", kind=b"3", device=(1, 3)), file(b"usr/.wh.node", b""),
         oracle="refused:InvalidInput")
    case("directory-with-size", "a directory whose size field is not 0, with no data", header(b"usr/d", kind=b"5", mode=0o755, size=4096) + file(b"usr/a") * 9)
    case("symlink-with-size", "a symbolic link whose size field is not 0, with no data", header(b"usr/l", kind=b"2", mode=0o777, link=b"t", size=6) + file(b"usr/a"),
         oracle="ostree", why="the importer's first parser takes the next header for data")
    case("device-with-size", "a device whose size field is not 0, below /dev", header(b"dev/null", kind=b"3", size=512) + file(b"usr/a"),
         oracle="same:device-with-size-named", why="POSIX: no data; the importer's first parser takes the next header for them")
    case("device-with-size-named", "what that must give", file(b"usr/a"))
    case("dumpdir", "GNU's incremental directory", entry(b"usr/d", b"Yfile\0\0", kind=b"D", magic="gnu") + file(b"usr/a"))


def sparse():
    size = 20480
    # GNU tar ends a map with an empty region when there is a hole at the end.
    chunks = [(0, b"a" * 512), (4096, b"b" * 1024), (10240, b"c" * 512), (size, b"")]
    many = [(i * 8192, b"%04d" % i * 128) for i in range(30)] + [(30 * 8192, b"")]
    data = b"".join(c for _, c in chunks)
    pairs = [(o, len(c)) for o, c in chunks]
    flat = b",".join(b"%d,%d" % p for p in pairs)
    pax00 = b"".join(record(b"GNU.sparse.offset", b"%d" % o) + record(b"GNU.sparse.numbytes", b"%d" % n) for o, n in pairs)
    why = "the importer's first parser refuses the map"
    lost = "the importer stores a part of the packed bytes as the file and loses what follows"
    case("sparse-old-gnu", "GNU tar's old format", old_gnu_sparse(b"usr/s", size, chunks) + file(b"usr/z"), oracle="ostree", why=lost)
    case("sparse-old-gnu-extended", "with extension blocks", old_gnu_sparse(b"usr/s", 30 * 8192, many) + file(b"usr/z"), oracle="ostree", why=lost)
    case("sparse-old-gnu-short", "without the empty region at the end", old_gnu_sparse(b"usr/s", size, chunks[:3]) + file(b"usr/z"), oracle="ostree", why=why)
    case("sparse-pax-00", "PAX 0.0",
         pax(raw=record(b"GNU.sparse.size", b"%d" % size) + record(b"GNU.sparse.numblocks", b"4") + pax00) + file(b"usr/s", data) + file(b"usr/z"))
    case("sparse-pax-01", "PAX 0.1",
         pax((b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"4"), (b"GNU.sparse.name", b"usr/s"), (b"GNU.sparse.map", flat)) +
         file(b"GNUSparseFile.1/s", data) + file(b"usr/z"))
    table = padded(b"4\n" + b"".join(b"%d\n%d\n" % p for p in pairs))
    case("sparse-pax-10", "PAX 1.0",
         pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"usr/s"), (b"GNU.sparse.realsize", b"%d" % size)) +
         file(b"GNUSparseFile.1/s", table + data) + file(b"usr/z"))
    case("sparse-etc", "PAX 1.0 below /etc: the real name counts",
         pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"etc/s"), (b"GNU.sparse.realsize", b"%d" % size)) +
         file(b"run/GNUSparseFile.1/s", table + data) + file(b"usr/z"), oracle="same:sparse-etc-expanded",
         why="the importer goes by the other name and drops the file with the rest of /run")
    whole = bytearray(size)
    for o, c in chunks:
        whole[o:o + len(c)] = c
    case("sparse-etc-expanded", "what that must give", file(b"etc/s", bytes(whole)) + file(b"usr/z"))
    case("sparse-all-hole", "nothing but a hole", old_gnu_sparse(b"usr/s", 8192, [], regions=[(8192, 0)]) + file(b"usr/z"),
         oracle="ostree", why="the importer takes the next header for data and loses /usr/z")
    case("sparse-hardlink", "a hard link to a sparse file", old_gnu_sparse(b"usr/s", size, chunks) + hardlink(b"usr/h", b"usr/s", magic="gnu"), oracle="ostree", why=lost)
    case("sparse-overlap", "regions that overlap", old_gnu_sparse(b"usr/s", size, chunks, regions=[(0, 512), (256, 1024), (10240, 512)]),
         oracle="refused:InvalidInput", why="libostree alone takes some of these; no writer makes them")
    case("sparse-unordered", "regions out of order", old_gnu_sparse(b"usr/s", size, chunks, regions=[(4096, 512), (0, 1024), (10240, 512)]),
         oracle="refused:InvalidInput", why="libostree alone takes some of these; no writer makes them")
    case("sparse-beyond-end", "a region beyond the file's size", old_gnu_sparse(b"usr/s", 4096, chunks), oracle="refused:InvalidInput",
         why="libostree alone takes some of these; no writer makes them")
    case("sparse-short-map", "a map that leaves data over", old_gnu_sparse(b"usr/s", size, chunks, regions=[(0, 512)]) + file(b"usr/z"),
         oracle="refused:InvalidInput", why="libostree alone takes some of these; no writer makes them")
    case("sparse-bomb", "a hole of 3 GiB in a layer of 2 KiB", old_gnu_sparse(b"usr/s", 3 << 30, [(0, b"a" * 512)]),
         oracle="refused:InvalidInput", why="a hole is a decompression bomb like any other")


def sizes():
    case("size-base256", "a size in base-256", header(b"usr/a", size=700, fields={124: b"\x80" + (700).to_bytes(11, "big")}) + padded(b"s" * 700) + file(b"usr/b"))
    case("size-9gib-truncated", "9 GiB announced, little there", header(b"usr/a", size=9 << 30) + padded(b"s" * 700), end=b"",
         oracle="refused:Corrupt")
    case("size-9gib-pax", "the same by PAX", pax((b"size", b"%d" % (9 << 30))) + header(b"usr/a", size=0) + padded(b"s" * 700), end=b"",
         oracle="refused:Corrupt")
    case("size-negative", "a negative size", header(b"usr/a", fields={124: b"\xff" * 12}) + file(b"usr/b"), oracle="refused:Corrupt")
    case("size-huge", "a size of 2^64 and more", header(b"usr/a", fields={124: b"\x80\x00\x00\x01" + bytes(8)}) + file(b"usr/b"), oracle="refused:Corrupt")
    case("size-pax-huge", "a PAX size beyond 64 bits", pax((b"size", b"99999999999999999999999")) + file(b"usr/a"), oracle="refused:Corrupt")
    case("size-pax-garbage", "a PAX size that is no number", pax((b"size", b"0x10")) + file(b"usr/a"), oracle="refused:Corrupt")
    case("size-spaces", "numbers with spaces around, without leading zeros or terminator",
         header(b"usr/a", fields={100: b"   644 \0", 108: b"     0 \0", 124: b"       1274 ", 136: b"00000000000 "}) + padded(b"s" * 700) +
         header(b"usr/b", fields={124: b"000000000004"}) + padded(b"four"))
    case("size-garbage", "a size that is no number", header(b"usr/a", fields={124: b"zzzzzzzzzzz\0"}) + file(b"usr/b"), oracle="refused:Corrupt")
    case("size-empty-fields", "fields left empty are 0", header(b"usr/a", fields={100: bytes(8), 108: bytes(8), 116: bytes(8), 124: bytes(12), 136: bytes(12)}) + file(b"usr/b"),
         oracle="ostree", why="the importer's first parser refuses them")


def damage():
    body = file(b"usr/a", b"a" * 700) + file(b"usr/b", b"b" * 700)
    case("empty-archive", "nothing but the end", b"")
    case("no-bytes", "no bytes at all", b"", end=b"")
    case("root-only", "only the root", directory(b"./", mode=0o711))
    case("end-missing", "no end blocks", body, end=b"")
    case("end-one-block", "one end block", body, end=bytes(BLOCK))
    case("end-trailing-zeros", "a lot of end blocks", body, end=bytes(20 * BLOCK))
    case("end-trailing-garbage", "garbage behind the end is not read", body, end=END + b"garbage" * 1000)
    case("end-trailing-archive", "a second archive behind the end is not read", body + END + file(b"usr/c"))
    case("zero-block-inside", "one zero block ends an archive, whatever follows", file(b"usr/a") + bytes(BLOCK) + file(b"usr/b"))
    case("truncated-header", "cut inside of a header", body + header(b"usr/c")[:300], end=b"", oracle="refused:Corrupt")
    case("truncated-body", "cut inside of a file", body[:BLOCK + 300], end=b"", oracle="refused:Corrupt")
    case("truncated-padding", "cut inside of the padding", body[:-100], end=b"", oracle="refused:Corrupt")
    case("truncated-pax", "cut inside of an extended header", pax((b"path", b"usr/" + b"n" * 100))[:BLOCK + 50], end=b"", oracle="refused:Corrupt")
    case("pax-at-end", "an extended header without its entry", file(b"usr/a") + pax((b"path", b"usr/x")), oracle="refused:Corrupt",
         why="libostree alone takes it; something was meant to follow")
    case("gnu-long-at-end", "a long name without its entry", file(b"usr/a") + gnu_long(b"L", b"usr/" + b"n" * 200), oracle="refused:Corrupt",
         why="libostree alone takes it; something was meant to follow")
    case("checksum-bad", "a header with a wrong checksum", file(b"usr/a") + header(b"usr/b", checksum=12345), oracle="refused:Corrupt")
    case("checksum-first", "in the first header", header(b"usr/b", checksum=12345) + file(b"usr/a"), oracle="refused:Corrupt")
    case("checksum-signed", "a checksum of signed bytes", signed_checksum(header("usr/é".encode())) + file(b"usr/a"),
         oracle="refused:Corrupt", why="libostree alone takes it, the importer's first parser does not; no writer of images makes it")
    case("checksum-forms", "checksum fields in other forms", header(b"usr/a", checksum=b"%07o\0" % sum(header(b"usr/a", checksum=b" " * 8))) +
         header(b"usr/b", checksum=b"%6o\0 " % sum(header(b"usr/b", checksum=b" " * 8))))
    case("pax-bad-length-short", "a PAX record shorter than it says", pax(raw=b"99 path=usr/x\n") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-bad-length-zero", "a PAX record of length 0", pax(raw=b"0 path=usr/x\n") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-bad-length-text", "a PAX record without length", pax(raw=b"path=usr/x\n") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-bad-length-huge", "a PAX record longer than memory", pax(raw=b"99999999999999999999999 path=usr/x\n") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-no-equals", "a PAX record without `=`", pax(raw=b"10 pathusr\n") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-no-newline", "a PAX record without newline", pax(raw=b"15 path=usr/xyzz") + file(b"usr/a"), oracle="refused:Corrupt")
    case("pax-huge", "an extended header of 2 MiB", pax((b"comment", b"c" * (2 << 20))) + file(b"usr/a"), oracle="refused:Corrupt",
         why="the stated limit for extended headers is 1 MiB")
    case("pax-many", "an extended header of 5000 records", pax(*[(b"VENDOR.k%d" % i, b"v") for i in range(5000)]) + file(b"usr/a"))
    case("gnu-long-huge", "a GNU long name of 2 MiB", gnu_long(b"L", b"usr/" + b"n" * (2 << 20)) + file(b"usr/a", magic="gnu"), oracle="refused:Corrupt",
         why="the importer and libostree cut it, each in its way; no path is that long")
    case("gnu-long-no-nul", "a GNU long name without terminator", entry(b"././@LongLink", b"usr/name", kind=b"L", magic="gnu") + file(b"usr/a", magic="gnu"))
    case("not-a-tar", "text", b"this is no archive\n" * 100, end=b"", oracle="refused:Corrupt")


def main():
    for make in (names, paths, places, metadata, xattrs, links, sysroot, whiteouts, replaced, types, sparse, sizes, damage):
        make()
    here = sys.argv[1]
    os.makedirs(os.path.join(here, "archives"), exist_ok=True)
    with open(os.path.join(here, "cases.tsv"), "w") as table:
        for name, about, layers, oracle, why in CASES:
            for index, layer in enumerate(layers):
                with open(os.path.join(here, "archives", f"{name}.{index}.tar.gz"), "wb") as out:
                    out.write(gzip.compress(layer, 9, mtime=0))
            print(name, len(layers), oracle, about, why, sep="\t", file=table)
    assert len({c[0] for c in CASES}) == len(CASES)


main()
