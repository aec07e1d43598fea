//! Container images and OSTree commits, both ways.
