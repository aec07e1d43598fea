//! Images signed by the real programs, in a real registry; and what must not count.

mod golden;
mod keys;
mod scene;
