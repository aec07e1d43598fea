//! OSTree's formats: bytes in, values out. Touches no disk.
