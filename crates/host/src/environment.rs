//! What this program runs in, and what makes the root there.

use boot_format::KernelArgs;
use composefs_root::{InvalidRootArgument, RootArgument};

/// How the source of a root mounted by composefs begins, and that of one that may be changed until the next boot.
const SOURCES: [&str; 2] = ["composefs:", "transient:composefs="];

/// What tells what this program runs in.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be looked at")]
pub struct Surroundings {
    /// The kernel's command line.
    pub kernel_args: KernelArgs,
    /// The source of what is mounted at `/`.
    pub root_source: Option<String>,
    /// Whether there is `/run/ostree-booted`.
    pub ostree_booted: bool,
    /// Whether there is a mark of a container: `/run/.containerenv`, `/.dockerenv`, or the variable `container`.
    pub in_container: bool,
}

/// What this program runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "these are the kinds that there are"
)]
pub enum Environment {
    /// A system that was booted by OSTree.
    Ostree,
    /// A system whose root is this image of composefs.
    Composefs(RootArgument),
    /// A container.
    Container,
    /// Anything else.
    Other,
}

impl Environment {
    /// Tell it.
    ///
    /// # Errors
    /// [`InvalidRootArgument`] when the root is an image of composefs, but the kernel was told another word.
    pub fn detect(around: &Surroundings) -> Result<Self, InvalidRootArgument> {
        if around.in_container {
            return Ok(Self::Container);
        }
        let told = RootArgument::find(&around.kernel_args, None)?;
        match (told, mounted(around.root_source.as_deref())) {
            (Some(told), Some(digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| InvalidRootArgument::new(digest))?;
                // A soft reboot changes the root, and not what the kernel was told.
                Ok(Self::Composefs(RootArgument { digest, ..told }))
            }
            _ if around.ostree_booted => Ok(Self::Ostree),
            _ => Ok(Self::Other),
        }
    }
}

/// The digest in the source of a root.
fn mounted(source: Option<&str>) -> Option<&str> {
    let source = source?;
    SOURCES.iter().find_map(|start| source.strip_prefix(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(line: &str, source: &str, ostree_booted: bool, in_container: bool) -> Environment {
        let around = Surroundings {
            kernel_args: KernelArgs::parse(line),
            root_source: Some(source.to_owned()),
            ostree_booted,
            in_container,
        };
        Environment::detect(&around).unwrap()
    }

    #[test]
    fn it_is_told_apart() {
        let (one, two) = ("ab".repeat(64), "cd".repeat(64));
        let line = format!("root=LABEL=r composefs=?{one}");
        let argument = |digest: &str| RootArgument {
            digest: digest.parse().unwrap(),
            unverified: true,
        };
        let composefs = |digest| Environment::Composefs(argument(digest));
        let plain = format!("composefs:{one}");
        assert_eq!(detect(&line, &plain, false, false), composefs(&one));
        let soft = format!("composefs:{two}");
        assert_eq!(detect(&line, &soft, false, false), composefs(&two));
        let transient = format!("transient:composefs={one}");
        assert_eq!(detect(&line, &transient, false, false), composefs(&one));
        assert_eq!(detect(&line, &plain, false, true), Environment::Container);
        // OSTree's own roots of composefs have no such argument.
        let ostree = "ostree=/ostree/boot.1/os/x/0";
        assert_eq!(
            detect(ostree, "composefs", true, false),
            Environment::Ostree
        );
        assert_eq!(detect(&line, "/dev/vda", false, false), Environment::Other);
        assert_eq!(detect("rw", "/dev/vda", false, false), Environment::Other);
    }
}
