//! `bootroot setup-root`

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use boot_format::KernelArgs;
use clap::Args;
use composefs_root::{RootArgument, SetupConfig, setup_root};
use error_class::{Classified, ErrorClass};

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
/// message. This needs Linux 6.12 or newer.
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
}

/// The kernel was not told of any image.
#[derive(Debug, thiserror::Error)]
#[error(
    "the kernel's command line has no composefs=DIGEST, which would name the image of the root"
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
        let argument = RootArgument::find(&args, None)?.ok_or(NoImage)?;
        let config = self
            .config()?
            .with_volatile(args.last_value("systemd.volatile"));
        let physical = context.place().root()?;
        let target = match &self.target {
            Some(path) => open_dir("the place of the root", path)?,
            None => physical.try_clone()?,
        };
        let run = open_dir("the runtime directory", Path::new("/run"))?;
        let dev = open_dir("the directory of devices", Path::new("/dev"))?;
        let notices = setup_root(&composefs_root::SetupRoot {
            physical: physical.as_fd(),
            target: target.as_fd(),
            run: run.as_fd(),
            dev: dev.as_fd(),
            argument: &argument,
            config: &config,
        })?;
        for notice in notices {
            writeln!(std::io::stderr(), "warning: {notice}")?;
        }
        Ok(Exit::Done)
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
