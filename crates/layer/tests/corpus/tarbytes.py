"""Tar archives byte by byte, so that they can also be wrong."""

BLOCK = 512
END = bytes(2 * BLOCK)


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def number(value, width):
    """A number field: octal if it fits, else base-256 (GNU)."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big") if value >= 0 else \
        b"\xff" + (value % 256 ** (width - 1)).to_bytes(width - 1, "big")


def header(name, kind=b"0", size=0, mode=0o644, uid=0, gid=0, mtime=0, link=b"", magic="ustar", prefix=b"",
           device=(0, 0), checksum=None, fields=None, user=b"", group=b""):
    """One header block. `fields` maps offsets to raw bytes that replace what was computed."""
    block = bytearray(BLOCK)

    def put(at, data, width):
        block[at:at + min(len(data), width)] = data[:width]

    put(0, name, 100)
    put(100, number(mode, 8), 8)
    put(108, number(uid, 8), 8)
    put(116, number(gid, 8), 8)
    put(124, number(size, 12), 12)
    put(136, number(mtime, 12), 12)
    put(156, kind, 1)
    put(157, link, 100)
    if magic == "ustar":
        put(257, b"ustar\x0000", 8)
    elif magic == "gnu":
        put(257, b"ustar  \0", 8)
    if magic != "v7":
        put(265, user, 32)
        put(297, group, 32)
        put(329, number(device[0], 8), 8)
        put(337, number(device[1], 8), 8)
        put(345, prefix, 155)
    for at, data in (fields or {}).items():
        put(at, data, len(data))
    block[148:156] = b" " * 8
    total = sum(block) if checksum is None else checksum
    block[148:156] = total if isinstance(total, bytes) else b"%06o\0 " % total
    return bytes(block)


def signed_checksum(block):
    """The header again, with the checksum as computed by programs whose char is signed."""
    bare = bytearray(block)
    bare[148:156] = b" " * 8
    total = sum(b - 256 if b > 127 else b for b in bare)
    bare[148:156] = b"%06o\0 " % total
    return bytes(bare)


def entry(name, content=b"", **fields):
    fields.setdefault("size", len(content))
    return header(name, **fields) + padded(content)


def file(name, content=b"x", **fields):
    return entry(name, content, **fields)


def directory(name, mode=0o755, **fields):
    return entry(name, kind=b"5", mode=mode, **fields)


def symlink(name, target, **fields):
    return entry(name, kind=b"2", mode=0o777, link=target, **fields)


def hardlink(name, target, **fields):
    return entry(name, kind=b"1", link=target, **fields)


def record(key, value):
    """One PAX record with its own length in front."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def pax(*records, kind=b"x", raw=None, name=b"pax"):
    """An extended header; `raw` replaces the records' bytes."""
    body = b"".join(record(k, v) for k, v in records) if raw is None else raw
    return entry(name, body, kind=kind)


def gnu_long(kind, text, **fields):
    """A GNU long name (`L`) or long link (`K`) entry."""
    return entry(b"././@LongLink", text + b"\0", kind=kind, magic="gnu", **fields)


def sparse_table(regions, count):
    """`count` slots of an old GNU sparse map."""
    slots = [number(o, 12) + number(n, 12) for o, n in regions]
    return b"".join(slots + [bytes(24)] * (count - len(slots)))


def old_gnu_sparse(name, real_size, chunks, regions=None, stored=None):
    """A sparse file in GNU tar's old format; four regions in the header, more in extension blocks."""
    regions = [(o, len(c)) for o, c in chunks] if regions is None else regions
    data = b"".join(c for _, c in chunks)
    extended = len(regions) > 4
    fields = {386: sparse_table(regions[:4], 4), 482: b"\1" if extended else b"\0", 483: number(real_size, 12)}
    out = header(name, kind=b"S", size=len(data) if stored is None else stored, magic="gnu", fields=fields)
    rest = regions[4:]
    while rest:
        part, rest = rest[:21], rest[21:]
        out += sparse_table(part, 21) + (b"\1" if rest else b"\0") + bytes(7)
    return out + padded(data)
