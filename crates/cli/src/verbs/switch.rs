//! `bootroot switch`

use std::io::Write;

use clap::Args;
use host::{Backend, ChangeOptions, Job};
use oci::reference::{ImageReference, OstreeImageReference, SignatureSource, Transport};

use super::following::FollowArgs;
use super::reference;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Follow another image from now on: fetch it and deploy it
///
/// See `bootroot image pull --help` for IMGREF; a plain name, without a transport, is one in a registry. /etc
/// and kernel arguments are carried over as in an upgrade. A signature that the image followed until now had to
/// have, the new one must have, too.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The image; with --transport, its name there
    #[arg(value_name = "IMGREF")]
    image: String,
    /// How the image is reached: registry, oci, oci-archive, containers-storage, ...
    #[arg(long, value_name = "TRANSPORT", value_parser = transport)]
    transport: Option<Transport>,
    /// Require from now on that the image policy asks for a signature
    #[arg(long, conflicts_with = "drop_signature_requirement")]
    enforce_container_sigpolicy: bool,
    /// Let go of the signature that was required until now
    #[arg(long)]
    drop_signature_requirement: bool,
    /// Keep the ref that was followed until now, when it was no image
    #[arg(long)]
    retain: bool,
    /// Deploy nothing: change only what is followed, of the running deployment or of the one made last
    #[arg(long, conflicts_with_all = ["download_only", "apply", "retain"])]
    mutate_in_place: bool,
    #[command(flatten)]
    follow: FollowArgs,
}

fn transport(word: &str) -> Result<Transport, String> {
    word.parse()
        .map_err(|error: oci::reference::UnknownTransport| error.to_string())
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let image = self.image()?;
        if self.mutate_in_place {
            let backend = self.follow.backend(context)?;
            return self.switch_in_place(context, &*backend, &image);
        }
        let backend = self.follow.backend(context)?;
        let mut options = self.follow.options(backend.is_running());
        options.retain = self.retain;
        options.drop_signature = self.drop_signature_requirement;
        let access = self.follow.source.access_at(context.place())?;
        let job = Job {
            access: &access,
            options: &options,
            progress: context.progress(),
            interrupt: context.interrupt(),
        };
        let upgraded = backend.switch(&image, &job)?;
        let event = Event::Switched;
        self.follow
            .finish(context, backend.is_running(), &upgraded, event)
    }

    /// The image that is meant.
    fn image(&self) -> Result<OstreeImageReference, Failure> {
        let mut image = match self.transport {
            Some(transport) => {
                OstreeImageReference::unverified(ImageReference::new(transport, &*self.image))
            }
            None => reference::followed(&self.image)?,
        };
        if self.enforce_container_sigpolicy {
            image.sigverify = SignatureSource::ContainerPolicy;
        }
        Ok(image)
    }

    fn switch_in_place(
        &self,
        context: &Context,
        backend: &dyn Backend,
        image: &OstreeImageReference,
    ) -> Result<Exit, Failure> {
        let mut options = ChangeOptions::default();
        options.dry_run = self.follow.dry_run();
        let drop = self.drop_signature_requirement;
        let switched = backend.switch_in_place(image, drop, &options)?;
        if switched.made && switched.changed {
            let message = format!(
                "{} follows {} from now on",
                switched.deployment, switched.image
            );
            let fields = [("BOOTROOT_IMAGE", &*switched.image)];
            context
                .journal()
                .tell(Event::SwitchedInPlace, &message, &fields);
        }
        let mut out = context.results();
        if self.follow.format.json {
            out.json(&switched)?;
            return Ok(Exit::Done);
        }
        let how = match (switched.changed, switched.made) {
            (false, _) => "follows already",
            (true, true) => "follows now",
            (true, false) => "would follow",
        };
        writeln!(out, "{}: {how} {}", switched.deployment, switched.image)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
