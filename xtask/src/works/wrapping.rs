//! Commits into images, and out of them.

use super::{Bench, work};
use crate::measure::Work;

/// A repository with the image, which is there until the next image is measured.
const STORED: &str = "rm -rf out r; ostree --repo=r init --mode=bare; test -d stored ||";

/// The commit of the stored image.
const COMMIT: &str = "\"$(ostree --repo=stored refs --list ostree/container/image | head -1)\"";

/// Encapsulate and unencapsulate, beside the existing tool.
pub(crate) fn wrapping(bench: &Bench) -> Vec<Work> {
    let Bench {
        bootroot,
        image,
        importer,
        ..
    } = bench;
    let stored = format!(
        "{STORED} {{ ostree --repo=stored init --mode=bare; \
         {bootroot} --quiet --repo stored image pull oci:{image}:v1; }}"
    );
    let wrap = |more: &str, to: &str| {
        format!("{bootroot} --quiet --repo stored container encapsulate {more} {COMMIT} oci:{to}:t")
    };
    let wrapped = format!("{stored}; test -d wrapped || {}", wrap("", "wrapped"));
    let unwrap =
        format!("{bootroot} --quiet --repo r container unencapsulate --write-ref x oci:wrapped:t");
    let tool = "bootroot";
    let mut works = vec![
        work("encapsulate, one layer", tool, &stored, &wrap("", "out")),
        work(
            "encapsulate, chunked",
            tool,
            &stored,
            &wrap("--chunked", "out"),
        ),
        work("unencapsulate", tool, &wrapped, &unwrap),
    ];
    if let Some(importer) = importer {
        let wrap =
            format!("{importer} encapsulate --repo=\"$PWD/stored\" {COMMIT} oci:\"$PWD\"/out:t");
        let unwrap = format!(
            "{importer} unencapsulate --repo=\"$PWD/r\" --write-ref=x \
             ostree-unverified-image:oci:\"$PWD\"/wrapped:t"
        );
        let tool = "existing importer";
        works.push(work("encapsulate, one layer", tool, &stored, &wrap));
        works.push(work("unencapsulate", tool, &wrapped, &unwrap));
    }
    works
}
