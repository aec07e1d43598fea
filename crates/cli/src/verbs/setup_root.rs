//! `bootroot setup-root`

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use boot_format::KernelArgs;
use clap::Args;
use composefs_root::{Notice, RootArgument, SetupConfig, SetupPlaces, setup_root};
use error_class::{Classified, ErrorClass};
use host::mount_deployment;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;

/// Mount the root of composefs that the kernel was told, in an initramfs
///
/// The image that `composefs=DIGEST` names on the kernel's command line is mounted over the physical root, which must
/// be mounted at --sysroot (/sysroot), with /etc and /var from its deployment's state. The configuration file says what is
/// forgotten at the next boot: `transient = true`, or `mount = "bind"`, `"overlay"`, `"transient"` or `"none"`, in
/// `[etc]` and `[var]`, and `transient = true` in `[root]`. One that cannot be read is passed over with a
/// message.
///
/// Where `ostree=` names a deployment of OSTree instead, its image is mounted, as `ostree-prepare-root.conf` of the
/// initramfs says: with `composefs.enabled = signed` only when a key in /etc/ostree/initramfs-root-binding.key (or
/// `composefs.keypath`) has signed its commit with ed25519, or the commit that its container image wraps, and the kernel verifies
/// image and files by the digest in there. A configuration or key that cannot be read is an error then.
///
/// This needs Linux 6.12 or newer.
#[derive(Debug, Args)]
pub(crate) struct SetupRoot {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/usr/lib/composefs/setup-root-conf.toml"
    )]
    config: PathBuf,
    /// The kernel's command line [default: that of the running kernel]
    #[arg(long, value_name = "LINE")]
    cmdline: Option<String>,
    /// Mount the root over this directory, instead of the physical root
    #[arg(long, value_name = "DIR")]
    target: Option<PathBuf>,
    /// Where prepare-root.conf and keys are, of deployments of OSTree
    #[arg(long, value_name = "DIR", default_value = "/")]
    initramfs: PathBuf,
}

/// The kernel was not told of any root.
#[derive(Debug, thiserror::Error)]
#[error(
    "the kernel's command line has neither composefs=DIGEST, which would name the image of the root, nor ostree=, \
     which would name a deployment"
)]
struct NoImage;

impl Classified for NoImage {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl SetupRoot {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let args = match &self.cmdline {
            Some(line) => KernelArgs::parse(line),
            None => environment::running_kernel_args()?,
        };
        let physical = context.place().root()?;
        let target = match &self.target {
            Some(path) => open_dir("the place of the root", path)?,
            None => physical.try_clone()?,
        };
        let run = open_dir("the runtime directory", Path::new("/run"))?;
        let dev = open_dir("the directory of devices", Path::new("/dev"))?;
        let initramfs = open_dir("the initramfs", &self.initramfs)?;
        let places = SetupPlaces {
            physical: physical.as_fd(),
            target: target.as_fd(),
            run: run.as_fd(),
            dev: dev.as_fd(),
        };
        let notices = match (RootArgument::find(&args, None)?, args.last_value("ostree")) {
            (Some(argument), _) => self.mount_image(places, &argument, &args)?,
            (None, Some(link)) => mount_deployment(places, initramfs.as_fd(), link, &args)?,
            (None, None) => return Err(NoImage.into()),
        };
        for notice in notices {
            writeln!(std::io::stderr(), "warning: {notice}")?;
        }
        Ok(Exit::Done)
    }

    fn mount_image(
        &self,
        places: SetupPlaces<'_>,
        argument: &RootArgument,
        args: &KernelArgs,
    ) -> Result<Vec<Notice>, Failure> {
        let config = self
            .config()?
            .with_volatile(args.last_value("systemd.volatile"));
        Ok(setup_root(&composefs_root::SetupRoot {
            places,
            argument,
            config: &config,
        })?)
    }

    /// A file that nobody can read must not keep a machine from booting.
    fn config(&self) -> Result<SetupConfig, Failure> {
        let text = match std::fs::read_to_string(&self.config) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return self.passed_over(&error),
            Ok(text) => text,
        };
        SetupConfig::parse(&text).or_else(|error| self.passed_over(&error))
    }

    fn passed_over(&self, error: &dyn std::error::Error) -> Result<SetupConfig, Failure> {
        let path = self.config.display();
        writeln!(
            std::io::stderr(),
            "warning: {path} is passed over, so /etc and /var are kept: {error}"
        )?;
        Ok(SetupConfig::default())
    }
}
