//! `bootroot edit`

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use host::{Backend, HostSpec, Job, SpecChange, SpecError, Upgraded};
use oci::reference::OstreeImageReference;

use super::changes::ChangeArgs;
use super::following::FollowArgs;
use crate::context::Context;
use crate::editor::{self, EditorError};
use crate::environment;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};
use crate::render::yaml::{YamlError, from_yaml, to_yaml};

/// Largest document that is read.
const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;

/// Change what is wanted of this host: the image that is followed, or what boots next
///
/// The document is that of `bootroot status --format yaml`; of it, spec.image and spec.bootOrder count, one change at
/// a time. It comes from FILE, from standard input when that is no terminal, or from an editor ($VISUAL, $EDITOR). A
/// signature that was required is required still, unless `signature: insecure` says otherwise.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Read the document from FILE; - is standard input
    #[arg(short, long, value_name = "FILE")]
    filename: Option<PathBuf>,
    #[command(flatten)]
    follow: FollowArgs,
}

/// The document cannot be used.
#[derive(Debug, thiserror::Error)]
enum EditError {
    #[error("the document cannot be read")]
    Read(#[source] std::io::Error),
    #[error("the editor failed")]
    Editor(#[from] EditorError),
    #[error("the document cannot be understood: {0}")]
    Syntax(#[from] YamlError),
    #[error("the document has no spec")]
    NoSpec,
    #[error("its spec cannot be understood: {0}")]
    Spec(#[from] serde_json::Error),
}

impl Classified for EditError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            // What the user gave is not at fault.
            Self::Editor(EditorError::Failed { .. }) => ErrorClass::Io,
            Self::Editor(error) => error.class(),
            Self::Syntax(_) | Self::NoSpec | Self::Spec(_) => ErrorClass::InvalidInput,
        }
    }
}

impl Edit {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.follow.backend(context)?;
        let status = backend.status(context.place().running_facts())?;
        let text = self.document(&status)?;
        let wanted = spec_of(&text)?;
        match SpecChange::between(&status.host.spec, &wanted)? {
            SpecChange::Nothing => self.change_nothing(context, &wanted),
            SpecChange::BootOrder => self.roll_back(context, &*backend),
            SpecChange::Image {
                image,
                drop_signature,
            } => {
                let mut options = self.follow.options(backend.is_running());
                options.drop_signature = drop_signature;
                let access = self.follow.source.access_at(context.place())?;
                let upgraded = backend.switch(
                    &image,
                    &Job {
                        access: &access,
                        options: &options,
                        progress: context.progress(),
                        interrupt: context.interrupt(),
                    },
                )?;
                let event = Event::Switched;
                self.follow
                    .finish(context, backend.is_running(), &upgraded, event)
            }
        }
    }

    fn change_nothing(&self, context: &Context, spec: &HostSpec) -> Result<Exit, Failure> {
        let image = spec.required().ok_or(SpecError::NoImage)?.image;
        let image = OstreeImageReference::try_from(image).map_err(SpecError::from)?;
        let mut out = context.results();
        if self.follow.format.json {
            out.json(&Upgraded::nothing(&image))?;
            return Ok(Exit::Done);
        }
        writeln!(out, "nothing to change")?;
        out.finish()?;
        Ok(Exit::Done)
    }

    fn roll_back(&self, context: &Context, backend: &dyn Backend) -> Result<Exit, Failure> {
        let change = ChangeArgs {
            dry_run: self.follow.dry_run(),
            format: self.follow.format,
        };
        let done = backend.rollback(None, &change.options(), context.progress())?;
        change.report(context, &done, Event::RolledBack)
    }

    fn document(&self, status: &host::Status) -> Result<String, EditError> {
        match &self.filename {
            Some(path) if path != Path::new("-") => {
                let file = File::open(path).map_err(EditError::Read)?;
                read(file)
            }
            None if std::io::stdin().is_terminal() => edited(status),
            _ => read(std::io::stdin()),
        }
    }
}

fn read(from: impl Read) -> Result<String, EditError> {
    let mut text = String::new();
    let read = from.take(MAX_DOCUMENT).read_to_string(&mut text);
    read.map_err(EditError::Read)?;
    Ok(text)
}

/// What the user makes of the document in an editor.
fn edited(status: &host::Status) -> Result<String, EditError> {
    let program = environment::editor().unwrap_or_else(|| "vi".to_owned());
    let text = to_yaml(&status.host).map_err(EditorError::from)?;
    Ok(editor::edited(&program, "host", ".yaml", &text)?)
}

fn spec_of(text: &str) -> Result<HostSpec, EditError> {
    let document = from_yaml(text)?;
    let spec = document.get("spec").ok_or(EditError::NoSpec)?;
    Ok(serde_json::from_value(spec.clone())?)
}
