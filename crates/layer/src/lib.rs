//! Layer tar streams to OSTree objects, and back.
