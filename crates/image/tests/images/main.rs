//! Pulling images into repositories, compared with the real `ostree` and with data of the existing tools.

mod bad_images;
mod directory;
mod encapsulate;
mod exporting;
mod golden;
mod keeping;
mod merging;
mod packages;
mod resuming;
mod round_trip;
mod selinux;
mod support;
