//! Work on a repository, verb by verb beside `ostree`.

use super::{Bench, work};
use crate::measure::Work;

/// A verb of `ostree`, called in the same way on both sides.
struct Verb {
    name: &'static str,
    /// After the common preparation.
    before: &'static str,
    /// The arguments of `ostree`.
    arguments: &'static str,
}

const VERBS: [Verb; 10] = [
    Verb {
        name: "commit a directory",
        before: "rm -rf c; ostree --repo=c init --mode=bare",
        arguments: "--repo=c commit --branch=x --tree=dir=tree",
    },
    Verb {
        name: "commit a tar",
        before: "rm -rf c; ostree --repo=c init --mode=bare",
        arguments: "--repo=c commit --branch=x --tree=tar=tree.tar",
    },
    Verb {
        name: "commit a checkout again",
        before: "rm -rf c; cp -al base c; rm -rf c/tmp; mkdir c/tmp; rm -rf out; \
                 ostree --repo=c checkout x out",
        arguments: "--repo=c commit --branch=x --link-checkout-speedup --tree=dir=out",
    },
    Verb {
        name: "check out, hard links",
        before: "rm -rf out",
        arguments: "--repo=base checkout x out",
    },
    Verb {
        name: "check out, copies",
        before: "rm -rf out",
        arguments: "--repo=base checkout --force-copy x out",
    },
    Verb {
        name: "fsck",
        before: "true",
        arguments: "--repo=base fsck --quiet",
    },
    Verb {
        name: "pull-local, same mode",
        before: "rm -rf c; ostree --repo=c init --mode=bare",
        arguments: "--repo=c pull-local base x",
    },
    Verb {
        name: "pull-local into an archive",
        before: "rm -rf c; ostree --repo=c init --mode=archive",
        arguments: "--repo=c pull-local base x",
    },
    Verb {
        name: "prune, nothing to delete",
        before: "true",
        arguments: "--repo=base prune --refs-only",
    },
    Verb {
        name: "prune everything",
        before: "rm -rf c; cp -al base c; ostree --repo=c refs --delete x",
        arguments: "--repo=c prune --refs-only",
    },
];

/// Every verb of the table with both programs.
pub(crate) fn repository(bench: &Bench) -> Vec<Work> {
    let ours = format!("{} ostree", bench.bootroot);
    VERBS
        .iter()
        .flat_map(|verb| {
            let before = format!("{}; {}", tree(bench), verb.before);
            [("bootroot", ours.as_str()), ("ostree", "ostree")].map(|(tool, program)| {
                let script = format!("{program} {} >/dev/null", verb.arguments);
                work(verb.name, tool, &before, &script)
            })
        })
        .collect()
}

/// Makes, once, the directory `tree` and its tar from the image, and the repository `base` with a commit of it.
fn tree(
    Bench {
        bootroot, image, ..
    }: &Bench,
) -> String {
    format!(
        "[ -e base/done ] || {{ \
         ostree --repo=r0 init --mode=bare; \
         {bootroot} --quiet --repo r0 image pull oci:{image}:v1; \
         ostree --repo=r0 checkout --force-copy $(ostree --repo=r0 refs --list ostree/container/image) tree; \
         rm -rf r0; \
         ostree --repo=base init --mode=bare; \
         ostree --repo=base commit --branch=x --tree=dir=tree >/dev/null; \
         tar --xattrs -C tree -cf tree.tar .; \
         touch base/done; }}"
    )
}
