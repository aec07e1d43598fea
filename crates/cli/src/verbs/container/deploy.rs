//! `container image deploy`

use std::fs;
use std::path::PathBuf;

use clap::Args;
use host::DeployOptions;
use oci::reference::{OstreeImageReference, SignatureSource};
use sysroot::{StaterootName, Sysroot};

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::source::SourceOptions;
use crate::verbs::{deploy, reference};

/// Pull an image and make it the system that boots first
///
/// With --sysroot DIR, a system is made in DIR when there is none. `bootroot deploy` does the same.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    image: ImageArgs,
    /// The stateroot to deploy to; it is made when it is not there [default: the one that runs, else
    /// `default`]
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
    /// The reference to follow from then on, instead of the one it is pulled by
    #[arg(long, value_name = "IMGREF", value_parser = reference::image)]
    target_imgref: Option<OstreeImageReference>,
    /// Keep the layers, but no image: what is deployed is no image to the system
    #[arg(long)]
    no_imgref: bool,
    /// A kernel argument, once for each [default: those of the deployment before]
    #[arg(long, value_name = "KARG", allow_hyphen_values = true)]
    karg: Vec<String>,
    /// Write the checksum of what was deployed to FILE
    #[arg(long, value_name = "FILE")]
    write_commitid_to: Option<PathBuf>,
    #[command(flatten)]
    source: SourceOptions,
}

/// The image, in one word or in parts.
#[derive(Debug, Args)]
#[group(skip)]
struct ImageArgs {
    /// The image, and how its signature is verified
    #[arg(long, value_name = "IMGREF", value_parser = reference::image, required_unless_present = "image")]
    imgref: Option<OstreeImageReference>,
    /// The name of the image, as in registry.example.com/os:1
    #[arg(long, value_name = "NAME", conflicts_with = "imgref")]
    image: Option<String>,
    /// How --image is reached
    #[arg(
        long,
        value_name = "NAME",
        default_value = "registry",
        conflicts_with = "imgref"
    )]
    transport: String,
    /// Accepted and ignored: only what asks for verification is verified
    #[arg(long, hide = true)]
    no_signature_verification: bool,
    /// The image policy must demand a signature of --image
    #[arg(long, conflicts_with_all = ["imgref", "ostree_remote"])]
    enforce_container_sigpolicy: bool,
    /// The commit in --image must be signed by a key of this remote
    #[arg(long, value_name = "REMOTE", conflicts_with = "imgref")]
    ostree_remote: Option<String>,
}

impl ImageArgs {
    fn reference(&self) -> Result<OstreeImageReference, Failure> {
        if let Some(imgref) = &self.imgref {
            return Ok(imgref.clone());
        }
        let name = self.image.as_deref().unwrap_or_default();
        let imgref = format!("{}:{name}", self.transport).parse()?;
        let sigverify = match &self.ostree_remote {
            Some(remote) => SignatureSource::OstreeRemote(remote.clone()),
            None if self.enforce_container_sigpolicy => SignatureSource::ContainerPolicy,
            None => SignatureSource::ContainerPolicyAllowInsecure,
        };
        Ok(OstreeImageReference { sigverify, imgref })
    }
}

impl Deploy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let image = self.image.reference()?;
        let access = self.source.access()?;
        let sysroot = context.place().create()?.sysroot()?;
        let mut options =
            DeployOptions::new(stateroot(self.stateroot, &sysroot)?, std::env::consts::ARCH);
        options.target = self.target_imgref;
        options.no_imgref = self.no_imgref;
        options.kernel_arguments = self.karg;
        options.now = environment::now();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let deployed = host::deploy(&sysroot, &image, &access, &options, progress, interrupt)?;
        deploy::tell_journal(context, &deployed);
        if let Some(path) = &self.write_commitid_to {
            let text = deployed.commit.to_string();
            fs::write(path, text).hint("this was about the file for the checksum")?;
        }
        deploy::report(context, &deployed)
    }
}

fn stateroot(named: Option<StaterootName>, sysroot: &Sysroot) -> Result<StaterootName, Failure> {
    if let Some(named) = named {
        return Ok(named);
    }
    match sysroot.load()?.booted() {
        Some(booted) => Ok(booted.id.stateroot.clone()),
        None => Ok("default".parse()?),
    }
}
