//! `bootroot deploy`

use std::io::Write;

use clap::Args;
use host::{Access, DeployOptions, Deployed, Job, UpgradeOptions};
use indicatif::HumanBytes;
use oci::reference::OstreeImageReference;
use sysroot::StaterootName;

use crate::arguments::Format;
use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};
use crate::verbs::source::SourceOptions;
use crate::verbs::{following, reference};

/// Pull an image and make it the system that boots first
///
/// With --sysroot DIR, a system is made in DIR when there is none: repository, /boot, stateroot. The
/// image is pulled first unless it is stored already; it must be labelled as bootable and be for this
/// architecture. See `bootroot image pull --help` for IMGREF. On a stateroot that has deployments, the
/// new one inherits /etc, and the current one stays for a rollback.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::followed_option)]
    image: OstreeImageReference,
    /// The stateroot to deploy to; it is made when it is not there
    #[arg(
        long,
        visible_alias = "os",
        value_name = "NAME",
        required_unless_present = "composefs"
    )]
    stateroot: Option<StaterootName>,
    /// Let the root be an image of composefs, as bootc has them, instead of a deployment of OSTree: `bootroot setup-root`
    /// mounts it in the initramfs
    #[arg(long, conflicts_with = "stateroot")]
    composefs: bool,
    /// The reference to follow from then on, instead of IMGREF
    #[arg(long, value_name = "IMGREF", value_parser = reference::followed_option)]
    target_imgref: Option<OstreeImageReference>,
    /// A kernel argument beside those of the image, once for each [default: those of the deployment before]
    #[arg(long, value_name = "KARG", allow_hyphen_values = true)]
    karg: Vec<String>,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

impl Deploy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access_at(context.place())?;
        let Some(stateroot) = self.stateroot.clone() else {
            return self.deploy_root(context, &access);
        };
        let sysroot = context.place().create()?.sysroot()?;
        let options = self.options(stateroot);
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let deployed = host::deploy(
            &sysroot,
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        tell_journal(context, &deployed);
        if self.format.json {
            context.results().json(&deployed)?;
            return Ok(Exit::Done);
        }
        report(context, &deployed)
    }

    fn options(&self, stateroot: StaterootName) -> DeployOptions {
        let mut options = DeployOptions::new(stateroot, std::env::consts::ARCH);
        options.target.clone_from(&self.target_imgref);
        options.kernel_arguments.clone_from(&self.karg);
        options.now = environment::now();
        options
    }
}

impl Deploy {
    /// Into a root that is an image of composefs.
    fn deploy_root(&self, context: &Context, access: &Access) -> Result<Exit, Failure> {
        context.place().create_for_roots()?;
        let roots = context.place().roots(None)?;
        let mut options = UpgradeOptions::new(std::env::consts::ARCH);
        options.now = environment::now();
        let job = Job {
            access,
            options: &options,
            progress: context.progress(),
            interrupt: context.interrupt(),
        };
        let follows = self.target_imgref.as_ref().unwrap_or(&self.image);
        let upgraded = roots.deploy(&self.image, follows, &self.karg, &job)?;
        following::answer(context, &upgraded, self.format, Event::Deployed)
    }
}

/// Note in the journal what was deployed.
pub(crate) fn tell_journal(context: &Context, deployed: &Deployed) {
    let image = deployed.image.to_string();
    let digest = deployed.pull.digest.to_string();
    let fields = [("BOOTROOT_IMAGE", &*image), ("BOOTROOT_DIGEST", &*digest)];
    let message = format!("Deployed {image}");
    context.journal().tell(Event::Deployed, &message, &fields);
}

/// Say what was deployed.
pub(crate) fn report(context: &Context, deployed: &Deployed) -> Result<Exit, Failure> {
    let mut out = context.results();
    let Deployed {
        stateroot,
        commit,
        serial,
        pull,
        ..
    } = deployed;
    writeln!(out, "{}: deployed", deployed.image)?;
    writeln!(out, "  deployment: {stateroot} {commit}.{serial}")?;
    if let Some(version) = &deployed.version {
        writeln!(out, "  version:    {version}")?;
    }
    if let Some(kernel) = &deployed.kernel {
        writeln!(out, "  kernel:     {kernel}")?;
    }
    writeln!(out, "  arguments:  {}", deployed.kernel_arguments.join(" "))?;
    let (layers, bytes) = (pull.layers, HumanBytes(pull.bytes_fetched));
    writeln!(
        out,
        "  layers:     {}, {} ({bytes})",
        layers.total,
        layers.words()
    )?;
    for removed in &deployed.removed {
        writeln!(out, "  removed:    {removed}")?;
    }
    out.finish()?;
    Ok(Exit::Done)
}
